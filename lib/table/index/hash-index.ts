import type { BuzHash } from '../buzhash.ts'
import {
  type BucketIndex,
  bucketHalves,
  bucketLength,
  bucketWords,
  firstPlace,
  linkWord,
  numberHighMask,
  type Offset,
  offsetBits,
  offsetMask,
  type SegmentNumber,
  slotsPerBucket,
  tagMask,
  tagShift,
  usesMask,
  usesShift,
} from '../layout.ts'
import type { Segment } from '../segment/segment.ts'
import type { Memory, Segments } from '../segment/segments.ts'
import {
  type Chunk,
  chunkBits,
  chunkBuckets,
  chunkMask,
  newChunk,
} from './bucket-chunk.ts'
import { Overflow } from './overflow.ts'
import { groupAfter } from './walk-order.ts'

/** Records per bucket at which the index grows: 9.9 to 10.6 bytes of index per record. */
const load = 7.2
/** Longest chain of buckets. Also what keeps a walk finite when a link is corrupt. */
const maxChain = 24
const firstLevel = 10

/**
 * From a key's hash to the place of its record. A linear hash table (Litwin, 1980): it grows by
 * one bucket at a time, so that no call ever pays for a rehash of the whole.
 *
 * A slot may be stale: its segment was given back whole and nobody told the index. Such slots
 * count as empty and are swept up in passing.
 */
export class HashIndex {
  /** What the last `find` or `findPlace` that answered true has found. */
  segment!: Segment
  offset = 0 as Offset
  /** Means nothing: see `Segment.warm`. */
  warmed = 0

  readonly #segments: Segments
  readonly #hash: BuzHash
  readonly #memory: Memory
  readonly #primary: Chunk[] = []
  readonly #overflow: Overflow
  #level = firstLevel
  #buckets = 0
  /** Slots that are not empty, stale ones too. */
  #slots = 0
  // The slot that was found.
  #home = 0 as BucketIndex
  #chunk!: Chunk
  #markAt = 0
  #placeAt = 0
  // What `#gather` has gathered.
  readonly #marks = new Uint16Array(maxChain * slotsPerBucket)
  readonly #places = new Int32Array(maxChain * slotsPerBucket)

  /** `hash` is overwritten whenever the index grows. */
  constructor(segments: Segments, hash: BuzHash, memory: Memory) {
    this.#segments = segments
    this.#hash = hash
    this.#memory = memory
    this.#overflow = new Overflow(memory)
    this.clear()
  }

  get bytes(): number {
    return this.#primary.length * chunkBuckets * bucketLength + this.#overflow.bytes
  }

  /** Chains of buckets, numbered from 0. Only `clear` makes them fewer. */
  get buckets(): number {
    return this.#buckets
  }

  clear(): void {
    this.#primary.length = 0
    this.#overflow.clear()
    this.#level = firstLevel
    this.#slots = 0
    this.#buckets = 1 << firstLevel
    this.#primary.push(newChunk(this.#memory))
  }

  /** Looks for the slot of a key; `hash` is the key's. */
  find(hash: BuzHash, table: number, key: Uint8Array): boolean {
    const tag = tagOf(hash)
    const segments = this.#segments
    const home = this.#homeOf(hash.low)
    let bucket: number = home
    let chunk = this.#primary[bucket >>> chunkBits]
    for (let step = 0; step < maxChain && chunk !== undefined; step += 1) {
      const { marks, words } = chunk
      const firstMark = (bucket & chunkMask) * bucketHalves
      const words0 = (bucket & chunkMask) * bucketWords
      for (let slot = 0; slot < slotsPerBucket; slot += 1) {
        const mark = marks[firstMark + slot] as number
        if (mark >>> tagShift !== tag) continue
        const place = words[words0 + firstPlace + slot] as number
        const segment = segments.at(numberOf(mark, place))
        if (segment === undefined || segment.table !== table) continue
        const offset = (place & offsetMask) as Offset
        this.warmed = segment.warm(offset)
        if (!segment.hasKey(offset, key)) continue
        this.segment = segment
        this.offset = offset
        this.#home = home
        this.#chunk = chunk
        this.#markAt = firstMark + slot
        this.#placeAt = words0 + firstPlace + slot
        return true
      }
      const link = words[words0 + linkWord] as number
      if (link === 0) return false
      bucket = link - 1
      chunk = this.#overflow.chunkOf(bucket)
    }
    return false
  }

  /** Looks for the slot that points to exactly this place; `hash` is that of the key there. */
  findPlace(hash: BuzHash, wanted: Segment, offset: Offset): boolean {
    return this.#search(this.#homeOf(hash.low), wanted, offset)
  }

