import { type TableId, tableId } from '../record/key.ts'
import {
  type CacheRecord,
  readRecord,
  recordLength,
  writeRecord,
} from '../record/record.ts'
import { ByteReader, ByteWriter, malformed } from './frame-bytes.ts'

/**
 * A member's log is the list of what it wrote, numbered from 1. An entry is a record
 * (lib/record/record.ts) or a purge. A record starts with its table, which is never 0:
 *
 *      0      1
 *      +------+---------+
 *      | 0    | table   |   purge; table 0 = all of them
 *      +------+---------+
 */
export type LogEntry = { record: CacheRecord } | { purge: TableId | undefined }

export function encodeEntry(entry: LogEntry): Buffer {
  if ('purge' in entry) return Buffer.from([0, entry.purge ?? 0])
  const bytes = Buffer.allocUnsafe(recordLength(entry.record))
  writeRecord(entry.record, bytes, 0)
  return bytes
}

/**
 * `records`: consecutive entries of the sender's log, in log order.
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
  readonly entries: readonly LogEntry[]
}

/** Entries of the frame; keys and values are views of `body`. */
export function readRecords(body: Buffer): RecordsFrame {
  const read = new ByteReader(body)
  const first = read.uint48()
  const count = read.uint32()
  // An entry has at least two bytes: a count that can't be true is not looped over.
  if (first < 1 || count < 1 || count * 2 > read.left) throw malformed('records')
  const entries: LogEntry[] = []
  let offset = read.offset
  for (let i = 0; i < count; i++) {
    if (body[offset] !== 0) {
      const record = readRecord(body, offset)
      offset += recordLength(record)
      entries.push({ record })
    } else {
      const table = body[offset + 1]
      if (table === undefined) throw malformed('purge cut short')
      offset += 2
      entries.push({ purge: table === 0 ? undefined : tableId(table) })
    }
  }
  if (offset !== body.length) throw malformed('records with bytes too many')
  return { first, count, entries }
}

/**
 * `gap`: the log goes on at `next`, what was before is gone. Purges among what is gone are
 * said here, for a snapshot can't tell that something was taken away.
 *
 *      0             6         7
 *      +-------------+---------+-----------------+
 *      | next u48    | count u8| tables u8 each  |   table 0 = all of them
 *      +-------------+---------+-----------------+
 */
export interface GapFrame {
  readonly next: number
  readonly purged: readonly (TableId | undefined)[]
}

export function writeGap({ next, purged }: GapFrame): Buffer {
  // A purge of everything says what 255 purges of one table would.
  const told = purged.includes(undefined) ? [undefined] : purged
  return new ByteWriter()
    .uint48(next)
    .bytes8(Uint8Array.from(told, table => table ?? 0))
    .done()
}

export function readGap(body: Buffer): GapFrame {
  const read = new ByteReader(body)
  const next = read.uint48()
  const purged = [...read.bytes8()].map(table =>
    table === 0 ? undefined : tableId(table),
  )
  read.end()
  if (next < 1) throw malformed('gap')
  return { next, purged }
}

/** `start` and `ack`: one sequence number, u48. */
export function writeSequence(sequence: number): Buffer {
  return new ByteWriter().uint48(sequence).done()
}

export function readSequence(body: Buffer): number {
  const read = new ByteReader(body)
  const sequence = read.uint48()
  read.end()
  return sequence
}
