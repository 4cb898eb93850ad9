import type { Clock, Timer } from '../clock.ts'

/** Between two looks at the clocks. */
const interval = 100
/** A gap of this much more than that, and the process has slept. */
const gap = 500
/** After it: what was said meanwhile waits in the sockets, and the end of a link behind it. */
const grace = 1_000

/**
 * Tells whether this process stood still a moment ago: stopped, swapped out, on a machine that
 * was paused, or with a loop that was held up. It then sees the world as it was before. A link
 * that others have long given up looks alive as soon as the last bytes on it are read, and a
 * client may be served before the revocation that lies in the next socket.
 *
 * Both clocks are looked at: the monotonic one stands still while a machine is suspended.
 */
export class SleepGuard {
  readonly #clock: Clock
  #wall: number
  #monotonic: number
  #unsureUntil = Number.NEGATIVE_INFINITY
  #timer: Timer | undefined
  #closed = false

  constructor(clock: Clock) {
    this.#clock = clock
    this.#wall = clock.now()
    this.#monotonic = clock.monotonic()
    this.#tick()
  }

  /** True from waking up until what had come meanwhile has been read. */
  get hasSlept(): boolean {
    this.#look()
    return this.#monotonic < this.#unsureUntil
  }

  close(): void {
    this.#closed = true
    this.#timer?.cancel()
  }

  #tick(): void {
    if (this.#closed) return
    this.#look()
    this.#timer = this.#clock.after(interval, () => this.#tick())
  }

  #look(): void {
    const wall = this.#clock.now()
    const monotonic = this.#clock.monotonic()
    const passed = Math.max(monotonic - this.#monotonic, Math.abs(wall - this.#wall))
    if (passed > interval + gap) this.#unsureUntil = monotonic + grace
    this.#wall = wall
    this.#monotonic = monotonic
  }
}
