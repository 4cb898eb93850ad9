/** Where the limit begins, and below which it never falls. */
const initial = 20
const least = 4

/** Answers whose latencies are taken together. */
const windowSize = 50
/** Latency may be so many times that of a backend at ease before the limit shrinks. */
const tolerance = 1.5
const smoothing = 0.2

/** So many windows until it is found out anew how long a backend at ease takes... */
const probeEvery = 100
/** ...with so much of the limit... */
const probePart = 1 / 4
/** ...and in the last of so many windows: the first still have what was under way before. */
const probeWindows = 2

/**
 * How many requests at a time a backend bears, found out by how long it takes: while that is near
 * what it takes at ease the limit grows, when it is more the limit shrinks in proportion (the
 * gradient of Netflix' concurrency-limits). The square root of the limit may always be on top of
 * it, so that it can be found out whether more would do. What it takes at ease is measured now and
 * then with a quarter of the requests (as BBR does with its round-trip time): else a backend that
 * is slow for a while would pass for one that always is.
 */
export class AdaptiveLimit {
  readonly #most: number
  #limit: number
  #sum = 0
  #count = 0
  #busiest = 0
  /** Milliseconds; undefined until the first window is full. */
  #atEase: number | undefined
  #windows = 0
  /** Windows of a probe that are left. */
  #probing = 0

  /** `most`: of what it may become. */
  constructor(most: number) {
    this.#most = most
    this.#limit = Math.min(initial, most)
  }

  get limit(): number {
    const part = this.#probing > 0 ? probePart : 1
    return Math.max(Math.min(least, this.#most), Math.floor(this.#limit * part))
  }

  /**
   * Takes note of an answer: how long it took in milliseconds, and how many requests were under
   * way then. True when the limit may have changed.
   */
  answered(latency: number, underWay: number): boolean {
    this.#sum += latency
    this.#count++
    this.#busiest = Math.max(this.#busiest, underWay)
    if (this.#count < windowSize) return false
    this.#turn(this.#sum / this.#count)
    this.#sum = 0
    this.#count = 0
    this.#busiest = 0
    return true
  }

  #turn(latency: number): void {
    this.#windows++
    if (this.#probing > 0) {
      this.#probing--
      if (this.#probing === 0) this.#atEase = latency
      return
    }
    this.#atEase = Math.min(latency, this.#atEase ?? latency)
    if (this.#windows % probeEvery === 0) {
      this.#probing = probeWindows
      return
    }
    // Nobody has tried the limit: nothing was learned about it.
    if (this.#busiest < this.#limit / 2) return
    const gradient = Math.max(0.5, Math.min(1, (tolerance * this.#atEase) / latency))
    const wanted = this.#limit * gradient + Math.sqrt(this.#limit)
    const next = this.#limit * (1 - smoothing) + wanted * smoothing
    this.#limit = Math.max(Math.min(least, this.#most), Math.min(this.#most, next))
  }
}
