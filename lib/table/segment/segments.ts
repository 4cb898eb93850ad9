import type { TableId } from '../../record/key.ts'
import { maxSegmentNumber, type SegmentNumber, segmentLength } from '../layout.ts'
import { Segment } from './segment.ts'
import type { TtlClass } from './ttl-class.ts'

/** Where memory comes from: so many bytes, all 0. */
export type Memory = (length: number) => ArrayBuffer | SharedArrayBuffer

/**
 * Shared, though nobody shares it. V8 takes the bytes of an ArrayBuffer for garbage that may be
 * waiting: with a few hundred MiB of them it goes through all of its heap for every few MiB that
 * the table grows, and that anybody else takes as well. A repository that was joined by another
 * one, with 400 MB of records: 73 such collections in one, 83 in the other, and one each with
 * this, which was a quarter of what it all cost. Two things follow. `TypedArray.set` copies shared
 * memory word by word, `Buffer.fill` does not (record/copy-bytes.ts). And V8 does not hurry to collect
 * what is let go: see `Segments.take`.
 */
export const sharedMemory: Memory = length => new SharedArrayBuffer(length)

/** Memory of segments that is kept for the next ones: a 16th of what may be held. */
const spareShare = 16

/** All segments, by number and by age, within the bytes that the table may hold. */
export class Segments {
  readonly segmentLength: number
  readonly epoch: number
  oldest: Segment | undefined
  #newest: Segment | undefined
  #count = 0
  #live = 0
  readonly #maxBytes: number
  readonly #memory: Memory
  readonly #byNumber: (Segment | undefined)[] = [undefined]
  #numbers: SegmentNumber[] = []
  /** Numbers that stale slots of the index may still bear. */
  #retired: SegmentNumber[] = []
  #spare: Buffer[] = []
  /** Let go, but perhaps not collected yet. */
  #gone: WeakRef<Buffer>[] = []
  #other = 0
  #surveyed = 0

  /** `epoch`: from when the ms of records count. */
  constructor(maxBytes: number, epoch: number, memory: Memory) {
    this.epoch = epoch
    this.#maxBytes = maxBytes
    this.#memory = memory
    this.segmentLength = segmentLength(maxBytes)
  }

  get count(): number {
    return this.#count
  }

  /** Records that the index points to. */
  get live(): number {
    return this.#live
  }

  get bytes(): number {
    return (this.#count + this.#spare.length) * this.segmentLength
  }

  /** How many segments there may be. */
  get capacity(): number {
    return Math.floor((this.#maxBytes - this.#other) / this.segmentLength)
  }

  /** How many more segments there may be. Below 0 when the index has grown into their share. */
  get room(): number {
    return this.capacity - this.#count
  }

  /** Tells how much of the table's bytes goes to something else. */
  setOther(bytes: number): void {
    this.#other = bytes
    while (this.#spare.length > 0 && this.#spare.length > this.room) {
      this.#letGo(this.#spare.pop())
    }
  }

  at(number: SegmentNumber): Segment | undefined {
    return this.#byNumber[number]
  }

  /** The index points to one more record of the segment, or to one less. */
  tally(segment: Segment, step: 1 | -1, length: number): void {
    segment.live += step
    segment.liveBytes += step * length
    this.#live += step
  }

  /**
   * A new, empty segment; undefined when there is no room or no number for one. Memory that was
   * let go and not collected yet is taken first: a table that is filled again after a purge would
   * else take twice what it may.
   */
  take(table: TableId, ttlClass: TtlClass): Segment | undefined {
    if (this.room <= 0) return undefined
    const number = this.#takeNumber()
    if (number === undefined) return undefined
    const bytes = this.#spare.pop() ?? this.#uncollected() ?? this.#fresh()
    const segment = new Segment(number, table, ttlClass, bytes, this.epoch)
    this.#byNumber[number] = segment
    segment.older = this.#newest
    if (this.#newest === undefined) this.oldest = segment
    else this.#newest.newer = segment
    this.#newest = segment
    this.#count += 1
    return segment
  }

  /** Takes the segment back, whatever the index still points to. */
  free(segment: Segment): void {
    if (segment.freed) return
    segment.freed = true
    segment.sealed = true
    this.#byNumber[segment.number] = undefined
    if (segment.older === undefined) this.oldest = segment.newer
    else segment.older.newer = segment.newer
    if (segment.newer === undefined) this.#newest = segment.older
    else segment.newer.older = segment.older
    segment.older = undefined
    segment.newer = undefined
    this.#count -= 1
    this.#live -= segment.live
    if (segment.live === 0) this.#numbers.push(segment.number)
    else this.#retired.push(segment.number)
    if (this.#spare.length < Math.min(this.room, this.capacity / spareShare)) {
      this.#spare.push(segment.bytes)
    } else this.#letGo(segment.bytes)
  }

  /** Forgets everything, memory too. */
  clear(): void {
    for (let s = this.oldest; s !== undefined; s = s.newer) {
      s.freed = s.sealed = true
      this.#letGo(s.bytes)
    }
    for (const bytes of this.#spare) this.#letGo(bytes)
    this.oldest = undefined
    this.#newest = undefined
    this.#count = 0
    this.#live = 0
    this.#byNumber.length = 1
    this.#numbers = []
    this.#retired = []
    this.#spare = []
  }

  /** Segments one after the other, round and round; undefined for a number that is not in use. */
  survey(): Segment | undefined {
    this.#surveyed += 1
    if (this.#surveyed >= this.#byNumber.length) this.#surveyed = 1
    return this.#byNumber[this.#surveyed]
  }

  /** The numbers retired until now: for whoever makes sure that no slot bears them. */
  takeRetired(): SegmentNumber[] {
    const retired = this.#retired
    this.#retired = []
    return retired
  }

  get hasRetired(): boolean {
    return this.#retired.length > 0
  }

  /** Numbers that no slot bears any more. */
  release(numbers: readonly SegmentNumber[]): void {
    for (const number of numbers) this.#numbers.push(number)
  }

  #letGo(bytes: Buffer | undefined): void {
    if (bytes !== undefined) this.#gone.push(new WeakRef(bytes))
  }

  #uncollected(): Buffer | undefined {
    for (let gone = this.#gone.pop(); gone !== undefined; gone = this.#gone.pop()) {
      const bytes = gone.deref()
      if (bytes !== undefined) return bytes
    }
    return undefined
  }

  #fresh(): Buffer {
    return Buffer.from(this.#memory(this.segmentLength))
  }

  #takeNumber(): SegmentNumber | undefined {
    const number = this.#numbers.pop()
    if (number !== undefined) return number
    if (this.#byNumber.length > maxSegmentNumber) return undefined
    this.#byNumber.push(undefined)
    return (this.#byNumber.length - 1) as SegmentNumber
  }
}
