import type { Clock } from '../clock.ts'

/** Failures in a row after which nothing is tried for a while. */
const mostFailures = 5
/** From then on until one is tried again, ms; it doubles with each that fails. */
const firstPause = 1_000
const longestPause = 30_000

/** Keeps callers from waiting for what does not work, and finds out when it works again. */
export class Breaker {
  readonly #clock: Clock
  readonly #longest: number
  #failures = 0
  #pause = firstPause
  /** Undefined while it is closed, which is when all is well. */
  #tryAt: number | undefined

  constructor(clock: Clock, longest: number = longestPause) {
    this.#clock = clock
    this.#longest = longest
  }

  get isOpen(): boolean {
    return this.#tryAt !== undefined
  }

  /** Whether to try. While it is open, one at a time and after a pause. */
  admits(): boolean {
    if (this.#tryAt === undefined) return true
    const now = this.#clock.monotonic()
    if (now < this.#tryAt) return false
    this.#tryAt = now + this.#pause
    return true
  }

  /** True when it was open. */
  succeeded(): boolean {
    const wasOpen = this.isOpen
    this.#failures = 0
    this.#pause = firstPause
    this.#tryAt = undefined
    return wasOpen
  }

  /** It may be open from now on. */
  failed(): void {
    this.#failures += 1
    if (this.isOpen) this.#pause = Math.min(2 * this.#pause, this.#longest)
    else if (this.#failures < mostFailures) return
    this.#tryAt = this.#clock.monotonic() + this.#pause
  }
}
