import { HandfastError } from '../errors.ts'
import {
  type CacheRecord,
  readRecord,
  recordLength,
  writeRecord,
} from '../record/record.ts'

/** Bytes that end with the records; what stands before them is for the caller to write. */
export function withRecords(
  headerLength: number,
  records: readonly CacheRecord[],
): Buffer {
  const length = records.reduce((sum, record) => sum + recordLength(record), 0)
  const body = Buffer.allocUnsafe(headerLength + length)
  let offset = headerLength
  for (const record of records) offset = writeRecord(record, body, offset)
  return body
}

export function readRecords(bytes: Buffer, from: number): CacheRecord[] {
  const records: CacheRecord[] = []
  for (let offset = from; offset < bytes.length; ) {
    const record = readRecord(bytes, offset)
    records.push(record)
    offset += recordLength(record)
  }
  return records
}

/** Throws ERR_HANDFAST_PROTOCOL where the condition does not hold. */
export function expect(condition: boolean): void {
  if (!condition) throw malformed('wrong length or number')
}

export function malformed(what: string): HandfastError {
  return new HandfastError('ERR_HANDFAST_PROTOCOL', `malformed control message: ${what}`)
}
