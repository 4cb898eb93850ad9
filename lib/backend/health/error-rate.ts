/** A window consists of so many parts, of which the oldest is dropped as a whole. */
const parts = 10

export interface Rate {
  readonly requests: number
  readonly errors: number
}

/** Requests and errors of the last while. Times in monotonic milliseconds. */
export class ErrorRate {
  readonly #part: number
  readonly #requests = new Uint32Array(parts)
  readonly #errors = new Uint32Array(parts)
  /** Number of the part that is counted in now. */
  #at = 0

  constructor(window: number) {
    this.#part = window / parts
  }

  add(error: boolean, now: number): void {
    const slot = this.#turn(now)
    this.#requests[slot] = (this.#requests[slot] as number) + 1
    if (error) this.#errors[slot] = (this.#errors[slot] as number) + 1
  }

  read(now: number): Rate {
    this.#turn(now)
    return { requests: sum(this.#requests), errors: sum(this.#errors) }
  }

  clear(): void {
    this.#requests.fill(0)
    this.#errors.fill(0)
  }

  /** Drops what is too old; answers where to count. */
  #turn(now: number): number {
    const at = Math.floor(now / this.#part)
    if (at - this.#at >= parts) {
      this.clear()
      this.#at = at
    }
    while (this.#at < at) {
      this.#at += 1
      this.#requests[this.#at % parts] = 0
      this.#errors[this.#at % parts] = 0
    }
    return this.#at % parts
  }
}

function sum(counts: Uint32Array): number {
  let total = 0
  for (const count of counts) total += count
  return total
}
