import type { Clock } from '../../lib/clock.ts'
import type { Log } from '../../lib/log.ts'
import {
  aMapping,
  anyOf,
  anything,
  aSecret,
  aSwitch,
  aText,
  checkOptions,
  type OptionRules,
  withMethods,
} from '../../lib/options/check-options.ts'
import { fillNumbers, type NumberRules } from '../../lib/options/number-options.ts'

export interface PostgresOptions {
  /**
   * `postgres://user:password@host:port/database`, with `sslmode` and `application_name` if need be.
   * What it doesn't say comes from the options below, and then from PGHOST, PGPORT, PGUSER,
   * PGPASSWORD and PGDATABASE.
   */
  readonly url?: string | undefined
  /** Host name, address, or the folder of the unix socket. Default `localhost`. */
  readonly host?: string | undefined
  /** Default 5432. */
  readonly port?: number | undefined
  readonly user?: string | undefined
  /** Or a function that is asked at each connection, for passwords that change. */
  readonly password?: string | (() => string | Promise<string>) | undefined
  readonly database?: string | undefined
  /**
   * TLS with a certificate that is verified; `ca` for one that no public authority has signed.
   * Default: true, and false for the own machine.
   */
  readonly tls?: boolean | PostgresTls | undefined
  /** Holds all tables; made when it isn't there. Default `handfast`. */
  readonly schema?: string | undefined
  /** Connections at most, beside one that listens. Default 10. */
  readonly connections?: number | undefined
  /** Calls at most that wait for a connection; one more is refused. Default 1000. */
  readonly queue?: number | undefined
  /** Milliseconds in which a connection must be there, free or new. Default 5000. */
  readonly connectTimeout?: number | undefined
  /** Milliseconds that a statement may take. Default 5000. */
  readonly statementTimeout?: number | undefined
  /**
   * Milliseconds that a statement waits for an entry that somebody else has locked, at most.
   * Default 2000.
   */
  readonly lockTimeout?: number | undefined
  /** Milliseconds between two looks at what has ended and can be taken away. Default 60000. */
  readonly sweepInterval?: number | undefined
  /**
   * Works behind a pooler that gives each transaction another connection (PgBouncer's
   * `pool_mode = transaction`): nothing is prepared, and nobody can listen there. Without
   * `listenUrl` no server hears of what others change, and each read looks in the database.
   * Default false.
   */
  readonly transactionPooling?: boolean | undefined
  /**
   * The database itself, past its pooler, for the one connection that listens to changes of other
   * servers; what it doesn't say is as above. Default: `url`, and nobody listens behind a pooler.
   */
  readonly listenUrl?: string | undefined
  /**
   * Opens a database whose `fsync` or `synchronous_commit` is off, which may lose what it has
   * acknowledged. Default false.
   */
  readonly dangerAcceptLoss?: boolean | undefined
  /** Default: nothing is logged. */
  readonly log?: Log | undefined
  /** In place of the system's. */
  readonly clock?: Clock | undefined
}

export interface PostgresTls {
  /** PEM of the authorities that are trusted, in place of the public ones. */
  readonly ca?: string | Buffer | undefined
  /** PEM of this client's certificate. */
  readonly cert?: string | Buffer | undefined
  /** PEM of its key. */
  readonly key?: string | Buffer | undefined
  /** The name that the server's certificate must have. Default: the host. */
  readonly servername?: string | undefined
}

type Numbers =
  | 'connections'
  | 'queue'
  | 'connectTimeout'
  | 'statementTimeout'
  | 'lockTimeout'
  | 'sweepInterval'

const numberRules: NumberRules<Numbers> = {
  connections: { unit: 'count', usual: 10, least: 1, most: 1_000 },
  queue: { unit: 'count', usual: 1_000, least: 1, most: 1_000_000 },
  connectTimeout: { unit: 'ms', usual: 5_000, least: 10, most: 600_000 },
  statementTimeout: { unit: 'ms', usual: 5_000, least: 10, most: 600_000 },
  lockTimeout: { unit: 'ms', usual: 2_000, least: 10, most: 600_000 },
  sweepInterval: { unit: 'ms', usual: 60_000, least: 100, most: 86_400_000 },
}

const aPort = {
  expected: 'a port',
  accepts: (value: unknown) =>
    Number.isInteger(value) && Number(value) > 0 && Number(value) < 65_536,
}

const aPassword = {
  expected: 'a text or a function (hidden)',
  accepts: (value: unknown) => typeof value === 'string' || typeof value === 'function',
}

const tlsRules: OptionRules<PostgresTls> = {
  ca: aSecret,
  cert: aSecret,
  key: aSecret,
  servername: aText,
}

const rules: OptionRules<PostgresOptions> = {
  url: aText,
  host: aText,
  port: aPort,
  user: aText,
  password: aPassword,
  database: aText,
  tls: anyOf(aSwitch, aMapping(tlsRules)),
  schema: aText,
  connections: anything,
  queue: anything,
  connectTimeout: anything,
  statementTimeout: anything,
  lockTimeout: anything,
  sweepInterval: anything,
  transactionPooling: aSwitch,
  listenUrl: aText,
  dangerAcceptLoss: aSwitch,
  log: withMethods('a logger', 'debug', 'info', 'warn', 'error', 'child'),
  clock: withMethods('a clock', 'now', 'monotonic', 'after'),
}

/** Throws ERR_HANDFAST_CONFIG for a bad one; gives the numbers, the usual ones filled in. */
export function checkPostgresOptions(options: PostgresOptions): {
  readonly [name in Numbers]: number
} {
  checkOptions('postgres', options, rules)
  return fillNumbers(numberRules, options, { prefix: 'postgres: ', whole: true })
}