  #search(home: BucketIndex, wanted: Segment, offset: Offset): boolean {
    const number = wanted.number
    const low = (number << offsetBits) | offset
    let bucket: number = home
    let chunk = this.#primary[bucket >>> chunkBits]
    for (let step = 0; step < maxChain && chunk !== undefined; step += 1) {
      const { marks, words } = chunk
      const firstMark = (bucket & chunkMask) * bucketHalves
      const words0 = (bucket & chunkMask) * bucketWords
      for (let slot = 0; slot < slotsPerBucket; slot += 1) {
        if (words[words0 + firstPlace + slot] !== low) continue
        const mark = marks[firstMark + slot] as number
        if (mark === 0 || numberOf(mark, low) !== number) continue
        this.segment = wanted
        this.offset = offset
        this.#home = home
        this.#chunk = chunk
        this.#markAt = firstMark + slot
        this.#placeAt = words0 + firstPlace + slot
        return true
      }
      const link = words[words0 + linkWord] as number
      if (link === 0) return false
      bucket = link - 1
      chunk = this.#overflow.chunkOf(bucket)
    }
    return false
  }

  /** How often the found record was used lately, 0 to 3. */
  get uses(): number {
    return ((this.#chunk.marks[this.#markAt] as number) >>> usesShift) & usesMask
  }

  set uses(count: number) {
    const mark = this.#chunk.marks[this.#markAt] as number
    this.#chunk.marks[this.#markAt] =
      (mark & ~(usesMask << usesShift)) | (count << usesShift)
  }

  /** Makes the found slot point elsewhere. */
  point(segment: Segment, offset: Offset): void {
    const { marks, words } = this.#chunk
    const mark = marks[this.#markAt] as number
    marks[this.#markAt] = (mark & ~numberHighMask) | (segment.number >>> 12)
    words[this.#placeAt] = (segment.number << offsetBits) | offset
  }

  /** Empties the found slot. */
  remove(): void {
    this.#chunk.marks[this.#markAt] = 0
    this.#chunk.words[this.#placeAt] = 0
    this.#slots -= 1
    const home = this.#home
    const words = (this.#primary[home >>> chunkBits] as Chunk).words
    if (words[(home & chunkMask) * bucketWords + linkWord] !== 0) this.#tidy(home)
  }

  /** Empties the slot in this bucket that points to the place, whatever key lies there. */
  forget(bucket: BucketIndex, segment: Segment, offset: Offset): boolean {
    if (!this.#search(bucket, segment, offset)) return false
    this.remove()
    return true
  }

  /** Adds a slot for a key that has none. False when the chain is as long as it may get. */
  insert(hash: BuzHash, segment: Segment, offset: Offset): boolean {
    const mark = (tagOf(hash) << tagShift) | (segment.number >>> 12)
    const home = this.#homeOf(hash.low)
    const place = (segment.number << offsetBits) | offset
    return this.#put(home, mark, place)
  }

  get isCrowded(): boolean {
    return this.#slots > load * this.#buckets
  }

  /** Grows by one bucket. */
  split(): void {
    const half = 1 << this.#level
    const source = (this.#buckets - half) as BucketIndex
    const target = this.#buckets as BucketIndex
    if (target >>> chunkBits === this.#primary.length)
      this.#primary.push(newChunk(this.#memory))
    const count = this.#keepReadable(this.#gather(source))
    this.#buckets += 1
    if (this.#buckets === half * 2) this.#level += 1
    for (let i = 0; i < count; i += 1) {
      const mark = this.#marks[i] as number
      const place = this.#places[i] as number
      const segment = this.#segments.at(numberOf(mark, place)) as Segment
      segment.hashKey((place & offsetMask) as Offset, this.#hash)
      this.#put((this.#hash.low & half) === 0 ? source : target, mark, place)
    }
  }

  /** Drops the stale slots of one bucket. */
  sweep(bucket: BucketIndex): void {
    let at: number = bucket
    let chunk = this.#primary[at >>> chunkBits]
    for (let step = 0; step < maxChain && chunk !== undefined; step += 1) {
      const { marks, words } = chunk
      const firstMark = (at & chunkMask) * bucketHalves
      const words0 = (at & chunkMask) * bucketWords
      for (let slot = 0; slot < slotsPerBucket; slot += 1) {
        const mark = marks[firstMark + slot] as number
        if (mark === 0) continue
        const number = numberOf(mark, words[words0 + firstPlace + slot] as number)
        if (this.#segments.at(number) === undefined) {
          this.#tidy(bucket)
          return
        }
      }
      const link = words[words0 + linkWord] as number
      if (link === 0) return
      at = link - 1
      chunk = this.#overflow.chunkOf(at)
    }
  }

  /**
   * Calls `visit` for each place that a group of buckets points to: a bucket and, when it was
   * split in this round, the bucket that took half of it. `visit` must not change the index.
   */
  visit(group: number, visit: Visitor): void {
    const half = 1 << this.#level
    const bucket = (group & (half - 1)) as BucketIndex
    this.#visitBucket(bucket, visit)
    const other = (bucket + half) as BucketIndex
    if (other < this.#buckets) this.#visitBucket(other, visit)
  }

  /** The group after this one in a walk, undefined at the end. */
  after(group: number): number | undefined {
    return groupAfter(group, this.#level)
  }

  #visitBucket(bucket: BucketIndex, visit: Visitor): void {
    let at: number = bucket
    let chunk = this.#primary[at >>> chunkBits]
    for (let step = 0; step < maxChain && chunk !== undefined; step += 1) {
      const { marks, words } = chunk
      const firstMark = (at & chunkMask) * bucketHalves
      const words0 = (at & chunkMask) * bucketWords
      for (let slot = 0; slot < slotsPerBucket; slot += 1) {
        const mark = marks[firstMark + slot] as number
        if (mark === 0) continue
        const place = words[words0 + firstPlace + slot] as number
        const segment = this.#segments.at(numberOf(mark, place))
        if (segment !== undefined) visit(bucket, segment, (place & offsetMask) as Offset)
      }
      const link = words[words0 + linkWord] as number
      if (link === 0) return
      at = link - 1
      chunk = this.#overflow.chunkOf(at)
    }
  }

  #homeOf(low: number): BucketIndex {
    const half = 1 << this.#level
    const bucket = low & (half * 2 - 1)
    return (bucket < this.#buckets ? bucket : bucket & (half - 1)) as BucketIndex
  }

  /** Writes the bucket anew without stale slots and with no more overflow than it needs. */
  #tidy(bucket: BucketIndex): void {
    const count = this.#gather(bucket)
    for (let i = 0; i < count; i += 1) {
      this.#put(bucket, this.#marks[i] as number, this.#places[i] as number)
    }
  }

  /** Takes all slots out of a bucket, gives back its overflow; answers how many were good. */
  #gather(bucket: BucketIndex): number {
    let count = 0
    let at: number = bucket
    let chunk = this.#primary[at >>> chunkBits]
    for (let step = 0; step < maxChain && chunk !== undefined; step += 1) {
      const { marks, words } = chunk
      const firstMark = (at & chunkMask) * bucketHalves
      const words0 = (at & chunkMask) * bucketWords
      for (let slot = 0; slot < slotsPerBucket; slot += 1) {
        const mark = marks[firstMark + slot] as number
        if (mark === 0) continue
        this.#slots -= 1
        const place = words[words0 + firstPlace + slot] as number
        if (this.#segments.at(numberOf(mark, place)) === undefined) continue
        this.#marks[count] = mark
        this.#places[count] = place
        count += 1
      }
      const link = words[words0 + linkWord] as number
      words.fill(0, words0, words0 + bucketWords)
      if (link === 0) break
      at = link - 1
      // When it can't be given back the link is corrupt, and what lies there is not ours.
      chunk = this.#overflow.giveBack(at) ? this.#overflow.chunkOf(at) : undefined
    }
    return count
  }

  /**
   * Leaves only records that can be read. Done before any is hashed: these reads do not depend
   * on each other, so the processor waits for all records at once, not for one after the other.
   */
  #keepReadable(count: number): number {
    let kept = 0
    for (let i = 0; i < count; i += 1) {
      const mark = this.#marks[i] as number
      const place = this.#places[i] as number
      const segment = this.#segments.at(numberOf(mark, place))
      if (segment?.holdsRecordAt((place & offsetMask) as Offset) !== true) continue
      this.#marks[kept] = mark
      this.#places[kept] = place
      kept += 1
    }
    return kept
  }

  #put(bucket: BucketIndex, mark: number, place: number): boolean {
    let at: number = bucket
    let chunk = this.#primary[at >>> chunkBits]
    for (let step = 1; chunk !== undefined; step += 1) {
      const { marks, words } = chunk
      const firstMark = (at & chunkMask) * bucketHalves
      const words0 = (at & chunkMask) * bucketWords
      for (let slot = 0; slot < slotsPerBucket; slot += 1) {
        if (marks[firstMark + slot] !== 0) continue
        marks[firstMark + slot] = mark
        words[words0 + firstPlace + slot] = place
        this.#slots += 1
        return true
      }
      let link = words[words0 + linkWord] as number
      if (link === 0) {
        if (step === maxChain) return false
        link = this.#overflow.take() + 1
        words[words0 + linkWord] = link
      } else if (step === maxChain) return false
      at = link - 1
      chunk = this.#overflow.chunkOf(at)
    }
    return false
  }
}

export type Visitor = (bucket: BucketIndex, segment: Segment, offset: Offset) => void

function tagOf(hash: BuzHash): number {
  const tag = hash.high & tagMask
  return tag === 0 ? 1 : tag
}

function numberOf(mark: number, place: number): SegmentNumber {
  return (((mark & numberHighMask) << 12) | (place >>> offsetBits)) as SegmentNumber
}
