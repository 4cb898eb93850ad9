import type { ListenAddress } from '../address.ts'
import type { TierMaker } from '../cache/tier.ts'
import { topologies } from '../cache/topology.ts'
import type { Clock } from '../clock.ts'
import { HandfastError } from '../errors.ts'
import type { Log } from '../log.ts'
import { fillNumbers, type NumberRules } from '../options/number-options.ts'
import { shown } from '../shown.ts'

/**
 * All times in milliseconds. An option is declared here, a number in `farmNumbers` and one of a
 * few words in `farmWords`, too: the config file knows them from there.
 */
export interface FarmOptions {
  /** Name of the farm, equal on all members. Default `handfast`. */
  readonly name?: string | undefined
  /**
   * 32 bytes as base64url, base64 or hex, equal on all members (`handfast secret` makes one).
   * Needed as soon as `listen` or `members` is given.
   */
  readonly secret?: string | Buffer | undefined
  /** `host:port` of other members; a name stands for all its addresses. One is enough. */
  readonly members?: readonly string[] | undefined
  /** Where this member listens for the others. Default: nowhere, a farm of one. */
  readonly listen?: ListenAddress | undefined
  /** `host:port` under which the others reach this member, where they can't see it. */
  readonly advertise?: string | undefined
  /**
   * How members carry records to each other. `stream` (default): over TLS, in order. The others
   * send datagrams beside TLS. `auto`: one multicast for all, to whom that does not reach a
   * datagram of its own, and TLS to whom none reaches. `multicast`: the same, and refuse to
   * start where there is no multicast. `unicast`: without multicast. These three work together
   * in one farm; `stream` must be given to all members or to none.
   */
  readonly transport?: (typeof farmWords.transport)[number] | undefined
  /**
   * Where TLS sessions are. `replicated`: on every host. `partitioned`: with `copies` hosts that
   * own them, and where they were made; the others ask. `auto` (default): replicated, and
   * partitioned in a farm of six hosts or more, until there are only four. `tiered`: on the
   * repositories, and where they were made; `auto` is that as soon as there is a repository. All
   * else is on every host in each. Nothing breaks where members have different ones.
   */
  readonly topology?: (typeof farmWords.topology)[number] | undefined
  /**
   * This member is a repository: it has all sessions, answers for them and acknowledges what the
   * others write. It serves no clients. Default false.
   */
  readonly repository?: boolean | undefined
  /**
   * Hosts that own a session where it is partitioned. Default 2. Given and tiered: repositories
   * that own it, each a part of all. Default: each repository has all.
   */
  readonly copies?: number | undefined
  /**
   * How the owners of a session are asked for it. `sequence` (default): one after the other.
   * `parallel`: all at once; a dead one costs no time then, and each question is dearer.
   */
  readonly asks?: (typeof farmWords.asks)[number] | undefined
  /**
   * Where records are kept beside the members, the nearest first: a server that hosts share, a
   * disk. Each is what a plugin makes of its options, as `redis({ url })`. Hosts that share such
   * a server need neither `listen` nor `members`. Default: none. They need a `secret`, under which
   * all that leaves the farm is sealed.
   */
  readonly tiers?: readonly TierMaker[] | undefined
  /** Name of this member, unique in the farm. Default: made up at each start. */
  readonly memberId?: string | undefined
  /**
   * A folder in which the processes of this machine that serve the same meet: they are one member
   * of the farm then, with one port for it, and share their sessions without a message. Default:
   * one of their own for the workers of a node:cluster (pm2's cluster mode is one), none for all
   * others. false: this process is a member by itself. Only this user may look into the folder.
   */
  readonly host?: string | false | undefined
  /**
   * Bytes for the record table, and as many for the sessions of a host whose processes share
   * them. Default 256 MiB.
   */
  readonly memory?: number | undefined
  /** A session may resume this long after it was made. Default 1 h, at most 7 days. */
  readonly sessionTimeout?: number | undefined
  /** A chain of resumptions ends this long after its full handshake. Default 24 h. */
  readonly lineageTimeout?: number | undefined
  /** Longest wait for other members when a session is not here. Default 50. */
  readonly lookupBudget?: number | undefined
  /** Longest wait for another member to have a new session. Default 10. */
  readonly mintBudget?: number | undefined
  /**
   * How much of the table the sessions of one client address (IPv6: /64) may take; beyond it
   * connections work and do not resume. Default: together, through all members, four fifths of
   * what all others leave free, so that nobody's session is evicted for those of one network.
   *
   * A number: full handshakes of one address in a minute whose sessions are stored; resumed
   * ones count a tenth. Counted by each process for itself, and not for loopback addresses. 0: no
   * limit, for members behind a balancer that shows them its own address.
   */
  readonly mintLimit?: number | undefined
  /** A client must have sent its ClientHello within. Default 10 000. */
  readonly helloTimeout?: number | undefined
  /**
   * Longest wait at start for members to answer, and for the next part of what they have to give.
   * Default 5 000.
   */
  readonly joinTimeout?: number | undefined
  /**
   * While a member can't be reached, a revocation made there is not heard here. `serve`
   * (default): resume what is not known to be revoked. `full-handshake`: resume nothing until
   * every member answers again, has taken its leave, another has its address or, where that is not
   * configured, it has been away for a day; nor for a second after this process stood still.
   */
  readonly onPartition?: (typeof farmWords.onPartition)[number] | undefined
  /** `createLog()`, pino, or what looks like it. Default: silent. */
  readonly log?: Log | undefined
  /** For tests. Default: the system's. */
  readonly clock?: Clock | undefined
}

