import type { OwnWindow } from '../settings.ts'

const firstWindow = 16
const largestWindow = 64
/** A copy that is not back by then, ms, will not come. */
const lostAfter = 20
const growthInterval = 100
/** Share of fresh datagrams asked for again, above which receivers count as overrun. */
const overrunShare = 0.2

/**
 * The seed's flow control (row A17): a sender is a receiver of its own datagrams, so that a
 * copy which came back has passed everything the others' did before it, our own input queue
 * with the others' segments included. Two gauges: how many of ours are still out, and how many
 * of the others' come between two of ours.
 *
 * It sees the local stack and its input queue, not the wire: the looped copy is made before the
 * network device drops anything. Token bucket and ack window stand beside it for that.
 */
export class OwnLoop {
  readonly #mode: OwnWindow
  readonly #sentAt = new Float64Array(largestWindow * 2)
  #window: number
  #last: number
  #returned: number
  #others = 0
  #mean = 0
  #lost = 0
  #timeouts = 0
  #lossFreeSince = 0
  #fresh = 0
  #asked = 0

  /** `last`: sequence number before the first. */
  constructor(mode: OwnWindow, last: number) {
    this.#mode = mode
    this.#last = last
    this.#returned = last
    this.#window = mode === 'strict' ? 1 : firstWindow
  }

  get window(): number {
    return this.#window
  }

  /** Datagrams of ours that are not back yet. */
  get outstanding(): number {
    return this.#last - this.#returned
  }

  /** Mean number of others' segments between two of ours. */
  get mean(): number {
    return this.#mean
  }

  /** Own copies that never came. */
  get lost(): number {
    return this.#lost
  }

  /** False while our own copies do not come back: the trouble may well be ours. */
  get healthy(): boolean {
    return this.#timeouts < 3
  }

  get permits(): boolean {
    return this.outstanding < this.#window
  }

  sent(sequence: number, now: number): void {
    this.#last = sequence
    this.#fresh += 1
    this.#sentAt[sequence % this.#sentAt.length] = now
  }

  returned(sequence: number, now: number): void {
    if (sequence <= this.#returned || sequence > this.#last) return
    const skipped = sequence - this.#returned - 1
    this.#returned = sequence
    this.#timeouts = 0
    this.#mean += (this.#others - this.#mean) / 8
    this.#others = 0
    if (skipped > 0) this.#loss(skipped, now)
    else this.#grow(now)
  }

  /** A data datagram of another member came. */
  passed(): void {
    this.#others += 1
  }

  /** A receiver asked for so many of ours again. */
  asked(datagrams: number): void {
    this.#asked += datagrams
  }

  /** When the oldest copy that is out counts as lost. */
  get deadline(): number {
    if (this.outstanding === 0) return Infinity
    return (
      (this.#sentAt[(this.#returned + 1) % this.#sentAt.length] ?? Infinity) + lostAfter
    )
  }

  /**
   * Gives up on copies that are overdue, so that a sender never waits for ever. `late`: our own
   * loop was held up, so the copies may lie unread in the socket; they get the time again.
   */
  expire(now: number, late: boolean): void {
    if (this.deadline > now) return
    if (late) {
      for (let at = this.#returned + 1; at <= this.#last; at++)
        this.#sentAt[at % this.#sentAt.length] = now
      return
    }
    this.#timeouts += 1
    this.#loss(this.outstanding, now)
    this.#window = 1
    this.#returned = this.#last
  }

  #loss(datagrams: number, now: number): void {
    this.#lost += datagrams
    this.#shrink(now)
  }

  #shrink(now: number): void {
    this.#lossFreeSince = now
    this.#fresh = 0
    this.#asked = 0
    if (this.#mode === 'adaptive')
      this.#window = Math.max(1, Math.floor(this.#window / 2))
  }

  #grow(now: number): void {
    if (now - this.#lossFreeSince < growthInterval) return
    if (this.#fresh > 0 && this.#asked > this.#fresh * overrunShare) {
      this.#shrink(now)
      return
    }
    this.#lossFreeSince = now
    this.#fresh = 0
    this.#asked = 0
    if (this.#mode === 'adaptive')
      this.#window = Math.min(largestWindow, this.#window + 1)
  }
}
