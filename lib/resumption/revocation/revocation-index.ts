import type { CacheRecord } from '../../record/record.ts'
import type { Revocation } from './revocation-record.ts'

/** A revocation that this member knows. */
export interface KnownRevocation {
  /** Undefined when its record can't be read: then it holds for all time. */
  readonly revocation: Revocation | undefined
  /** Wall time in ms at which it is over. */
  readonly until: number
  /** As it stands in the table, or stood. */
  readonly record: CacheRecord | undefined
}

/**
 * The revocations of the farm, in the memory of this process. The table has them too, for
 * those who join, but a table that is full drops what is old: a flood of sessions must not
 * be a way to bring a revoked one back. What it has dropped is given back to it.
 *
 * Of the newest it has room for 100,000; older ones are then left to the table.
 */
export class RevocationIndex {
  readonly #most: number
  readonly #known = new Map<string, KnownRevocation>()
  #sweepAt = 1_000
  #walk: Iterator<KnownRevocation> | undefined
  #overflowed = false

  constructor(most = 100_000) {
    this.#most = most
  }

  /** Some live ones may be in the table alone. */
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
    for (const [oldest] of this.#known) {
      if (this.#known.size <= this.#most) break
      this.#known.delete(oldest)
      this.#overflowed = true
    }
  }

  get(key: Buffer, now: number): KnownRevocation | undefined {
    const known = this.#known.get(key.toString('latin1'))
    return known !== undefined && known.until > now ? known : undefined
  }

  live(now: number): KnownRevocation[] {
    return [...this.#known.values()].filter(({ until }) => until > now)
  }

  /** The next ones of a walk over all, round and round. */
  next(most: number): KnownRevocation[] {
    const found: KnownRevocation[] = []
    this.#walk ??= this.#known.values()
    while (found.length < most) {
      const { done, value } = this.#walk.next()
      if (done === true) {
        this.#walk = undefined
        break
      }
      found.push(value)
    }
    return found
  }

  #sweep(now: number): void {
    for (const [name, { until }] of this.#known) {
      if (until <= now) this.#known.delete(name)
    }
    this.#sweepAt = Math.max(1_000, 2 * this.#known.size)
  }
}
