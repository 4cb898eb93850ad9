import type { SenderTag } from '../../wire/datagram.ts'
import type { VectorEntry } from '../../wire/sync-message.ts'

/**
 * Why the table of a member is to be fetched:
 *
 * - `met`: for what that member wrote; any table that has it will do.
 * - `lost`: the same, of which something was lost here just now: a fetch that is under way may have
 *   passed it.
 * - an entry of a vector: for what somebody wrote who is away, up to there.
 * - `round`: for what no number tells.
 */
export type Reason = 'met' | 'lost' | 'round' | VectorEntry

/** All that is wanted of one member's table. */
export class TableWant {
  notBefore: number
  #isRound = false
  /** Number of the first fetch that may bring what the member wrote; undefined: it is here. */
  #ownFrom: number | undefined
  readonly #away = new Map<SenderTag, number>()

  constructor(notBefore: number) {
    this.notBefore = notBefore
  }

  /** Our table is not complete without it. */
  get isNeed(): boolean {
    return this.#ownFrom !== undefined || this.#away.size > 0
  }

  /** All that was wanted is here. */
  get isOver(): boolean {
    return !this.isNeed && !this.#isRound
  }

  /** `next`: number of the first fetch that begins from now on. */
  add(reason: Reason, next: number): void {
    if (reason === 'round') this.#isRound = true
    else if (reason === 'met') this.#ownFrom ??= 0
    else if (reason === 'lost') this.#ownFrom = next
    else this.#addAway(reason)
  }

  /** What another one wants, too. */
  join(other: TableWant): void {
    this.#isRound ||= other.#isRound
    if (other.#ownFrom !== undefined)
      this.#ownFrom = Math.max(this.#ownFrom ?? 0, other.#ownFrom)
    for (const [sender, contiguous] of other.#away) this.#addAway({ sender, contiguous })
  }

  /** Whether the fetch of this number may bring what the member wrote, as far as it is wanted. */
  isServedBy(fetch: number): boolean {
    return this.#ownFrom === undefined || this.#ownFrom <= fetch
  }

  /** That fetch, of whatever table, has brought it. */
  served(fetch: number): void {
    if (this.isServedBy(fetch)) this.#ownFrom = undefined
  }

  /** A table was fetched that has everything up to there. */
  has({ sender, contiguous }: VectorEntry): void {
    const wanted = this.#away.get(sender)
    if (wanted !== undefined && wanted <= contiguous) this.#away.delete(sender)
  }

  #addAway({ sender, contiguous }: VectorEntry): void {
    this.#away.set(sender, Math.max(contiguous, this.#away.get(sender) ?? 0))
  }
}
