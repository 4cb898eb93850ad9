import type { Clock } from '../clock.ts'
import { TokenBucket } from './token-bucket.ts'

/** Lets through what strangers make us log: ten lines at once, then one each second. */
export class LogLimiter {
  readonly #clock: Clock
  readonly #bucket = new TokenBucket(1, 10)
  #held = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Calls `write` with the number of lines that were held back since the last one. */
  log(write: (heldBack: number) => void): void {
    if (!this.#bucket.take(this.#clock.monotonic())) {
      this.#held += 1
      return
    }
    const held = this.#held
    this.#held = 0
    write(held)
  }
}
