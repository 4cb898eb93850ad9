import { copyBytes, ownCopy } from '../../record/copy-bytes.ts'
import type { TableId } from '../../record/key.ts'
import type { CacheRecord } from '../../record/record.ts'
import type { Contender } from '../../record/supersedes.ts'
import type { Version } from '../../record/version.ts'
import type { BuzHash } from '../buzhash.ts'
import { checksum } from '../checksum.ts'
import {
  at,
  keyLengthShift,
  msHighMask,
  msHighShift,
  narrowAt,
  narrowHeader,
  type Offset,
  type SegmentNumber,
  tombstoneBit,
  valueLengthMask,
  wideAt,
  wideBit,
  wideHeader,
} from '../layout.ts'
import type { TtlClass } from './ttl-class.ts'

const cacheLine = 64
/** Beyond this, reading on is fast by itself. */
const mostWarmed = 2048

/** Records one behind the other, all of one virtual table and of about one time to live. */
export class Segment {
  readonly number: SegmentNumber
  readonly table: TableId
  readonly ttlClass: TtlClass
  readonly bytes: Buffer
  readonly #view: DataView
  #appended = 0
  #meanLength = 0
  /** From when the ms of narrow records count. */
  readonly #epoch: number
  /** Where the next record goes; bytes from here on mean nothing. */
  end = 0 as Offset
  /** Records that the index points to, and their bytes. */
  live = 0
  liveBytes = 0
  /** When the last of its records expires. */
  expiresAt = 0
  /** Between these lie the versions of all its records, in ms. */
  oldestMs: number = Infinity
  newestMs = 0
  /** Nothing is appended any more. */
  sealed = false
  /** Given back: whoever still holds the object must let go. */
  freed = false
  /** Neighbours in order of age. */
  older: Segment | undefined
  newer: Segment | undefined

  constructor(
    number: SegmentNumber,
    table: TableId,
    ttlClass: TtlClass,
    bytes: Buffer,
    epoch: number,
  ) {
    this.#epoch = epoch
    this.number = number
    this.table = table
    this.ttlClass = ttlClass
    this.bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  }

  hasRoom(length: number): boolean {
    return this.end + length <= this.bytes.length
  }

