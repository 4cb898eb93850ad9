import { type CacheRecord, recordHeaderLength } from '../record/record.ts'
import { ByteReader, ByteWriter, malformed } from './frame-bytes.ts'

/**
 * A member's log is the list of the records it wrote, numbered from 1. `records`: consecutive
 * entries of the sender's log, in log order.
 *
 *      0             6         10
 *      +-------------+---------+----------------+
 *      | first       | count   | entries        |
 *      | u48         | u32     |                |
 *      +-------------+---------+----------------+
 */
export const recordsHeaderLength = 10

export function writeRecords(first: number, entries: readonly Buffer[]): Buffer {
  const head = Buffer.allocUnsafe(recordsHeaderLength)
  head.writeUIntBE(first, 0, 6)
  head.writeUInt32BE(entries.length, 6)
  return Buffer.concat([head, ...entries])
}

export interface RecordsFrame {
  readonly first: number
  readonly count: number
  readonly entries: readonly CacheRecord[]
}

/** Entries of the frame; keys and values are views of `body`. */
export function readRecords(body: Buffer): RecordsFrame {
  const read = new ByteReader(body)
  const first = read.uint48()
  const count = read.uint32()
  // A count that can't be true is not looped over.
  if (first < 1 || count < 1 || count * recordHeaderLength > read.left) {
    throw malformed('records')
  }
  const entries: CacheRecord[] = []
  for (let i = 0; i < count; i++) entries.push(read.record())
  read.end()
  return { first, count, entries }
}

/**
 * `start`, `ack`, `gap`: one sequence number, u48. `gap`: the log goes on there, what was
 * before is gone.
 */
export function writeSequence(sequence: number): Buffer {
  return new ByteWriter().uint48(sequence).done()
}

/** `missed`: as many sequence numbers, u48, as there are. */
export function writeMissed(sequences: readonly number[]): Buffer {
  const out = new ByteWriter()
  for (const sequence of sequences) out.uint48(sequence)
  return out.done()
}

export function readMissed(body: Buffer): number[] {
  const read = new ByteReader(body)
  const sequences: number[] = []
  while (read.left > 0) sequences.push(read.uint48())
  return sequences
}

export function readSequence(body: Buffer): number {
  const read = new ByteReader(body)
  const sequence = read.uint48()
  read.end()
  return sequence
}
