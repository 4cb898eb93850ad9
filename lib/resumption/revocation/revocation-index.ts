import type { Revocation } from './revocation-record.ts'

/** A revocation that this member knows. */
export interface KnownRevocation {
  /** Undefined when its record can't be read: then it holds for all time. */
  readonly revocation: Revocation | undefined
  /** Wall time in ms at which it is over. */
  readonly until: number
}

/**
 * The revocations of the farm as they are asked for. It has room for the newest 100,000; older
 * ones are then looked for in the cache.
 */
export class RevocationIndex {
  readonly #most: number
  readonly #known = new Map<string, KnownRevocation>()
  #sweepAt = 1_000
  #overflowed = false

  constructor(most = 100_000) {
    this.#most = most
  }

  /** Some live ones may be in the cache alone. */
  get overflowed(): boolean {
    return this.#overflowed
  }

  get isEmpty(): boolean {
    return this.#known.size === 0
  }

  add(key: Buffer, known: KnownRevocation, now: number): void {
    const name = key.toString('latin1')
    // Behind all others: the order is that of their coming.
    this.#known.delete(name)
    this.#known.set(name, known)
    if (this.#known.size > this.#sweepAt) this.#sweep(now)
    if (this.#known.size > this.#most) this.#makeRoom()
  }

  get(key: Buffer, now: number): KnownRevocation | undefined {
    const known = this.#known.get(key.toString('latin1'))
    return known !== undefined && known.until > now ? known : undefined
  }

  live(now: number): KnownRevocation[] {
    return [...this.#known.values()].filter(({ until }) => until > now)
  }

  /** For many at a time: what was dropped from the start of a Map is passed over anew. */
  #makeRoom(): void {
    const enough = this.#most - Math.floor(this.#most / 64)
    for (const [oldest] of this.#known) {
      if (this.#known.size <= enough) break
      this.#known.delete(oldest)
    }
    this.#overflowed = true
  }

  #sweep(now: number): void {
    for (const [name, { until }] of this.#known) {
      if (until <= now) this.#known.delete(name)
    }
    this.#sweepAt = Math.max(1_000, 2 * this.#known.size)
  }
}
