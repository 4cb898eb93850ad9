import { ErrorRate } from '../../backend/health/error-rate.ts'
import type { RetryOptions } from './options.ts'

const window = 10_000

/**
 * How many requests may be repeated: a share of those that came lately, so that retries never
 * multiply the load of backends that have too much already (Finagle's RetryBudget). Times in
 * monotonic milliseconds.
 */
export class RetryBudget {
  readonly #options: RetryOptions
  /** What is counted as an error is a repeat. */
  readonly #lately = new ErrorRate(window)

  constructor(options: RetryOptions) {
    this.#options = options
  }

  /** A request came, not one that is sent again. */
  deposit(now: number): void {
    this.#lately.add(false, now)
  }

  /** Whether one may be repeated; it is counted then. */
  take(now: number): boolean {
    const { budget, budgetFrom } = this.#options
    const { requests, errors: repeats } = this.#lately.read(now)
    const first = requests - repeats
    if (repeats >= Math.max(budgetFrom, (first * budget) / 100)) return false
    this.#lately.add(true, now)
    return true
  }
}
