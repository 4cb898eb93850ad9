import type { Clock } from '../clock.ts'
import { HandfastError } from '../errors.ts'
import type { Log } from '../log.ts'

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
  readonly listen?:
    | { readonly host?: string | undefined; readonly port: number }
    | undefined
  /** `host:port` under which the others reach this member, where they can't see it. */
  readonly advertise?: string | undefined
  /** Name of this member, unique in the farm. Default: made up at each start. */
  readonly memberId?: string | undefined
  /** Bytes for the record table. Default 256 MiB. */
  readonly memory?: number | undefined
  /** A session may resume this long after it was made. Default 1 h, at most 7 days. */
  readonly sessionTimeout?: number | undefined
  /** A chain of resumptions ends this long after its full handshake. Default 24 h. */
  readonly lineageTimeout?: number | undefined
  /** Longest wait for other members when a session is not here. Default 50. */
  readonly lookupBudget?: number | undefined
  /** Longest wait for another member to have a new session. Default 10. */
  readonly mintBudget?: number | undefined
  /** A client must have sent its ClientHello within. Default 10 000. */
  readonly helloTimeout?: number | undefined
  /** Longest wait for the farm at start, when it is there but slow. Default 5 000. */
  readonly joinTimeout?: number | undefined
  /**
   * While a member can't be reached, a revocation made there is not heard here. `serve`
   * (default): resume what is not known to be revoked. `full-handshake`: resume nothing until
   * every member answers again, has taken its leave, or has been away for ten minutes.
   */
  readonly onPartition?: 'serve' | 'full-handshake' | undefined
  /** Default: silent. */
  readonly log?: Log | undefined
  readonly clock?: Clock | undefined
}

const week = 7 * 24 * 3600_000

/** Default, least and most of each number. RFC 8446 4.6.1 lets no ticket live beyond a week. */
const numbers: { readonly [name in NumberName]: readonly [number, number, number] } = {
  memory: [256 * 1024 * 1024, 4 * 1024 * 1024, 48 * 1024 ** 3],
  sessionTimeout: [3600_000, 1000, week],
  lineageTimeout: [24 * 3600_000, 1000, 52 * week],
  lookupBudget: [50, 0, 10_000],
  mintBudget: [10, 0, 1000],
  helloTimeout: [10_000, 10, 120_000],
  joinTimeout: [5000, 10, 600_000],
}

type NumberName =
  | 'memory'
  | 'sessionTimeout'
  | 'lineageTimeout'
  | 'lookupBudget'
  | 'mintBudget'
  | 'helloTimeout'
  | 'joinTimeout'

export type FarmNumbers = { readonly [name in NumberName]: number }

/** The numbers of the options with defaults filled in; ERR_HANDFAST_CONFIG names a bad one. */
export function farmNumbers(options: FarmOptions): FarmNumbers {
  const entries = Object.entries(numbers).map(([name, [usual, least, most]]) => {
    const given = options[name as NumberName]
    const value = given ?? usual
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
  const shown = JSON.stringify(got)?.slice(0, 80)
  return new HandfastError(
    'ERR_HANDFAST_CONFIG',
    `option ${name} must be ${expected}, got ${shown}`,
  )
}
