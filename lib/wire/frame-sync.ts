import { type CacheRecord, recordLength, writeRecord } from '../record/record.ts'
import { ByteReader, ByteWriter, malformed } from './frame-bytes.ts'
import { memberIdPattern } from './frame-greeting.ts'

/**
 * A snapshot of everything that a member holds is `vector`, any number of `snapshot`, and
 * `synced`. `vector` is drawn up before the walk over the table, `synced` after it.
 *
 *      vector    id u32, entries                    id: which request (`sync`) it answers
 *      snapshot  id u32, count u16, records
 *      synced    id u32, records sent u48, entries
 *      entries   u16 count, then of each  incarnation u48, sequence u48, member str8
 */
export interface VectorEntry {
  readonly member: string
  readonly incarnation: number
  /** All of this member's log up to and with this number is held. */
  readonly sequence: number
}

/** Members that were restarted are in the vector more than once, so more than 1024. */
export const maxVectorEntries = 8192

export interface VectorFrame {
  readonly id: number
  readonly entries: readonly VectorEntry[]
}

export interface SnapshotFrame {
  readonly id: number
  /** Keys and values are views of the frame. */
  readonly records: readonly CacheRecord[]
}

export interface SyncedFrame extends VectorFrame {
  readonly sent: number
}

export function writeVector({ id, entries }: VectorFrame): Buffer {
  return writeEntries(new ByteWriter().uint32(id), entries).done()
}

export function readVector(body: Buffer): VectorFrame {
  const read = new ByteReader(body)
  const id = read.uint32()
  return { id, entries: readEntries(read) }
}

export function writeSnapshot({ id, records }: SnapshotFrame): Buffer {
  const length = records.reduce((sum, record) => sum + recordLength(record), 6)
  const body = Buffer.allocUnsafe(length)
  body.writeUInt32BE(id, 0)
  body.writeUInt16BE(records.length, 4)
  let offset = 6
  for (const record of records) offset = writeRecord(record, body, offset)
  return body
}

export function readSnapshot(body: Buffer): SnapshotFrame {
  const read = new ByteReader(body)
  const id = read.uint32()
  const count = read.uint16()
  const records: CacheRecord[] = []
  for (let i = 0; i < count; i++) records.push(read.record())
  read.end()
  return { id, records }
}

export function writeSynced({ id, sent, entries }: SyncedFrame): Buffer {
  return writeEntries(new ByteWriter().uint32(id).uint48(sent), entries).done()
}

export function readSynced(body: Buffer): SyncedFrame {
  const read = new ByteReader(body)
  const id = read.uint32()
  const sent = read.uint48()
  return { id, sent, entries: readEntries(read) }
}

/** `held`: entries. */
export function writeHeld(entries: readonly VectorEntry[]): Buffer {
  return writeEntries(new ByteWriter(), entries).done()
}

export function readHeld(body: Buffer): VectorEntry[] {
  return readEntries(new ByteReader(body))
}

/** `sync` and `syncRefused`: the id of a request, u32. */
export function writeSyncId(id: number): Buffer {
  return new ByteWriter().uint32(id).done()
}

export function readSyncId(body: Buffer): number {
  const read = new ByteReader(body)
  const id = read.uint32()
  read.end()
  return id
}

function writeEntries(out: ByteWriter, entries: readonly VectorEntry[]): ByteWriter {
  const told = entries.slice(0, maxVectorEntries)
  out.uint16(told.length)
  for (const { incarnation, sequence, member } of told) {
    out.uint48(incarnation).uint48(sequence).text8(member)
  }
  return out
}

function readEntries(read: ByteReader): VectorEntry[] {
  const count = read.uint16()
  if (count > maxVectorEntries) throw malformed(`vector of ${count} entries`)
  const entries: VectorEntry[] = []
  for (let i = 0; i < count; i++) {
    entries.push({
      incarnation: read.uint48(),
      sequence: read.uint48(),
      member: read.text8(memberIdPattern),
    })
  }
  read.end()
  return entries
}
