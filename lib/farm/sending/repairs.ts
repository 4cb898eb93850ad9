import { TokenBucket } from '../../limit/token-bucket.ts'
import type { SenderTag } from '../../wire/datagram.ts'
import type { SequenceRange } from '../../wire/datagram-control.ts'
import type { RepairRing } from './repair-ring.ts'

/** One NACK, 700 bytes at most, never costs us more than this many datagrams. */
export const maxRepairsPerNack = 64
const maxPending = 1_024
/** Of the farm's ceiling; the rest is for new data. */
const repairShare = 0.25
const holdOff = 3

export interface Repair {
  readonly sequence: number
  readonly datagram: Buffer
  /** To this member alone; undefined: to the group. */
  readonly to: SenderTag | undefined
}

/**
 * Which datagrams to send again, and when. Everything here bounds what a NACK can make us do:
 * its own limit, a hold-off per datagram, a bound on what waits, and a token bucket.
 */
export class Repairs {
  readonly #ring: RepairRing
  readonly #bucket: TokenBucket
  readonly #pending = new Map<string, { sequence: number; to: SenderTag | undefined }>()
  #held = 0

  constructor(ring: RepairRing, ceiling: number) {
    this.#ring = ring
    this.#bucket = new TokenBucket(ceiling * repairShare, maxRepairsPerNack)
  }

  /** Requests that fell into a hold-off or beyond a bound. */
  get held(): number {
    return this.#held
  }

  /**
   * Notes what a receiver misses. `to`: answer that member alone. True when some of it can't
   * be repaired any more.
   */
  request(
    ranges: readonly SequenceRange[],
    to: SenderTag | undefined,
    now: number,
  ): boolean {
    let taken = 0
    let gone = false
    for (const range of ranges) {
      for (let i = 0; i < range.length && taken < maxRepairsPerNack; i++) {
        const sequence = range.first + i
        if (this.#ring.get(sequence) === undefined) {
          gone ||= sequence < this.#ring.tail
          // Nothing further on is in the ring either, or all of it is below the tail.
          taken += 1
          continue
        }
        taken += 1
        this.#note(sequence, to, now)
      }
    }
    return gone
  }

  /** The repairs that may leave now. */
  take(now: number): Repair[] {
    const repairs: Repair[] = []
    for (const [name, { sequence, to }] of this.#pending) {
      const datagram = this.#ring.get(sequence)
      if (datagram !== undefined && !this.#bucket.take(now)) break
      this.#pending.delete(name)
      if (datagram === undefined) continue
      if (to === undefined) this.#ring.repaired(sequence, now)
      repairs.push({ sequence, datagram, to })
    }
    return repairs
  }

  deadline(now: number): number {
    return this.#pending.size === 0 ? Infinity : this.#bucket.readyAt(now)
  }

  #note(sequence: number, to: SenderTag | undefined, now: number): void {
    const name = to === undefined ? `${sequence}` : `${sequence} ${to}`
    const tooSoon = to === undefined && now - this.#ring.repairedAt(sequence) < holdOff
    if (tooSoon || this.#pending.size >= maxPending) this.#held += 1
    else this.#pending.set(name, { sequence, to })
  }
}