  /** Writes a record at the end; `hash` is that of its key. There must be room. */
  append(record: Writable, hash: BuzHash): Offset {
    const offset = this.end
    const { key, value, version } = record
    const view = this.#view
    const ms = version.ms - this.#epoch
    const life = record.expiresAt - version.ms
    const wide = isWide(ms, life)
    const valueLength = record.tombstone ? 0 : value.length
    const shape =
      valueLength | (record.tombstone ? tombstoneBit : 0) | (key.length << keyLengthShift)
    if (wide) {
      view.setInt32(offset + at.shape, shape | wideBit, true)
      this.#writeU48(offset + at.ms, version.ms)
      view.setUint16(offset + wideAt.logical, version.logical, true)
      view.setUint16(offset + wideAt.node, version.node, true)
      this.#writeU48(offset + wideAt.expiry, record.expiresAt)
    } else {
      const msHigh = Math.floor(ms / 0x1_0000_0000) << msHighShift
      view.setInt32(offset + at.shape, shape | msHigh, true)
      view.setUint32(offset + at.ms, ms % 0x1_0000_0000, true)
      view.setUint16(offset + narrowAt.logical, version.logical, true)
      view.setUint16(offset + narrowAt.node, version.node, true)
      view.setUint32(offset + narrowAt.life, life, true)
    }
    const keyStart = offset + (wide ? wideHeader : narrowHeader)
    const bytes = this.bytes
    for (let i = 0; i < key.length; i += 1) bytes[keyStart + i] = key[i] as number
    const valueStart = keyStart + key.length
    if (valueLength > 0) copyBytes(value, bytes, valueStart)
    this.end = (valueStart + valueLength) as Offset
    view.setInt32(offset + at.checksum, this.#checksum(offset, hash), true)
    this.#noteLength()
    if (record.expiresAt > this.expiresAt) this.expiresAt = record.expiresAt
    this.#noteMs(version.ms)
    return offset
  }

  /** Copies a whole record of another segment to the end, checksum and all. */
  appendCopy(source: Segment, offset: Offset, expiresAt: number): Offset {
    const target = this.end
    const length = source.lengthAt(offset)
    copyBytes(source.bytes.subarray(offset, offset + length), this.bytes, target)
    this.end = (target + length) as Offset
    this.#noteLength()
    if (expiresAt > this.expiresAt) this.expiresAt = expiresAt
    this.#noteMs(source.versionAt(offset).ms)
    return target
  }

  /**
   * Whether a whole record can lie at the offset. Other methods may only be asked about
   * offsets for which this, or {@link hasKey}, is true: a place read from the index may be
   * wrong when memory is corrupt.
   */
  holdsRecordAt(offset: Offset): boolean {
    return offset + narrowHeader < this.end && offset + this.lengthAt(offset) <= this.end
  }

  /**
   * Reads a byte of each cache line that the record at the offset may take, going by the mean
   * length: most of a get is waiting for memory, and these reads wait side by side, where to
   * read the header first and then what it says would be to wait twice. Answers what it read,
   * which is to be kept somewhere, lest the reads be optimised away.
   */
  warm(offset: Offset): number {
    const bytes = this.bytes
    const end = Math.min(offset + this.#meanLength, this.end)
    let sum = 0
    for (let i: number = offset; i < end; i += cacheLine) sum ^= bytes[i] as number
    return sum
  }

  hasKey(offset: Offset, key: Uint8Array): boolean {
    if (offset + narrowHeader >= this.end) return false
    const shape = this.#view.getInt32(offset + at.shape, true)
    const keyLength = shape >>> keyLengthShift
    if (keyLength !== key.length) return false
    const start = offset + headerLength(shape)
    if (start + keyLength + (shape & valueLengthMask) > this.end) return false
    const bytes = this.bytes
    for (let i = 0; i < keyLength; i += 1) {
      if (bytes[start + i] !== key[i]) return false
    }
    return true
  }

  /** Hashes the key of the record at the offset. */
  hashKey(offset: Offset, hash: BuzHash): void {
    const shape = this.#view.getInt32(offset + at.shape, true)
    const start = offset + headerLength(shape)
    hash.update(this.table, this.bytes, start, start + (shape >>> keyLengthShift))
  }

  lengthAt(offset: Offset): number {
    const shape = this.#view.getInt32(offset + at.shape, true)
    return headerLength(shape) + (shape >>> keyLengthShift) + (shape & valueLengthMask)
  }

  isTombstone(offset: Offset): boolean {
    return (this.#view.getInt32(offset + at.shape, true) & tombstoneBit) !== 0
  }

  expiryAt(offset: Offset): number {
    const shape = this.#view.getInt32(offset + at.shape, true)
    if ((shape & wideBit) !== 0) return this.#readU48(offset + wideAt.expiry)
    return this.#msAt(offset, shape) + this.#view.getUint32(offset + narrowAt.life, true)
  }

  versionAt(offset: Offset): Version {
    const shape = this.#view.getInt32(offset + at.shape, true)
    const from = (shape & wideBit) !== 0 ? wideAt : narrowAt
    return {
      ms: this.#msAt(offset, shape),
      logical: this.#view.getUint16(offset + from.logical, true),
      node: this.#view.getUint16(offset + from.node, true),
    }
  }

  /** A view of the value. */
  valueAt(offset: Offset): Buffer {
    const shape = this.#view.getInt32(offset + at.shape, true)
    const start = offset + headerLength(shape) + (shape >>> keyLengthShift)
    return this.bytes.subarray(start, start + (shape & valueLengthMask))
  }

  /** Whether header, key and value are what was written; `hash` is that of the key. */
  isIntact(offset: Offset, hash: BuzHash): boolean {
    return (
      this.#checksum(offset, hash) === this.#view.getInt32(offset + at.checksum, true)
    )
  }

  /** The part of the record that last-write-wins looks at; `value` is a view. */
  contenderAt(offset: Offset): Contender {
    return {
      version: this.versionAt(offset),
      tombstone: this.isTombstone(offset),
      value: this.valueAt(offset),
    }
  }

  /** The record, in bytes of its own, or in views of the segment. */
  recordAt(offset: Offset, isBorrowed = false): CacheRecord {
    const shape = this.#view.getInt32(offset + at.shape, true)
    const keyStart = offset + headerLength(shape)
    const valueStart = keyStart + (shape >>> keyLengthShift)
    const valueEnd = valueStart + (shape & valueLengthMask)
    const key = this.bytes.subarray(keyStart, valueStart)
    const value = this.bytes.subarray(valueStart, valueEnd)
    return {
      table: this.table,
      key: isBorrowed ? key : Buffer.from(key),
      value: isBorrowed ? value : ownCopy(value),
      version: this.versionAt(offset),
      expiresAt: this.expiryAt(offset),
      tombstone: (shape & tombstoneBit) !== 0,
    }
  }

  #noteMs(ms: number): void {
    if (ms < this.oldestMs) this.oldestMs = ms
    if (ms > this.newestMs) this.newestMs = ms
  }

  #noteLength(): void {
    this.#appended += 1
    this.#meanLength = Math.min(mostWarmed, this.end / this.#appended) | 0
  }

  #msAt(offset: Offset, shape: number): number {
    if ((shape & wideBit) !== 0) return this.#readU48(offset + at.ms)
    const high = (shape >>> msHighShift) & msHighMask
    return this.#epoch + high * 0x1_0000_0000 + this.#view.getUint32(offset + at.ms, true)
  }

  #checksum(offset: Offset, hash: BuzHash): number {
    const shape = this.#view.getInt32(offset + at.shape, true)
    const valueStart = offset + headerLength(shape) + (shape >>> keyLengthShift)
    return checksum(
      this.#view,
      offset + at.shape,
      offset + headerLength(shape),
      valueStart,
      valueStart + (shape & valueLengthMask),
      hash,
    )
  }

  #readU48(offset: number): number {
    const view = this.#view
    return view.getUint32(offset, true) + view.getUint16(offset + 4, true) * 0x1_0000_0000
  }

  #writeU48(offset: number, value: number): void {
    this.#view.setUint32(offset, value % 0x1_0000_0000, true)
    this.#view.setUint16(offset + 4, value / 0x1_0000_0000, true)
  }
}

/** A record on its way in: the caller's bytes, which may be any bytes. */
export type Writable = Omit<CacheRecord, 'key' | 'value'> & {
  readonly key: Uint8Array
  readonly value: Uint8Array
}

/** How many bytes the record takes in a segment of that epoch. */
export function storedLength(record: Writable, epoch: number): number {
  const { ms } = record.version
  const header = isWide(ms - epoch, record.expiresAt - ms) ? wideHeader : narrowHeader
  return header + record.key.length + (record.tombstone ? 0 : record.value.length)
}

function isWide(ms: number, life: number): boolean {
  return !(ms >= 0 && ms < 2 ** 37 && life >= 0 && life < 2 ** 32)
}

function headerLength(shape: number): number {
  return (shape & wideBit) !== 0 ? wideHeader : narrowHeader
}
