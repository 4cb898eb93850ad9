import type { Clock, Timer } from '../../clock.ts'

/** Something that waits for its hello. */
export interface Waiting {
  /** Its time is up. */
  expire(): void
}

/**
 * How long connections may take for their hellos, the same for each, so that they end in the
 * order in which they came: one timer for all of them, since every handshake pays for its own.
 */
export class HelloTimeouts {
  readonly #clock: Clock
  readonly #timeout: number
  /** With the moment, on the monotonic clock, at which each has waited long enough. */
  readonly #waiting = new Map<Waiting, number>()
  #timer: Timer | undefined

  /** `timeout` in milliseconds. */
  constructor(clock: Clock, timeout: number) {
    this.#clock = clock
    this.#timeout = timeout
  }

  add(waiting: Waiting): void {
    this.#waiting.set(waiting, this.#clock.monotonic() + this.#timeout)
    this.#timer ??= this.#clock.after(this.#timeout, this.#onTimer)
  }

  /** A timer for it alone that is running goes on: it finds nothing to do, and does not return. */
  delete(waiting: Waiting): void {
    this.#waiting.delete(waiting)
  }

  readonly #onTimer = (): void => {
    this.#timer = undefined
    const now = this.#clock.monotonic()
    for (const [waiting, at] of this.#waiting) {
      // Timers count whole milliseconds, and may fire within the last one.
      if (at - now >= 1) {
        this.#timer = this.#clock.after(Math.ceil(at - now), this.#onTimer)
        return
      }
      this.#waiting.delete(waiting)
      waiting.expire()
    }
  }
}
