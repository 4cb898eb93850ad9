import { type Clock, systemClock } from '../../lib/clock.ts'
import { HandfastError } from '../../lib/errors.ts'
import { type Log, silentLog } from '../../lib/log.ts'
import {
  type ChangeWatcher,
  type Database,
  type EndMove,
  moveOf,
  type ScanPage,
  type Stored,
} from '../../lib/state/database.ts'
import { Feed } from '../../lib/state/feed/feed.ts'
import type { Row } from './call.ts'
import { channelOf } from './channel.ts'
import { connectionSettings } from './connection-settings.ts'
import { notOpened } from './fault.ts'
import { GroupCommit } from './group-commit.ts'
import { Listener } from './listener.ts'
import { checkPostgresOptions, type PostgresOptions } from './options.ts'
import { Pool } from './pool.ts'
import { openSchema } from './schema.ts'
import { type Statements, statementsFor, sweepUnit } from './statements.ts'
import { Sweeper } from './sweeper.ts'

/** Milliseconds that a group waits for an entry that somebody else has locked. */
const longestLockOfGroup = 100
/** What NOTIFY takes is less than 8000 bytes, in base64. */
const mostOfMessage = 5_900

/**
 * State in PostgreSQL 12 or later, for `createState({ database: postgres({ url }) })`. It makes its
 * schema by itself, and tells the other servers of changes. Needs the package `pg`.
 *
 * Throws ERR_HANDFAST_CONFIG for a bad option.
 */
export function postgres(options: PostgresOptions = {}): Database {
  return new PostgresDatabase(options)
}

class PostgresDatabase implements Database {
  readonly name = 'postgres'
  readonly reach = 'network'
  /** Not there behind a pooler that hands connections on: nobody could listen. */
  readonly watch?: (watcher: ChangeWatcher) => () => void
  readonly #pool: Pool
  /** Those that are to last, and those of an end, which need not: see `expire` of statementsFor. */
  readonly #writes: GroupCommit
  readonly #touches: GroupCommit
  readonly #clock: Clock
  readonly #log: Log
  readonly #schema: string
  readonly #dangerAcceptLoss: boolean
  readonly #statements: Statements
  readonly #sweeper: Sweeper
  #feed: Feed | undefined
  #closed: Promise<void> | undefined

