import type { HashIndex } from './index/hash-index.ts'
import type { BucketIndex, SegmentNumber } from './layout.ts'
import type { Segments } from './segment/segments.ts'

/**
 * Frees the numbers of segments that were given back while the index still pointed to them.
 * Such a number may be used again only when no slot bears it any more: once every bucket was
 * looked at after the number was retired. Buckets only ever split upwards, so one pass from
 * bucket 0 to the last meets every slot.
 */
export class Sweep {
  readonly #index: HashIndex
  readonly #segments: Segments
  #numbers: SegmentNumber[] = []
  #next = 0

  constructor(index: HashIndex, segments: Segments) {
    this.#index = index
    this.#segments = segments
  }

  /** Looks at no more than `buckets` buckets. */
  step(buckets: number): void {
    if (this.#numbers.length === 0) {
      if (!this.#segments.hasRetired) return
      this.#numbers = this.#segments.takeRetired()
      this.#next = 0
    }
    const end = Math.min(this.#next + buckets, this.#index.buckets)
    while (this.#next < end) {
      this.#index.sweep(this.#next as BucketIndex)
      this.#next += 1
    }
    if (this.#next < this.#index.buckets) return
    this.#segments.release(this.#numbers)
    this.#numbers = []
  }

  clear(): void {
    this.#numbers = []
  }
}
