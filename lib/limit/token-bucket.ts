/** Lets `rate` things a second through, at most `burst` at once. It is full to begin with. */
export class TokenBucket {
  readonly #burst: number
  #rate: number
  #tokens: number
  #at: number | undefined

  constructor(rate: number, burst: number) {
    this.#rate = rate
    this.#burst = burst
    this.#tokens = burst
  }

  get rate(): number {
    return this.#rate
  }

  /** `now` in milliseconds, here and below. */
  setRate(rate: number, now: number): void {
    this.#fill(now)
    this.#rate = rate
  }

  /** True when one may pass now; it is then counted. */
  take(now: number): boolean {
    this.#fill(now)
    if (this.#tokens < 1) return false
    this.#tokens -= 1
    return true
  }

  /** When the next one may pass. */
  readyAt(now: number): number {
    this.#fill(now)
    if (this.#tokens >= 1) return now
    return now + ((1 - this.#tokens) * 1000) / this.#rate
  }

  #fill(now: number): void {
    this.#at ??= now
    // A clock that was read before the last call must not take tokens away.
    if (now <= this.#at) return
    this.#tokens = Math.min(
      this.#burst,
      this.#tokens + ((now - this.#at) * this.#rate) / 1000,
    )
    this.#at = now
  }
}
