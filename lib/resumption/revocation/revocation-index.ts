import type { Revocation } from './revocation-record.ts'

/** A revocation that this member knows. */
export interface KnownRevocation {
  /** Undefined when its record can't be read: then it holds for all time. */
  readonly revocation: Revocation | undefined
  /** Wall time in ms at which it is over. */
  readonly until: number
}

/**
 * The revocations of the farm as they are asked for. It has room for the newest 100,000. Beyond
 * that the oldest are forgotten and a floor is set: all that is as old as them is revoked,
 * whosever it is.
 */
export class RevocationIndex {
  readonly #most: number
  readonly #known = new Map<string, KnownRevocation>()
  /** By the start of a certificate's digest: up to when one that begins so was revoked. */
  readonly #certificates = new Map<number, number>()
  #sweepAt = 1_000
  #floor = Number.NEGATIVE_INFINITY

  constructor(most = 100_000) {
    this.#most = most
  }

  /** Time in ms: what began up to it is revoked. */
  get floor(): number {
    return this.#floor
  }

  /** Another member has set its floor here. */
  raise(floor: number): void {
    this.#floor = Math.max(this.#floor, floor)
  }

  get isEmpty(): boolean {
    return this.#known.size === 0 && this.#floor === Number.NEGATIVE_INFINITY
  }

  add(key: Buffer, known: KnownRevocation, now: number): void {
    const name = key.toString('latin1')
    // Behind all others: the order is that of their coming.
    this.#known.delete(name)
    this.#known.set(name, known)
    const { target, at } = known.revocation ?? {}
    if (target !== undefined && at !== undefined && 'certificate' in target) {
      const start = startOf(target.certificate)
      this.#certificates.set(start, Math.max(at, this.#certificates.get(start) ?? at))
    }
    if (this.#known.size > this.#sweepAt || this.#known.size > this.#most) {
      this.#sweep(now)
    }
    if (this.#known.size > this.#most) this.#forgetOldest(now)
  }

  get(key: Buffer, now: number): KnownRevocation | undefined {
    const known = this.#known.get(key.toString('latin1'))
    return known !== undefined && known.until > now ? known : undefined
  }

  /** Up to when a certificate was revoked whose digest begins so; -1 when none was. */
  certificatesSince(start: Buffer): number {
    return this.#certificates.get(startOf(start)) ?? -1
  }

  live(now: number): KnownRevocation[] {
    return [...this.#known.values()].filter(({ until }) => until > now)
  }

  /**
   * The oldest by their own time: one that joins hears of them in any order. Many at once, since
   * each new floor is told to the farm, and finding them takes a look at all.
   */
  #forgetOldest(now: number): void {
    const timeOf = ({ revocation }: KnownRevocation) => revocation?.at ?? now
    const times = Float64Array.from(this.#known.values(), timeOf).sort()
    const enough = this.#most - Math.ceil(this.#most / 64)
    this.raise(times[times.length - enough - 1] ?? now)
    for (const [name, known] of this.#known) {
      if (timeOf(known) <= this.#floor) this.#known.delete(name)
    }
  }

  #sweep(now: number): void {
    for (const [name, { until }] of this.#known) {
      if (until <= now) this.#known.delete(name)
    }
    this.#sweepAt = Math.max(1_000, 2 * this.#known.size)
  }
}

/** So much of a certificate's digest stands in a lineage. */
export const certificatePrefixLength = 2

function startOf(digest: Buffer): number {
  return digest.length < certificatePrefixLength ? -1 : digest.readUInt16BE(0)
}
