import { HandfastError } from '../errors.ts'
import { copyBytes } from './copy-bytes.ts'
import { maxKeyLength, type TableId, tableId } from './key.ts'
import { readVersion, type Version, versionLength, writeVersion } from './version.ts'

/**
 * What members of a farm keep and send each other. On the wire:
 *
 *      0       1        2         3          6             16           22
 *      +-------+--------+---------+----------+-------------+------------+-----+-------+
 *      | table | flags  | key len | value len| version     | expires at | key | value |
 *      | u8    | u8     | u8      | u24      | 10 B        | u48 ms     |     |       |
 *      +-------+--------+---------+----------+-------------+------------+-----+-------+
 *
 * flags: bit 0 = tombstone. All other bits are 0 and are refused when they are not.
 */
export interface CacheRecord {
  readonly table: TableId
  /** 1..255 bytes. */
  readonly key: Buffer
  /** Empty for a tombstone. At most {@link maxValueLength} bytes. */
  readonly value: Buffer
  readonly version: Version
  /** Wall time in milliseconds at which the record is gone, tombstones too. */
  readonly expiresAt: number
  /** The record says that its key was deleted. */
  readonly tombstone: boolean
}

export const recordHeaderLength = 22
export const maxValueLength = 65_536
/** The latest time at which a record can end, ms: 48 bits. */
export const latestEnd: number = 2 ** 48 - 1
const tombstoneFlag = 1

export function recordLength(record: CacheRecord): number {
  return recordHeaderLength + record.key.length + record.value.length
}

/** Writes the record at `offset` and answers the offset behind it. */
export function writeRecord(record: CacheRecord, target: Buffer, offset: number): number {
  target[offset] = record.table
  target[offset + 1] = record.tombstone ? tombstoneFlag : 0
  target[offset + 2] = record.key.length
  target.writeUIntBE(record.value.length, offset + 3, 3)
  writeVersion(record.version, target, offset + 6)
  target.writeUIntBE(record.expiresAt, offset + 6 + versionLength, 6)
  record.key.copy(target, offset + recordHeaderLength)
  copyBytes(record.value, target, offset + recordHeaderLength + record.key.length)
  return offset + recordHeaderLength + record.key.length + record.value.length
}

/** The record in bytes of its own. */
export function encodeRecord(record: CacheRecord): Buffer {
  const bytes = Buffer.allocUnsafe(recordLength(record))
  writeRecord(record, bytes, 0)
  return bytes
}

/**
 * Reads the record at `offset`; `key` and `value` are views of `source`. Throws
 * ERR_HANDFAST_PROTOCOL when the bytes are not a whole, valid record.
 */
export function readRecord(source: Buffer, offset: number): CacheRecord {
  if (source.length - offset < recordHeaderLength) throw malformed('header cut short')
  const flags = source.readUInt8(offset + 1)
  const keyLength = source.readUInt8(offset + 2)
  const valueLength = source.readUIntBE(offset + 3, 3)
  if (source[offset] === 0) throw malformed('table 0')
  if (flags > tombstoneFlag) throw malformed(`unknown flags ${flags}`)
  if (keyLength === 0) throw malformed('empty key')
  if (valueLength > maxValueLength) throw malformed(`value of ${valueLength} bytes`)
  if (flags === tombstoneFlag && valueLength > 0)
    throw malformed('tombstone with a value')
  const keyStart = offset + recordHeaderLength
  const valueStart = keyStart + keyLength
  if (source.length < valueStart + valueLength) throw malformed('body cut short')
  return {
    table: tableId(source.readUInt8(offset)),
    key: source.subarray(keyStart, valueStart),
    value: source.subarray(valueStart, valueStart + valueLength),
    version: readVersion(source, offset + 6),
    expiresAt: expiryOf(source, offset),
    tombstone: flags === tombstoneFlag,
  }
}

/** The end of the record at `offset`, which is a whole one. */
export function expiryOf(source: Buffer, offset: number): number {
  return source.readUIntBE(offset + 6 + versionLength, 6)
}

/** Throws a RangeError that names the limit when a key or value is too large or empty. */
export function checkRecordSize(keyLength: number, valueLength: number): void {
  if (keyLength < 1 || keyLength > maxKeyLength) {
    throw new RangeError(`key must have 1 to ${maxKeyLength} bytes, got ${keyLength}`)
  }
  if (valueLength > maxValueLength) {
    throw new RangeError(
      `value must have at most ${maxValueLength} bytes, got ${valueLength}`,
    )
  }
}

function malformed(what: string): HandfastError {
  return new HandfastError('ERR_HANDFAST_PROTOCOL', `malformed record: ${what}`)
}
