/**
 * Messages a second with which a member wakes others, for each an acknowledgement wakes it, and
 * as many come from the others: some 2,000 wake-ups in all. A wake-up costs what thirty records do.
 */
const mostMessages = 1_000
/** Ms that a write may wait for others to share its message: far less than its caller waits. */
const longestLinger = 4
/** ... and a copy that nobody waits for. */
const leastRest = 25
const longestRest = 500
/** The rate is that of so long, ms. */
const measured = 100

/**
 * How long copies wait for others to the same member. Spread over many members, many a second
 * would each be a message of its own, so the wait grows with both.
 */
export class Pace {
  #count = 0
  #since = -Infinity
  /** Writes a second. */
  #rate = 0

  /** A write was made. */
  count(now: number): void {
    if (now - this.#since >= measured) {
      this.#rate =
        this.#since === -Infinity ? 0 : (this.#count * 1_000) / (now - this.#since)
      this.#count = 0
      this.#since = now
    }
    this.#count += 1
  }

  /**
   * When a copy that is waited for leaves: with the turn of the event loop, or at the end of a
   * slot. Slots are those of the wall clock, alike on all members whose clocks are right: then
   * what they send each other comes together, too.
   */
  soon(now: number, wall: number, members: number): number {
    const slot = slotOf(members * (1_000 / mostMessages - 1_000 / this.#rate))
    return slot === 0 ? now : now + slot - (wall % slot)
  }

  /** When one leaves that nobody waits for, unless another takes it along before. */
  later(now: number, members: number): number {
    const rest = (members * 1_000) / mostMessages
    return now + Math.min(longestRest, Math.max(leastRest, rest))
  }
}

/** Whole ms, and powers of two, so that slots of different lengths end together. */
function slotOf(wanted: number): number {
  if (!(wanted > 0)) return 0
  return Math.min(longestLinger, 2 ** Math.ceil(Math.log2(Math.max(1, wanted))))
}
