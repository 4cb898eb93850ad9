import { ftruncateSync, readSync, writeSync } from 'node:fs'
import type { Clock } from '../../clock.ts'
import type { TableId } from '../../record/key.ts'
import {
  type CacheRecord,
  expiryOf,
  maxValueLength,
  readRecord,
  recordHeaderLength,
  recordLength,
  writeRecord,
} from '../../record/record.ts'
import { supersedes } from '../../record/supersedes.ts'
import { BuzHash } from '../buzhash.ts'
import { checksum } from '../checksum.ts'
import type { ShelfFiles, ShelfPlace } from './shelf-files.ts'
import { clearIndex, countLive, pieceLength, readPiece } from './shelf-index.ts'
import {
  bucketBytes,
  entriesPerBucket,
  entryAt,
  entryLength,
  indexAt,
  indexHead,
  recordAt,
  recordHead,
  ringAt,
  ringHead,
  unit,
} from './shelf-layout.ts'

/** Where a ring's writer is, is written down once in so many bytes. */
const stride = 65_536
const longest =
  Math.ceil((recordHead + recordHeaderLength + 255 + maxValueLength) / unit) * unit
/** Bytes of the index that a step of a walk looks at: most of it may be empty. */
const mostWalked = 16 * pieceLength
/** Records of a step: each is read by itself. */
const mostFound = 512

export interface ShelfOptions {
  readonly files: ShelfFiles
  readonly clock: Clock
  /** Default `fs.writeSync`; a test may want it to fail. */
  readonly write?: Write | undefined
}

type Write = (
  descriptor: number,
  bytes: Buffer,
  from: number,
  length: number,
  at: number,
) => number

/**
 * Records of one host that all its processes read and write without a word to each other: on
 * memory that is files, at positions, with no lock. A put is two writes, a get two reads, of 1
 * to 2 us each. What is full writes over its own oldest. shelf-layout.ts has the bytes.
 *
 * Only for records whose loss is a miss: two processes that write into one bucket in the same
 * few microseconds may lose one.
 */
export class Shelf {
  readonly #files: ShelfFiles
  readonly #clock: Clock
  readonly #hash: BuzHash
  readonly #writeSync: Write
  readonly #bucket = Buffer.alloc(bucketBytes)
  readonly #entry = Buffer.alloc(entryLength)
  readonly #scratch = Buffer.alloc(longest)
  readonly #view: DataView
  /** Of the bucket at hand, and the tag of the key at hand. */
  #bucketStart = 0
  #tag = 0
  #ring = -1
  #at = ringHead
  #written = 0
  #limit = 0
  readonly counts: { evicted: number; corrupt: number; full: number } = {
    /** Records that were still good when another took their entry. */
    evicted: 0,
    corrupt: 0,
    /** Puts that found no memory. */
    full: 0,
  }

  constructor({ files, clock, write = writeSync }: ShelfOptions) {
    this.#files = files
    this.#writeSync = write
    this.#clock = clock
    this.#hash = new BuzHash(files.seed)
    const { buffer, byteOffset, length } = this.#scratch
    this.#view = new DataView(buffer, byteOffset, length)
  }

  get place(): ShelfPlace {
    return this.#files.place
  }

  get maxBytes(): number {
    return this.#files.maxBytes
  }

  /** Of memory; looks at each file. */
  get bytes(): number {
    return this.#files.bytes
  }

  /** The ring that this process writes to; undefined for one that only reads. */
  get ring(): number | undefined {
    return this.#ring < 0 ? undefined : this.#ring
  }

  /**
   * Takes a ring to write to. Whoever gives rings out knows that its last owner is gone. What
   * that one wrote stays until it is the oldest.
   */
  claim(ring: number): void {
    const descriptor = this.#files.rings[ring]
    if (descriptor === undefined) throw new RangeError(`no ring ${ring}`)
    const head = Buffer.alloc(ringHead)
    readSync(descriptor, head, 0, ringHead, 0)
    const written = head.readUIntLE(ringAt.written, 6)
    this.#ring = ring
    // The last owner may have been so much further than it had written down.
    this.#at = written === 0 ? ringHead : written + stride + longest
    const used = this.#readHead(indexAt.rings)
    if (used <= ring) this.#writeHead(indexAt.rings, ring + 1)
    this.#note()
  }

  /** The record under the key, tombstone or not, in bytes of its own. */
  read(table: TableId, key: Uint8Array): CacheRecord | undefined {
    this.#seek(table, key)
    const slot = this.#findKey(table, key)
    return slot < 0 ? undefined : this.#copyOfRecord()
  }

