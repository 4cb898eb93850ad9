/** When a connection is written down. Milliseconds and bytes. */
export interface PaceOptions {
  /** An answer that is over sooner leaves no trace. */
  readonly patience: number
  /** A connection that has been idle for so long is written down as such. */
  readonly idle: number
  /** Progress of a long answer: at least so often, */
  readonly longest: number
  /** at most so often, */
  readonly shortest: number
  /** and when the client has taken so many more bytes. */
  readonly bytes: number
}

export const usualPace: PaceOptions = {
  patience: 100,
  idle: 50,
  longest: 5_000,
  shortest: 200,
  bytes: 16 * 2 ** 20,
}

/** What is due: a whole checkpoint, or how far the client has come. */
export type Due = 'checkpoint' | 'progress'

/**
 * The sliding scale of one connection: nothing for what is over soon, one checkpoint for what
 * lasts, then progress by bytes and time. A fast answer is told of by bytes, but not oftener than
 * `shortest`; a slow one, whose few bytes a probe finds again anyway, by time, and the slower the
 * rarer, up to `longest`. Pure; times are of one monotonic clock.
 */
export class Pace {
  readonly #options: PaceOptions
  #busy = false
  #changedAt: number
  #written = false
  #toldAt = 0
  #toldBytes = 0
  #interval: number

  constructor(now: number, options: PaceOptions = usualPace) {
    this.#options = options
    this.#changedAt = now
    this.#interval = options.shortest
  }

  /** What is to be written down is another thing from now on. */
  changed(busy: boolean, now: number): void {
    this.#busy = busy
    this.#changedAt = now
    this.#written = false
  }

  /** Nothing but progress will be due before something changes. */
  get isWritten(): boolean {
    return this.#written
  }

  /** `acked`: bytes that the client has taken, as far as is known. */
  due(acked: number, now: number): Due | undefined {
    const { patience, idle, bytes, shortest } = this.#options
    if (!this.#written) {
      const wait = this.#busy ? patience : idle
      return now - this.#changedAt >= wait ? 'checkpoint' : undefined
    }
    if (!this.#busy) return undefined
    const since = now - this.#toldAt
    const more = acked - this.#toldBytes
    if (more <= 0 || since < shortest) return undefined
    return more >= bytes || since >= this.#interval ? 'progress' : undefined
  }

  /** It has been done. */
  told(acked: number, now: number): void {
    const { bytes, shortest, longest } = this.#options
    if (this.#written) {
      const rate = (acked - this.#toldBytes) / Math.max(1, now - this.#toldAt)
      // As long as the client needs for `bytes`: one that is slow has not come far by then.
      this.#interval = Math.min(longest, Math.max(shortest, bytes / Math.max(1, rate)))
    }
    this.#written = true
    this.#toldAt = now
    this.#toldBytes = acked
  }
}
