import type { Clock, Timer } from '../clock.ts'

/**
 * One timer for everything; an engine that is due already gets the next turn of the loop. A
 * deadline that has moved on is not due: most writes are acknowledged long before their time.
 */
export class Wakeup {
  readonly #clock: Clock
  readonly #due: () => void
  #deadline = Infinity
  #timer: Timer | undefined
  #timerAt = Infinity
  #immediate: NodeJS.Immediate | undefined

  constructor(clock: Clock, due: () => void) {
    this.#clock = clock
    this.#due = due
  }

  /** In the place of the deadline before. It may be Infinity; both in the clock's milliseconds. */
  arm(deadline: number, now: number): void {
    this.#deadline = deadline
    if (deadline <= now) {
      this.#immediate ??= setImmediate(this.#onImmediate)
      return
    }
    if (deadline >= this.#timerAt || deadline === Infinity) return
    this.#timer?.cancel()
    this.#timerAt = deadline
    this.#timer = this.#clock.after(deadline - now, this.#onTimer)
  }

  close(): void {
    this.#timer?.cancel()
    clearImmediate(this.#immediate)
  }

  readonly #onImmediate = (): void => {
    this.#immediate = undefined
    this.#due()
  }

  readonly #onTimer = (): void => {
    this.#timerAt = Infinity
    const now = this.#clock.monotonic()
    // Timers count whole milliseconds, and may fire within the last one.
    if (this.#deadline - now < 1) this.#due()
    else this.arm(this.#deadline, now)
  }
}
