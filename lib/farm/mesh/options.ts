import type { Clock } from '../../clock.ts'
import type { Log } from '../../log.ts'
import type { HybridClock } from '../../record/hybrid-clock.ts'
import type { Replica } from '../transport.ts'

/** What a member needs for its links, whatever flows over them. */
export interface StreamOptions {
  readonly replica: Replica
  readonly clock: Clock
  /** The farm's time, of the cache that the replica belongs to. Default: one of its own. */
  readonly versions?: HybridClock | undefined
  readonly log: Log
  /** All members of a farm give the same name and secret. */
  readonly farmName: string
  /** 32 bytes, or their base64url, base64 or hex. */
  readonly secret: string | Buffer
  /**
   * Where other members reach this one. A member that nobody can dial could only send, so
   * listening is not optional. Port 0 takes a free one; see the transport's `address`.
   */
  readonly listen: { readonly host?: string | undefined; readonly port: number }
  /** `host:port` that others should dial, where it is not what they see us come from. */
  readonly advertise?: string | undefined
  /**
   * `host:port` of some members, one is enough; a name stands for all its addresses. The own
   * address may be among them. Without a port, the one of `listen` is meant.
   */
  readonly members?: readonly string[] | undefined
  /** Unique in the farm, at most 64 of A-Z a-z 0-9 _ . : @ - . Default: made up at start. */
  readonly memberId?: string | undefined
  /** Must be another at each start, for records are numbered anew. Default: drawn at start. */
  readonly incarnation?: number | undefined
  /** 0 up to 1, spreads attempts over time. Default Math.random. */
  readonly random?: (() => number) | undefined
  /** All addresses of a name. Default: the system's resolver. */
  readonly resolve?: ((host: string) => Promise<readonly string[]>) | undefined
  /** How long a joining member waits for addresses that neither answer nor refuse. */
  readonly joinTimeout?: number | undefined
  readonly resolveInterval?: number | undefined
  /** A link on which nothing was sent for so long sends a ping. */
  readonly heartbeat?: number | undefined
  /** A link on which nothing was heard for so long is dead. At least 3 heartbeats. */
  readonly deadAfter?: number | undefined
  /** A member that was silent for so long is no longer listed nor dialled. */
  readonly forgetAfter?: number | undefined
  /** From the connection to the greeting. */
  readonly handshakeTimeout?: number | undefined
  /** A link with so many bytes that its socket did not take waits. */
  readonly socketBytes?: number | undefined
  /**
   * Questions to the farm per second, and at once after a pause: made-up session IDs must not
   * multiply into the farm. Where records lie with their owners, most of what is found is asked for.
   */
  readonly fetchRate?: number | undefined
  readonly fetchBurst?: number | undefined
  /** Connections that have not proved to be a member, at most. */
  readonly maxStrangers?: number | undefined
}

/** The defaults, in milliseconds, bytes and pieces. */
export const streamDefaults = {
  joinTimeout: 5_000,
  resolveInterval: 30_000,
  heartbeat: 1_000,
  deadAfter: 3_000,
  forgetAfter: 600_000,
  handshakeTimeout: 3_000,
  socketBytes: 262_144,
  fetchRate: 8_000,
  fetchBurst: 4_000,
  maxStrangers: 128,
} as const

export type StreamLimits = { readonly [name in keyof typeof streamDefaults]: number }

/** The limits that hold: what the options say, the defaults where they say nothing. */
export function streamLimits(options: StreamOptions): StreamLimits {
  const limits: Record<keyof typeof streamDefaults, number> = { ...streamDefaults }
  for (const name of Object.keys(streamDefaults) as (keyof typeof streamDefaults)[]) {
    const given = options[name]
    if (given === undefined) continue
    if (!(given > 0)) throw new RangeError(`${name} must be more than 0, got ${given}`)
    limits[name] = given
  }
  return limits
}
