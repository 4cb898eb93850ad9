import { defaultDatagramLength } from '../wire/datagram.ts'

/**
 * Who acknowledges what this member sends. `all`: everybody (1 + N packets, row A14). `none`:
 * nobody, receivers only ask for what they miss (row A15). `repositories` or a list of member
 * ids: those do, the others only ask for what they miss, all from one transmission (1 + n, row
 * A16). `auto`: the repositories, or the next members where the farm has none.
 */
export type Acks = 'auto' | 'all' | 'none' | 'repositories' | readonly string[]

/**
 * How many of our own datagrams may be on their way back to us (row A17). `strict`: one, as in
 * the seed. `adaptive`: more while nothing is lost.
 */
export type OwnWindow = 'strict' | 'adaptive'

/** What a packet engine can be told; every number has its reason beside it. */
export interface PacketSettings {
  readonly acks: Acks
  /** How many members acknowledge with `auto` where there are no repositories. */
  readonly autoAckers: number
  readonly ownWindow: OwnWindow
  /** Longest datagram, header and tag included. */
  readonly datagramLength: number
  /**
   * Records wait for others to share a datagram until so long, ms, after the last one: 4.5
   * records in each against 1.7. After a rest they leave with the turn of the event loop.
   */
  readonly linger: number
  /** At most this many records in a datagram; 1 gives the seed's packet counts. */
  readonly recordsPerDatagram: number
  /**
   * Datagrams a second that the farm may send together: what a receiver's socket buffer holds,
   * over the stall it must survive. 92 datagrams / 25 ms at Linux' default of 212,992 bytes,
   * 3640 / 250 ms with 4 MiB.
   */
  readonly ceiling: number
  /** Datagrams that ackers may lag behind. */
  readonly ackWindow: number
  /** Records that wait to be sent. Beyond it the oldest is left to anti-entropy. */
  readonly queueLength: number
  /** What can be repaired: datagrams, their bytes, and for how long, ms. */
  readonly ringLength: number
  readonly ringBytes: number
  readonly ringAge: number
  /** Heartbeats at rest, ms; also the unit of suspicion (five missed). */
  readonly heartbeat: number
  /** Between two comparisons of tables with some other member, ms; longer for large tables. */
  readonly antiEntropy: number
  /** Age at which the epoch key is replaced, ms. */
  readonly keyAge: number
}

export const defaultPacketSettings: PacketSettings = {
  acks: 'auto',
  // One may die without a write being lost.
  autoAckers: 2,
  ownWindow: 'adaptive',
  datagramLength: defaultDatagramLength,
  linger: 1,
  recordsPerDatagram: 255,
  ceiling: 14_000,
  ackWindow: 64,
  queueLength: 4_096,
  ringLength: 8_192,
  ringBytes: 10 * 1024 * 1024,
  ringAge: 10_000,
  heartbeat: 500,
  antiEntropy: 30_000,
  keyAge: 24 * 60 * 60 * 1000,
}

/**
 * Where everything goes over links: those have heartbeats of their own, so that a member whose
 * link is cut is away after 3 s; and what they bring is never compared again.
 */
export const linkSettings: PacketSettings = {
  ...defaultPacketSettings,
  // What a link takes is not lost, and an answer costs as much as a record.
  autoAckers: 1,
  heartbeat: 1_500,
  antiEntropy: Infinity,
  ringBytes: 16 * 1024 * 1024,
  ringAge: Infinity,
}

/** The ceiling that a receive buffer of so many bytes can bear; see `ceiling`. */
export function ceilingFor(receiveBuffer: number): number {
  return receiveBuffer >= 4 * 1024 * 1024 ? 14_000 : 4_000
}
