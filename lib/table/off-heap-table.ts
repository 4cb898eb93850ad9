import { randomBytes } from 'node:crypto'
import type { Clock } from '../clock.ts'
import type { TableId } from '../record/key.ts'
import { type CacheRecord, checkRecordSize, latestEnd } from '../record/record.ts'
import { supersedes } from '../record/supersedes.ts'
import { compareVersions, type Version } from '../record/version.ts'
import { BuzHash, buzhashSeedLength } from './buzhash.ts'
import { Eviction, type Losses } from './eviction.ts'
import { HashIndex } from './index/hash-index.ts'
import {
  type BucketIndex,
  epochLead,
  maxTableBytes,
  minTableBytes,
  type Offset,
} from './layout.ts'
import type {
  RecordTable,
  ScanCursor,
  ScanStep,
  TableMemory,
  TableStats,
} from './record-table.ts'
import { OpenSegments } from './segment/open-segments.ts'
import { type Segment, storedLength, type Writable } from './segment/segment.ts'
import { type Memory, Segments, sharedMemory } from './segment/segments.ts'
import { ttlClass } from './segment/ttl-class.ts'
import { Sweep } from './sweep.ts'

export const defaultTableBytes: number = 256 * 1024 * 1024

/** Segments that are free before a put needs one; below it, puts evict a little each. */
const reserve = 2
const mostUses = 3
/** Kept free for the index, which may grow before a segment has been evicted for it. */
const indexSlack = 192 * 1024
const afterAll: Version = { ms: Infinity, logical: 0, node: 0 }
const nothing = Buffer.alloc(0)

export interface OffHeapTableOptions {
  readonly clock: Clock
  /** All that the table may hold, index included. 4 MiB to 48 GiB, default 256 MiB. */
  readonly maxBytes?: number | undefined
  /** Random bytes for the hash. Default `crypto.randomBytes`; a test may want the same ones. */
  readonly random?: ((bytes: number) => Buffer) | undefined
  /** Where memory comes from. Default {@link sharedMemory}; a test may want to damage it. */
  readonly memory?: Memory | undefined
}

/**
 * The record table in memory that the garbage collector does not scan. Records are appended to
 * segments of up to 1 MiB by virtual table and time to live; a hash index points to them; a
 * segment goes back whole when the last of its records has expired. Every call does a bounded
 * piece of work; what is left to do (expiry, growth, eviction) is done by later writes. The
 * exception is a purge up to a version, which looks at each record of the segments that hold
 * both older and newer ones: of few, unless it comes late (85 ms for 1.2 million records).
 * `get` allocates nothing but the view it answers. layout.ts has the bytes.
 *
 * Non-goals: ordered walks, values above 64 KiB, sharing with other threads, and an index that
 * shrinks (only `purge()` of all gives its memory back).
 */
export class OffHeapTable implements RecordTable {
  readonly #clock: Clock
  readonly #maxBytes: number
  readonly #hash: BuzHash
  /** For keys met on the way, while `#hash` holds the one that was asked for. */
  readonly #otherHash: BuzHash
  readonly #segments: Segments
  readonly #open: OpenSegments
  readonly #index: HashIndex
  readonly #sweep: Sweep
  readonly #eviction: Eviction
  readonly #losses: Losses = { evicted: 0, expired: 0, corrupt: 0 }
  #closed = false

