/** After the last datagram, ms: who missed it learns so at once (PGM's ambient beats). */
const afterData = [10, 20, 50, 100, 200]

/** Between two that are sent out of turn, ms: many members may join at once. */
const spacing = 10

/** When to send heartbeats: at rest by the clock, and closer together after data. */
export class Heartbeats {
  readonly #interval: number
  #regularAt: number
  #tailAt = Infinity
  #lastData = 0
  #step = 0
  #sentAt = -Infinity

  constructor(interval: number, now: number) {
    this.#interval = interval
    this.#regularAt = now
  }

  get deadline(): number {
    return Math.min(this.#regularAt, this.#tailAt)
  }

  data(now: number): void {
    this.#lastData = now
    this.#step = 0
    this.#tailAt = now + (afterData[0] ?? Infinity)
  }

  /** One as soon as possible. */
  hurry(now: number): void {
    this.#regularAt = Math.min(this.#regularAt, Math.max(now, this.#sentAt + spacing))
  }

  due(now: number): boolean {
    if (now < this.deadline) return false
    this.#sentAt = now
    if (now >= this.#regularAt) this.#regularAt = now + this.#interval
    if (now >= this.#tailAt) {
      this.#step += 1
      const next = afterData[this.#step]
      this.#tailAt = next === undefined ? Infinity : Math.max(now, this.#lastData + next)
    }
    return true
  }
}
