import type { Clock, Timer } from '../clock.ts'

/** One timer for everything; an engine that is due already gets the next turn of the loop. */
export class Wakeup {
  readonly #clock: Clock
  readonly #due: () => void
  #timer: Timer | undefined
  #timerAt = Infinity
  #immediate: NodeJS.Immediate | undefined

  constructor(clock: Clock, due: () => void) {
    this.#clock = clock
    this.#due = due
  }

  /** `deadline` may be Infinity; both in the clock's milliseconds. */
  arm(deadline: number, now: number): void {
    if (deadline <= now) {
      this.#immediate ??= setImmediate(() => {
        this.#immediate = undefined
        this.#due()
      })
      return
    }
    if (deadline >= this.#timerAt || deadline === Infinity) return
    this.#timer?.cancel()
    this.#timerAt = deadline
    this.#timer = this.#clock.after(deadline - now, () => {
      this.#timerAt = Infinity
      this.#due()
    })
  }

  close(): void {
    this.#timer?.cancel()
    clearImmediate(this.#immediate)
  }
}