  constructor(options: PostgresOptions) {
    const numbers = checkPostgresOptions(options)
    const { clock = systemClock, log = silentLog, schema = 'handfast' } = options
    const { transactionPooling = false, dangerAcceptLoss = false, listenUrl } = options
    const settings = connectionSettings(options)
    this.#clock = clock
    this.#log = log.child({ database: 'postgres' })
    this.#schema = schema
    this.#dangerAcceptLoss = dangerAcceptLoss
    this.#statements = statementsFor(schema)
    this.#pool = new Pool({
      ...numbers,
      settings,
      listenSettings:
        listenUrl === undefined
          ? settings
          : connectionSettings({ ...options, url: listenUrl }),
      transactionPooling,
      log: this.#log,
    })
    const groups = () =>
      new GroupCommit({
        clock,
        queue: numbers.queue,
        patience: numbers.connectTimeout,
        // The rest is for those who need not wait.
        mostPatient: Math.max(1, numbers.connections >> 2),
        commit: (writes, isPatient) =>
          this.#pool.runTogether(writes, isPatient ? undefined : longestLockOfGroup),
      })
    this.#writes = groups()
    this.#touches = groups()
    this.#sweeper = new Sweeper({
      clock,
      log: this.#log,
      interval: numbers.sweepInterval,
      sweep: limit => this.#sweep(limit),
    })
    if (!transactionPooling || listenUrl !== undefined)
      this.watch = watcher => this.#feed?.watch(watcher) ?? (() => {})
  }

  async open(): Promise<void> {
    try {
      await this.#open()
    } catch (error) {
      throw notOpened(error)
    }
    this.#sweeper.start()
  }

  async get(table: string, key: string): Promise<Stored | undefined> {
    const [row] = await this.#read('get', [table, Buffer.from(key)])
    return row && stored(row)
  }

  async compareAndSet(
    table: string,
    key: string,
    expected: bigint | undefined,
    value: Buffer,
    expiresAt: number | undefined,
  ): Promise<bigint | undefined> {
    const { insert, update } = this.#statements
    const columns = [table, Buffer.from(key), value, ...endOf(expiresAt)]
    const call =
      expected === undefined
        ? { statement: insert, values: columns }
        : { statement: update, values: [...columns, expected] }
    const write = { ...call, place: placeOf(table, key), bytes: value.length }
    return await this.#change({ table, key, before: expected ?? 0n }, async () => {
      const row = await this.#writes.write(write)
      return row && BigInt(row[0] as string)
    })
  }

  async delete(
    table: string,
    key: string,
    expected?: bigint,
  ): Promise<bigint | undefined> {
    const values = [table, Buffer.from(key), expected ?? null]
    const statement = this.#statements.remove
    const write = { statement, values, place: placeOf(table, key), bytes: 0 }
    return await this.#change(
      { table, key, before: expected, removes: true },
      async () => {
        const row = await this.#writes.write(write)
        return row?.[1] === 't' ? BigInt(row[0] as string) : undefined
      },
    )
  }

  async expire(
    table: string,
    key: string,
    expiresAt: number | undefined,
  ): Promise<EndMove | undefined> {
    const values = [table, Buffer.from(key), ...endOf(expiresAt)]
    const statement = this.#statements.expire
    const touch = { statement, values, place: placeOf(table, key), bytes: 0 }
    const move = async () => {
      const row = await this.#touches.write(touch)
      return row && moveOf(timeIn(row[0]), expiresAt)
    }
    return await (this.#feed?.tellEnd(table, key, move) ?? move())
  }

  /** In the order of the keys' bytes; the cursor is where it goes on, in hex. */
  async scan(table: string, cursor = '', limit = 100): Promise<ScanPage> {
    const rows = await this.#read('scan', [table, Buffer.from(cursor, 'hex'), limit])
    const last = rows.length < limit ? undefined : (rows.at(-1)?.[0] as Buffer)
    return {
      entries: rows
        .filter(row => row[4] === true)
        .map(row => ({ key: String(row[0]), ...stored(row.slice(1)) })),
      // The next key that there can be.
      next: last && `${last.toString('hex')}00`,
    }
  }

  async close(): Promise<void> {
    this.#closed ??= this.#close()
    await this.#closed
  }

  async #open(): Promise<void> {
    const key = await openSchema(this.#pool, {
      schema: this.#schema,
      dangerAcceptLoss: this.#dangerAcceptLoss,
    })
    if (this.watch === undefined) return
    const channel = channelOf(this.#schema)
    const [pool, clock, log] = [this.#pool, this.#clock, this.#log]
    this.#feed = new Feed({
      key,
      clock,
      maxBytes: mostOfMessage,
      publish: message =>
        pool.run(this.#statements.publish, [channel, message.toString('base64')]),
      listen: receiver => new Listener({ pool, channel, clock, log, receiver }),
    })
    await this.#feed.open()
  }

  async #close(): Promise<void> {
    await this.#sweeper.close()
    await Promise.all([this.#writes.close(), this.#touches.close()])
    await this.#feed?.close()
    await this.#pool.close()
  }

  async #change(
    ...[change, make]: Parameters<Feed['tell']>
  ): Promise<bigint | undefined> {
    if (this.#closed !== undefined) {
      throw new HandfastError('ERR_HANDFAST_CLOSED', 'the database is closed')
    }
    return await (this.#feed?.tell(change, make) ?? make())
  }

  /** A question that got no answer has changed nothing. */
  async #read(verb: 'get' | 'scan', values: Parameters<Pool['run']>[1]): Promise<Row[]> {
    return await this.#pool.ask(this.#statements[verb], values)
  }

  async #sweep(limit: number): Promise<number> {
    const until = sweepAt(this.#clock.now())
    const values = [`handfast sweep ${this.#schema}`, until, limit]
    const [row] = await this.#pool.run(this.#statements.sweep, values)
    return Number(row?.[0] ?? 0)
  }
}

function stored([value, version, expiresAt]: Row): Stored {
  return {
    value: value as Buffer,
    version: BigInt(version as string),
    expiresAt: timeIn(expiresAt),
  }
}

function placeOf(table: string, key: string): string {
  return `${table}\0${key}`
}

function timeIn(column: unknown): number | undefined {
  return column === null ? undefined : Number(column)
}

function endOf(expiresAt: number | undefined): [number | null, number | null] {
  if (expiresAt === undefined) return [null, null]
  const end = Math.ceil(expiresAt)
  return [end, sweepAt(end)]
}

function sweepAt(ms: number): number {
  return Math.min(2 ** 31 - 1, Math.max(0, Math.floor(ms / sweepUnit)))
}
