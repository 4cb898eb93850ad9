export interface RateLimitOptions {
  /** So much at once, and again in each window. 0 and Infinity: no limit. */
  readonly count: number
  /** Milliseconds. */
  readonly window: number
  /** Names that are remembered; beyond it the one seen longest ago is forgotten. */
  readonly mostNames?: number
}

/**
 * A token bucket for each name, kept as one number: the time at which it will be full again
 * (the generic cell rate algorithm, ITU-T I.371). A bucket that is full need not be kept.
 */
export class RateLimit {
  readonly #cost: number
  readonly #window: number
  readonly #most: number
  readonly #fullAt = new Map<string, number>()

  constructor({ count, window, mostNames = 65_536 }: RateLimitOptions) {
    this.#cost = count > 0 ? window / count : 0
    this.#window = window
    this.#most = mostNames
  }

  /** There is a limit at all. */
  get limits(): boolean {
    return this.#cost > 0
  }

  /** Names that are remembered now. */
  get size(): number {
    return this.#fullAt.size
  }

  /** Takes so many tokens of the name; false when they are not there, and then takes none. */
  take(name: string, now: number, tokens = 1): boolean {
    if (this.#cost === 0) return true
    const before = this.#fullAt.get(name)
    const fullAt =
      (before !== undefined && before > now ? before : now) + tokens * this.#cost
    // Rounding must not cost the last token of a full bucket.
    if (fullAt - now > this.#window + 1e-6 * this.#window) return false
    if (before !== undefined) this.#fullAt.delete(name)
    this.#fullAt.set(name, fullAt)
    this.#forget(now)
    return true
  }

  /** Two at most for each that came: the map shrinks back after a flood. */
  #forget(now: number): void {
    let looked = 0
    for (const [name, fullAt] of this.#fullAt) {
      if (looked === 2) return
      looked += 1
      if (fullAt > now && this.#fullAt.size <= this.#most) return
      this.#fullAt.delete(name)
    }
  }
}
