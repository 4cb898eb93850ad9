export interface WorkBudgetOptions {
  /** Milliseconds of processor time in a second that may be spent, on the average. */
  readonly perSecond: number
  /** So much may be spent at once after a rest, and to begin with. */
  readonly atOnce: number
}

/**
 * For work of which nobody knows beforehand how long it takes: what it has taken is counted, and
 * when it was too much there is none until that is made up for.
 */
export class WorkBudget {
  readonly #options: WorkBudgetOptions
  #left: number
  #at: number | undefined

  constructor(options: WorkBudgetOptions) {
    this.#options = options
    this.#left = options.atOnce
  }

  /** `now` in milliseconds of a clock that never jumps. */
  allows(now: number): boolean {
    const { perSecond, atOnce } = this.#options
    const passed = Math.max(0, now - (this.#at ?? now))
    this.#left = Math.min(atOnce, this.#left + (passed * perSecond) / 1000)
    this.#at = now
    return this.#left > 0
  }

  spend(milliseconds: number): void {
    this.#left -= milliseconds
  }
}
