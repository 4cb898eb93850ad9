import type { Clock } from '../../clock.ts'

/** Time in milliseconds in which what was measured loses two thirds of its say. */
const decay = 10_000

/**
 * Latency as Finagle has it: a moving average that believes bad news at once, and good news as
 * time goes by.
 */
export class PeakEwma {
  readonly #clock: Clock
  #value = 0
  #at = -Infinity

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** An answer came after so many milliseconds. */
  observe(ms: number): void {
    const now = this.#clock.monotonic()
    if (ms > this.#value) this.#value = ms
    else {
      const kept = Math.exp(-(now - this.#at) / decay)
      this.#value = this.#value * kept + ms * (1 - kept)
    }
    this.#at = now
  }

  /** In milliseconds. Without news it sinks, so that a backend that was slow is tried again. */
  get value(): number {
    return this.#value * Math.exp(-(this.#clock.monotonic() - this.#at) / (3 * decay))
  }

  get measured(): boolean {
    return this.#at !== -Infinity
  }
}
