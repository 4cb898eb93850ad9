/** Of the last so many. */
const most = 1_000
/** So many more until what is asked for is found out again. */
const step = 100

/** How long answers took lately, in milliseconds. */
export class AnswerTimes {
  readonly #part: number
  readonly #times = new Float64Array(most)
  #count = 0
  #value: number | undefined

  /** `percentile`: of which `value` is asked. */
  constructor(percentile: number) {
    this.#part = percentile / 100
  }

  add(ms: number): void {
    this.#times[this.#count++ % most] = ms
    if (this.#count % step !== 0) return
    const sorted = this.#times.slice(0, Math.min(most, this.#count)).sort()
    this.#value = sorted[Math.ceil(this.#part * sorted.length) - 1]
  }

  /** Undefined while there are too few to tell. */
  get value(): number | undefined {
    return this.#value
  }
}