export const farmWords: {
  readonly transport: readonly ['auto', 'multicast', 'unicast', 'stream']
  readonly topology: typeof topologies
  readonly asks: readonly ['sequence', 'parallel']
  readonly onPartition: readonly ['serve', 'full-handshake']
} = {
  transport: ['auto', 'multicast', 'unicast', 'stream'],
  topology: topologies,
  asks: ['sequence', 'parallel'],
  onPartition: ['serve', 'full-handshake'],
}

/** Of a farm. */
export const farmName: RegExp = /^[\w.-]{1,64}$/

const week = 7 * 24 * 3600_000

/** RFC 8446 4.6.1 lets no ticket live beyond a week. */
export const farmNumbers: NumberRules<NumberName> = {
  memory: {
    unit: 'bytes',
    usual: 256 * 1024 ** 2,
    least: 4 * 1024 ** 2,
    most: 48 * 1024 ** 3,
  },
  sessionTimeout: { unit: 'ms', usual: 3600_000, least: 1000, most: week },
  lineageTimeout: { unit: 'ms', usual: 24 * 3600_000, least: 1000, most: 52 * week },
  lookupBudget: { unit: 'ms', usual: 50, least: 0, most: 10_000 },
  // The level `one` of a write is another host; with one owner that could be this one.
  copies: { unit: 'count', usual: 2, least: 2, most: 8 },
  mintBudget: { unit: 'ms', usual: 10, least: 0, most: 1000 },
  mintLimit: {
    unit: 'count',
    usual: undefined,
    least: 0,
    most: Number.POSITIVE_INFINITY,
  },
  helloTimeout: { unit: 'ms', usual: 10_000, least: 10, most: 120_000 },
  joinTimeout: { unit: 'ms', usual: 5000, least: 10, most: 600_000 },
}

type NumberName = {
  [Name in keyof FarmOptions]-?: number extends FarmOptions[Name] ? Name : never
}[keyof FarmOptions]

export type FarmNumbers = {
  readonly [name in Exclude<NumberName, 'mintLimit'>]: number
} & { readonly mintLimit: number | undefined }

/** It has no port for other members, and dials none. */
export function isUnlinked({ listen, members }: FarmOptions): boolean {
  return listen === undefined && !members?.length
}

/** The numbers of the options with defaults filled in; ERR_HANDFAST_CONFIG names a bad option. */
export function checkFarmOptions(options: FarmOptions): FarmNumbers {
  const { name, members, listen, secret, tiers } = options
  for (const [option, words] of Object.entries(farmWords)) {
    const word: string | undefined = options[option as keyof typeof farmWords]
    if (word !== undefined && !(words as readonly string[]).includes(word)) {
      throw config(option, words.map(known => `'${known}'`).join(', '), word)
    }
  }
  if (name !== undefined && !farmName.test(name)) {
    throw config('name', '1 to 64 letters, digits, dots, dashes or underscores', name)
  }
  const { host, copies } = options
  if (copies !== undefined && !Number.isInteger(copies))
    throw config('copies', 'a whole number', copies)
  if (host !== undefined && host !== false && (typeof host !== 'string' || host === '')) {
    throw config('host', 'a path, or false', host)
  }
  const { port } = listen ?? { port: 0 }
  if (!Number.isInteger(port) || port < 0 || port > 65_535) {
    throw config('listen.port', 'a port from 0 to 65535', port)
  }
  if (tiers?.length && secret === undefined) {
    throw new HandfastError(
      'ERR_HANDFAST_CONFIG',
      'option secret is needed with tiers: what they keep is sealed under it ' +
        '(`handfast secret` prints one)',
    )
  }
  if ((members?.length || listen !== undefined) && secret === undefined) {
    throw new HandfastError(
      'ERR_HANDFAST_CONFIG',
      'option secret is needed to join a farm: 32 bytes, equal on all members ' +
        '(`handfast secret` prints one)',
    )
  }
  return fillNumbers(farmNumbers, options, { prefix: 'option ' })
}

function config(name: string, expected: string, got: unknown): HandfastError {
  return new HandfastError(
    'ERR_HANDFAST_CONFIG',
    `option ${name} must be ${expected}, got ${shown(got)}`,
  )
}