  /**
   * Puts the record there, over an older one. False when a newer one is there, or this process
   * has no ring; `full` when there is no memory for it.
   */
  put(record: CacheRecord): boolean | 'full' {
    if (this.#ring < 0) return 'full'
    const now = this.#clock.now()
    if (record.expiresAt <= now) return false
    this.#seek(record.table, record.key)
    let slot = this.#findKey(record.table, record.key)
    if (slot >= 0 && !supersedes(record, this.#recordAtHand())) return false
    const at = this.#append(record)
    if (at < 0) {
      this.counts.full += 1
      return 'full'
    }
    if (slot < 0) slot = this.#slotToWrite(now)
    const entry = this.#entry
    entry.writeUInt32LE(this.#tag, entryAt.tag)
    const expires = Math.min(0xffffffff, Math.ceil(record.expiresAt / 1000))
    entry.writeUInt32LE(expires, entryAt.expires)
    entry.writeUIntLE(at / unit, entryAt.at, 5)
    entry.writeUInt16LE(unitsOf(record), entryAt.length)
    entry[entryAt.ring] = this.#ring
    const position = this.#bucketStart + slot * entryLength
    writeSync(this.#files.index, entry, 0, entryLength, position)
    return true
  }

  /** A bounded step of a walk over all records; `from` is 0, then what the step before said. */
  scan(
    from: number,
    limit: number,
  ): { records: CacheRecord[]; next: number | undefined } {
    const { buckets, index } = this.#files
    const end = Math.min(buckets, from + mostWalked / bucketBytes)
    const most = Math.min(limit, mostFound)
    const records: CacheRecord[] = []
    let next = from
    while (next < end && records.length < most) {
      const length = Math.min(pieceLength, (end - next) * bucketBytes)
      const piece = readPiece(index, indexHead + next * bucketBytes, length)
      if (piece === undefined) {
        next += length / bucketBytes
        continue
      }
      for (let at = 0; at < length && records.length < most; at += bucketBytes) {
        piece.copy(this.#bucket, 0, at, at + bucketBytes)
        this.#takeBucket(records)
        next += 1
      }
    }
    return { records, next: next < buckets ? next : undefined }
  }

  /** How many records there are, of all processes; see countLive. */
  count(): number {
    return countLive(this.#files, this.#clock.now())
  }

  /** Empties all of it, for every process of the host. */
  clear(): void {
    clearIndex(this.#files)
  }

  close(): void {
    this.#files.close()
  }

  /** The good records of the bucket at hand. */
  #takeBucket(records: CacheRecord[]): void {
    for (let slot = 0; slot < entriesPerBucket; slot += 1) {
      if (this.#readSlot(slot) && this.#isWhole(undefined, undefined)) {
        records.push(this.#copyOfRecord())
      }
    }
  }

  #seek(table: TableId, key: Uint8Array): void {
    const hash = this.#hash
    hash.update(table, key, 0, key.length)
    this.#tag = hash.high >>> 0 || 1
    this.#bucketStart = indexHead + ((hash.low >>> 0) % this.#files.buckets) * bucketBytes
    readSync(this.#files.index, this.#bucket, 0, bucketBytes, this.#bucketStart)
  }

  /** The slot of a good record under the key, whose bytes are then at hand; -1 for none. */
  #findKey(table: TableId, key: Uint8Array): number {
    for (let slot = 0; slot < entriesPerBucket; slot += 1) {
      const tag = this.#bucket.readUInt32LE(slot * entryLength + entryAt.tag)
      if (tag !== this.#tag) continue
      if (this.#readSlot(slot) && this.#isWhole(table, key)) return slot
    }
    return -1
  }

  /** Fetches what the entry points to. False when that can't be a record that is still good. */
  #readSlot(slot: number): boolean {
    const bucket = this.#bucket
    const from = slot * entryLength
    const expires = bucket.readUInt32LE(from + entryAt.expires) * 1000
    if (bucket.readUInt32LE(from + entryAt.tag) === 0) return false
    if (expires <= this.#clock.now()) return false
    const length = bucket.readUInt16LE(from + entryAt.length) * unit
    const ring = this.#files.rings[bucket[from + entryAt.ring] ?? -1]
    if (ring === undefined || length < recordHead || length > longest) return false
    const at = bucket.readUIntLE(from + entryAt.at, 5) * unit
    return readSync(ring, this.#scratch, 0, length, at) === length
  }

  /** Judges the bytes at hand; the hash of the key is computed anew for a walk. */
  #isWhole(table: TableId | undefined, key: Uint8Array | undefined): boolean {
    const scratch = this.#scratch
    const end = scratch.readUInt32LE(recordAt.length)
    const keyLength = scratch[recordHead + 2] ?? 0
    const keyStart = recordHead + recordHeaderLength
    if (end < keyStart + keyLength || end > longest) return false
    if (key === undefined) {
      this.#hash.update(scratch[recordHead] ?? 0, scratch, keyStart, keyStart + keyLength)
    } else {
      const isAsked = keyLength === key.length && scratch[recordHead] === table
      if (!isAsked || scratch.compare(key, 0, keyLength, keyStart, keyStart + keyLength))
        return false
    }
    if (this.#checksum(end) !== scratch.readUInt32LE(recordAt.checksum)) {
      this.counts.corrupt += 1
      return false
    }
    return expiryOf(scratch, recordHead) > this.#clock.now()
  }

  #checksum(end: number): number {
    const from = recordAt.length
    return checksum(this.#view, from, from, from, end, this.#hash) >>> 0
  }

  #recordAtHand(): CacheRecord {
    return readRecord(this.#scratch, recordHead)
  }

  #copyOfRecord(): CacheRecord {
    const end = this.#scratch.readUInt32LE(recordAt.length)
    return readRecord(Buffer.from(this.#scratch.subarray(recordHead, end)), 0)
  }

  /** Where it was written in the own ring; -1 when there is no memory for it. */
  #append(record: CacheRecord): number {
    const end = recordHead + recordLength(record)
    const length = unitsOf(record) * unit
    const scratch = this.#scratch
    scratch.writeUInt32LE(end, recordAt.length)
    writeRecord(record, scratch, recordHead)
    scratch.fill(0, end, length)
    scratch.writeUInt32LE(this.#checksum(end), recordAt.checksum)
    if (this.#at + length > this.#limit && !this.#wrap(length)) return -1
    if (!this.#write(length) && !(this.#wrapEarly() && this.#write(length))) return -1
    const at = this.#at
    this.#at += length
    if (this.#at - this.#written >= stride) this.#note()
    return at
  }

  #write(length: number): boolean {
    const ring = this.#files.rings[this.#ring] as number
    try {
      return this.#writeSync(ring, this.#scratch, 0, length, this.#at) === length
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOSPC') return false
      throw error
    }
  }

  /**
   * Goes on at the start of the ring. Gives back what is beyond the ring's share by now, except
   * for the newest of it, which goes the next time.
   */
  #wrap(length: number): boolean {
    if (ringHead + length > this.#limit) return false
    const end = Math.max(this.#at, this.#limit)
    ftruncateSync(this.#files.rings[this.#ring] as number, end)
    this.#at = ringHead
    this.#note()
    return true
  }

  /** There is no memory for more: what the ring has is written over. */
  #wrapEarly(): boolean {
    if (this.#at < ringHead + longest) return false
    this.#at = ringHead
    this.#note()
    return true
  }

  /** Writes down how far this ring is written, for its next owner. */
  #note(): void {
    this.#written = this.#at
    const bytes = Buffer.alloc(6)
    bytes.writeUIntLE(this.#at, 0, 6)
    const ring = this.#files.rings[this.#ring] as number
    writeSync(ring, bytes, 0, 6, ringAt.written)
    this.#limit = this.#fairLimit()
  }

  /** An equal part for each ring that was ever in use. */
  #fairLimit(): number {
    const { buckets, maxBytes } = this.#files
    const forRings = maxBytes - indexHead - buckets * bucketBytes
    return Math.floor(forRings / Math.max(1, this.#readHead(indexAt.rings)))
  }

  /**
   * An empty slot or one that has expired; else the one that ends first. Each put begins to
   * look at another one, so that two processes seldom choose the same.
   */
  #slotToWrite(now: number): number {
    const first = this.#ring + this.#at / unit
    let best = 0
    let bestEnd = Number.POSITIVE_INFINITY
    for (let i = 0; i < entriesPerBucket; i += 1) {
      const slot = (first + i) % entriesPerBucket
      const from = slot * entryLength
      const end = this.#bucket.readUInt32LE(from + entryAt.expires)
      const isFree = this.#bucket.readUInt32LE(from + entryAt.tag) === 0
      if (isFree || end * 1000 <= now) return slot
      if (end < bestEnd) {
        best = slot
        bestEnd = end
      }
    }
    this.counts.evicted += 1
    return best
  }

  #readHead(at: number): number {
    const bytes = Buffer.alloc(4)
    readSync(this.#files.index, bytes, 0, 4, at)
    return bytes.readUInt32LE(0)
  }

  #writeHead(at: number, value: number): void {
    const bytes = Buffer.alloc(4)
    bytes.writeUInt32LE(value, 0)
    writeSync(this.#files.index, bytes, 0, 4, at)
  }
}

function unitsOf(record: CacheRecord): number {
  return Math.ceil((recordHead + recordLength(record)) / unit)
}
