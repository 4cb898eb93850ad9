import { BoundedMap } from '../../bounded-map.ts'
import type { Clock } from '../../clock.ts'

/**
 * So many names are kept. The oldest go first: who wants to be forgotten sends far more requests
 * for that than are won by it.
 */
const maxNames = 10_000

/**
 * Guesses at users from an address that has used up its failures. They are not tried, and all the
 * same memory would tell whether one is right, so they count; on this member alone, for whoever
 * makes up names without end must not fill the tables of all members.
 */
export class Untried {
  readonly #clock: Clock
  readonly #window: number
  readonly #counts = new BoundedMap<string, Counted>(maxNames)

  /** `window`: milliseconds in which they count. */
  constructor(clock: Clock, window: number) {
    this.#clock = clock
    this.#window = window
  }

  get size(): number {
    return this.#counts.size
  }

  count(name: string): void {
    const now = this.#clock.monotonic()
    const known = this.#counts.get(name)
    const counted =
      known !== undefined && known.endsAt > now
        ? known
        : { endsAt: now + this.#window, count: 0 }
    counted.count += 1
    this.#counts.set(name, counted)
  }

  /** Milliseconds until there are fewer than `limit`; 0 when there are. */
  wait(name: string, limit: number): number {
    const known = this.#counts.get(name)
    if (known === undefined || known.count < limit) return 0
    return Math.max(0, known.endsAt - this.#clock.monotonic())
  }
}

interface Counted {
  /** On the monotonic clock. */
  readonly endsAt: number
  count: number
}
