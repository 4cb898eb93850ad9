import type { ListenAddress } from '../address.ts'
import type { Clock } from '../clock.ts'
import { HandfastError } from '../errors.ts'
import type { Log } from '../log.ts'
import { shown } from '../shown.ts'

/** All times in milliseconds. */
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
  readonly transport?: (typeof transports)[number] | undefined
  /** Name of this member, unique in the farm. Default: made up at each start. */
  readonly memberId?: string | undefined
  /** Bytes for the record table. Default 256 MiB. */
  readonly memory?: number | undefined
  /** A session may resume this long after it was made. Default 1 h, at most 7 days. */
  readonly sessionTimeout?: number | undefined
  /**
   * A chain of resumptions ends this long after its full handshake. Default 24 h. Equal on all
   * members where there are stateless tickets, whose keys live by it.
   */
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
   * ones count a tenth. Counted by each member for itself, and not for loopback addresses. 0: no
   * limit, for members behind a balancer that shows them its own address.
   */
  readonly mintLimit?: number | undefined
  /** A client must have sent its ClientHello within. Default 10 000. */
  readonly helloTimeout?: number | undefined
  /** Longest wait for the farm at start, when it is there but slow. Default 5 000. */
  readonly joinTimeout?: number | undefined
  /**
   * While a member can't be reached, a revocation made there is not heard here. `serve`
   * (default): resume what is not known to be revoked. `full-handshake`: resume nothing until
   * every member answers again, has taken its leave, or has been away for ten minutes; nor for a
   * second after this process stood still.
   */
  readonly onPartition?: 'serve' | 'full-handshake' | undefined
  /** Default: silent. */
  readonly log?: Log | undefined
  readonly clock?: Clock | undefined
}

export const transports = ['auto', 'multicast', 'unicast', 'stream'] as const

const week = 7 * 24 * 3600_000

/** Default, least and most of each number. RFC 8446 4.6.1 lets no ticket live beyond a week. */
const numbers: {
  readonly [name in NumberName]: readonly [number | undefined, number, number]
} = {
  memory: [256 * 1024 * 1024, 4 * 1024 * 1024, 48 * 1024 ** 3],
  sessionTimeout: [3600_000, 1000, week],
  lineageTimeout: [24 * 3600_000, 1000, 52 * week],
  lookupBudget: [50, 0, 10_000],
  mintBudget: [10, 0, 1000],
  mintLimit: [undefined, 0, Number.POSITIVE_INFINITY],
  helloTimeout: [10_000, 10, 120_000],
  joinTimeout: [5000, 10, 600_000],
}

type NumberName =
  | 'memory'
  | 'sessionTimeout'
  | 'lineageTimeout'
  | 'lookupBudget'
  | 'mintBudget'
  | 'mintLimit'
  | 'helloTimeout'
  | 'joinTimeout'

export type FarmNumbers = {
  readonly [name in Exclude<NumberName, 'mintLimit'>]: number
} & { readonly mintLimit: number | undefined }

/** The numbers of the options with defaults filled in; ERR_HANDFAST_CONFIG names a bad one. */
export function farmNumbers(options: FarmOptions): FarmNumbers {
  const entries = Object.entries(numbers).map(([name, [usual, least, most]]) => {
    const given = options[name as NumberName]
    const value = given ?? usual
    if (value === undefined) return [name, undefined]
    if (typeof value !== 'number' || !(value >= least && value <= most)) {
      throw config(name, `a number from ${least} to ${most}`, value)
    }
    return [name, value]
  })
  return Object.fromEntries(entries) as FarmNumbers
}

/** Checks what is not a number. */
export function checkFarmOptions(options: FarmOptions): void {
  const { name, members, listen, secret, onPartition = 'serve' } = options
  if (onPartition !== 'serve' && onPartition !== 'full-handshake') {
    throw config('onPartition', "'serve' or 'full-handshake'", onPartition)
  }
  const { transport = 'stream' } = options
  if (!transports.includes(transport)) {
    throw config('transport', transports.map(name => `'${name}'`).join(', '), transport)
  }
  if (name !== undefined && !/^[\w.-]{1,64}$/.test(name)) {
    throw config('name', '1 to 64 letters, digits, dots, dashes or underscores', name)
  }
  if (members !== undefined && !Array.isArray(members)) {
    throw config('members', "a list of 'host:port'", members)
  }
  const { port } = listen ?? { port: 0 }
  if (!Number.isInteger(port) || port < 0 || port > 65_535) {
    throw config('listen.port', 'a port from 0 to 65535', port)
  }
  if ((members?.length || listen !== undefined) && secret === undefined) {
    throw new HandfastError(
      'ERR_HANDFAST_CONFIG',
      'option secret is needed to join a farm: 32 bytes, equal on all members ' +
        '(`handfast secret` prints one)',
    )
  }
}

function config(name: string, expected: string, got: unknown): HandfastError {
  return new HandfastError(
    'ERR_HANDFAST_CONFIG',
    `option ${name} must be ${expected}, got ${shown(got)}`,
  )
}
