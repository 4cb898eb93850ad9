/** Lets `rate` things a second pass, and up to `burst` at once after a pause. */
export class TokenBucket {
  readonly #rate: number
  readonly #burst: number
  #tokens: number
  #at: number | undefined

  constructor(rate: number, burst: number) {
    this.#rate = rate
    this.#burst = burst
    this.#tokens = burst
  }

  /** Takes one token if there is one. `now` in milliseconds, never going back. */
  take(now: number): boolean {
    const passed = now - (this.#at ?? now)
    this.#at = now
    this.#tokens = Math.min(this.#burst, this.#tokens + (passed * this.#rate) / 1_000)
    if (this.#tokens < 1) return false
    this.#tokens -= 1
    return true
  }
}