  constructor(options: OffHeapTableOptions) {
    this.#clock = options.clock
    this.#maxBytes = checkMaxBytes(options.maxBytes ?? defaultTableBytes)
    const words = (options.random ?? randomBytes)(buzhashSeedLength)
    const memory = options.memory ?? sharedMemory
    this.#hash = new BuzHash(words)
    this.#otherHash = new BuzHash(words)
    this.#segments = new Segments(this.#maxBytes, this.#clock.now() - epochLead, memory)
    this.#open = new OpenSegments(this.#segments)
    this.#index = new HashIndex(this.#segments, this.#otherHash, memory)
    this.#sweep = new Sweep(this.#index, this.#segments)
    this.#eviction = new Eviction(
      this.#segments,
      this.#open,
      this.#index,
      this.#otherHash,
      this.#losses,
    )
    this.#segments.setOther(this.#index.bytes + indexSlack)
  }

  get(table: TableId, key: Uint8Array): Buffer | undefined {
    if (!this.#find(table, key, this.#clock.now())) return undefined
    const { segment, offset, uses } = this.#index
    if (segment.isTombstone(offset)) return undefined
    if (uses < mostUses) this.#index.uses = uses + 1
    return segment.valueAt(offset)
  }

  read(table: TableId, key: Uint8Array): CacheRecord | undefined {
    if (!this.#find(table, key, this.#clock.now())) return undefined
    const { segment, offset, uses } = this.#index
    if (uses < mostUses) this.#index.uses = uses + 1
    return segment.recordAt(offset)
  }

  put(given: CacheRecord): boolean {
    checkRecordSize(given.key.length, given.value.length)
    if (this.#closed) return false
    const record: Writable = {
      table: given.table,
      key: given.key,
      value: given.tombstone ? nothing : given.value,
      version: given.version,
      expiresAt: expiryOf(given.expiresAt),
      tombstone: given.tombstone,
    }
    const { table, key } = record
    const length = storedLength(record, this.#segments.epoch)
    const now = this.#clock.now()
    this.#tidy(length, now)
    let found = this.#find(table, key, now)
    if (found) {
      const old = this.#index.segment.contenderAt(this.#index.offset)
      if (!supersedes(record as CacheRecord, old)) return false
    }
    if (record.expiresAt <= now) {
      if (found) this.#remove()
      return found
    }
    let target = this.#open.withRoom(table, ttlClass(record.expiresAt - now), length)
    if (target === undefined) {
      target = this.#room(table, record.expiresAt - now, length, now)
      if (target === undefined) return false
      // Making room may have moved the old record, or dropped it.
      found = this.#find(table, key, now)
    }
    return this.#append(record, target, length, found)
  }

  purge(table?: TableId, upTo: Version = afterAll): void {
    if (table === undefined) {
      this.#index.clear()
      this.#segments.clear()
      this.#open.clear()
      this.#sweep.clear()
      this.#eviction.clear()
      this.#segments.setOther(this.#index.bytes + indexSlack)
      return
    }
    let segment = this.#segments.oldest
    while (segment !== undefined) {
      const { newer } = segment
      if (segment.table === table && segment.oldestMs <= upTo.ms) {
        if (segment.newestMs < upTo.ms) this.#free(segment)
        else this.#purgeSome(segment, upTo)
      }
      segment = newer
    }
  }

  scan(cursor: ScanCursor | undefined, limit: number, isBorrowed = false): ScanStep {
    const now = this.#clock.now()
    const records: CacheRecord[] = []
    const corrupt: { bucket: BucketIndex; segment: Segment; offset: Offset }[] = []
    let group: number | undefined = (cursor as TableCursor | undefined)?.group ?? 0
    // Where buckets are nearly empty records are far between: that part is bounded too.
    for (let left = limit + mostEmpty; left > 0 && records.length < limit; left -= 1) {
      this.#index.visit(group, (bucket, segment, offset) => {
        if (!this.#isIntact(segment, offset)) corrupt.push({ bucket, segment, offset })
        else if (segment.expiryAt(offset) > now)
          records.push(segment.recordAt(offset, isBorrowed))
      })
      group = this.#index.after(group)
      if (group === undefined) break
    }
    for (const { bucket, segment, offset } of corrupt) {
      if (!this.#index.forget(bucket, segment, offset)) continue
      this.#segments.tally(segment, -1, 0)
      this.#losses.corrupt += 1
    }
    return {
      records,
      next: group === undefined ? undefined : ({ group } satisfies TableCursor),
    }
  }

  stats(): TableStats {
    return { records: this.#segments.live, ...this.memory(), ...this.#losses }
  }

  memory(): TableMemory {
    return {
      bytes: this.#segments.bytes + this.#index.bytes,
      maxBytes: this.#maxBytes,
    }
  }

  close(): void {
    this.purge()
    this.#closed = true
  }

  /**
   * Whether there is a record under the key, tombstones too; `#index` then stands on its slot.
   * Drops what it finds corrupt or expired. Leaves the key's hash in `#hash`.
   */
  #find(table: TableId, key: Uint8Array, now: number): boolean {
    const hash = this.#hash
    hash.update(table, key, 0, key.length)
    if (!this.#index.find(hash, table, key)) return false
    const { segment, offset } = this.#index
    if (!segment.isIntact(offset, hash)) {
      this.#remove()
      this.#losses.corrupt += 1
      return false
    }
    if (segment.expiryAt(offset) <= now) {
      this.#remove()
      this.#losses.expired += 1
      return false
    }
    return true
  }

  /** `#hash` is that of the key; when `found`, `#index` stands on its slot. */
  #append(record: Writable, target: Segment, length: number, found: boolean): boolean {
    const offset = target.append(record, this.#hash)
    if (found) {
      const { segment: old, offset: oldOffset } = this.#index
      this.#segments.tally(old, -1, old.lengthAt(oldOffset))
      this.#index.point(target, offset)
    } else if (!this.#index.insert(this.#hash, target, offset)) {
      this.#losses.evicted += 1
      return false
    }
    this.#segments.tally(target, 1, length)
    return true
  }

  /** Of a segment that holds newer records too. */
  #purgeSome(segment: Segment, upTo: Version): void {
    const hash = this.#otherHash
    let next = 0 as Offset
    while (segment.live > 0 && segment.holdsRecordAt(next)) {
      const offset = next
      next = (offset + segment.lengthAt(offset)) as Offset
      if (compareVersions(segment.versionAt(offset), upTo) > 0) continue
      segment.hashKey(offset, hash)
      if (this.#index.findPlace(hash, segment, offset)) this.#remove()
    }
    if (segment.live > 0 && next === segment.end) return
    // Behind a header that has changed since, nobody can tell what is old.
    this.#losses.corrupt += segment.live
    this.#free(segment)
  }

  #remove(): void {
    const { segment, offset } = this.#index
    this.#segments.tally(segment, -1, segment.lengthAt(offset))
    this.#index.remove()
  }

  #isIntact(segment: Segment, offset: Offset): boolean {
    if (!segment.holdsRecordAt(offset)) return false
    segment.hashKey(offset, this.#otherHash)
    return segment.isIntact(offset, this.#otherHash)
  }

  /** Each write pays for itself: the more bytes, the more of what is left to do is done. */
  #tidy(length: number, now: number): void {
    for (let i = 0; i <= length >>> 12; i += 1) {
      const segment = this.#segments.survey()
      if (segment === undefined) continue
      if (segment.expiresAt <= now) {
        this.#losses.expired += segment.live
        this.#free(segment)
      } else this.#eviction.consider(segment)
    }
    this.#sweep.step(1 + (length >>> 8))
    for (let i = 0; i < 2 && this.#index.isCrowded; i += 1) {
      if (this.#index.bytes > this.#maxBytes / 2) break
      this.#index.split()
    }
    this.#segments.setOther(this.#index.bytes + indexSlack)
    const { room } = this.#segments
    if (room < reserve) {
      this.#eviction.step(room > 0 ? 4 * length + 512 : 16 * length + 2048, now)
    }
  }

  /** A segment with room for the record, whatever has to go for it. */
  #room(table: TableId, left: number, length: number, now: number): Segment | undefined {
    const wanted = ttlClass(left)
    let target = this.#open.withRoom(table, wanted, length)
    for (let i = 0; i < 2 && target === undefined; i += 1) {
      this.#eviction.finish(now)
      target = this.#open.withRoom(table, wanted, length)
    }
    target ??= this.#open.nearest(table, wanted, length)
    while (target === undefined) {
      const { oldest } = this.#segments
      if (oldest === undefined) return undefined
      this.#losses.evicted += oldest.live
      this.#free(oldest)
      target = this.#open.withRoom(table, wanted, length)
    }
    return target
  }

  #free(segment: Segment): void {
    this.#open.seal(segment)
    this.#segments.free(segment)
  }
}

interface TableCursor {
  readonly group: number
}

/** Groups of buckets that a step of a walk looks at beyond its limit. */
const mostEmpty = 256

function expiryOf(expiresAt: number): number {
  return Math.max(0, Math.min(latestEnd, Math.floor(expiresAt))) || 0
}

function checkMaxBytes(maxBytes: number): number {
  if (maxBytes >= minTableBytes && maxBytes <= maxTableBytes) return maxBytes
  throw new RangeError(
    `maxBytes must be from ${minTableBytes} to ${maxTableBytes}, got ${maxBytes}`,
  )
}
