import { maxKeyLength, type TableId, tableId } from '../record/key.ts'
import { type CacheRecord, encodeRecord } from '../record/record.ts'
import { ByteReader, ByteWriter, malformed } from './frame-bytes.ts'

/**
 * `get`: a question for one record, and its `answer`.
 *
 *      0         4       5                  0         4       5
 *      +---------+-------+---------+        +---------+-------+----------------+
 *      | id u32  | table | key str8|        | id u32  | kind  | record, if any |
 *      +---------+-------+---------+        +---------+-------+----------------+
 */
export interface GetFrame {
  readonly id: number
  readonly table: TableId
  readonly key: Buffer
}

export interface AnswerFrame {
  readonly id: number
  /** The record or tombstone; undefined when there is none or the member was too busy. */
  readonly record: CacheRecord | undefined
}

const answerKinds = { none: 0, record: 1 } as const

export function writeGet({ id, table, key }: GetFrame): Buffer {
  if (key.length < 1 || key.length > maxKeyLength) {
    throw new RangeError(`key must have 1 to ${maxKeyLength} bytes, got ${key.length}`)
  }
  return new ByteWriter().uint32(id).uint8(table).bytes8(key).done()
}

export function readGet(body: Buffer): GetFrame {
  const read = new ByteReader(body)
  const id = read.uint32()
  const table = read.uint8()
  const key = read.bytes8()
  read.end()
  if (table === 0 || key.length === 0) throw malformed('get')
  return { id, table: tableId(table), key }
}

export function writeAnswer({ id, record }: AnswerFrame): Buffer {
  const out = new ByteWriter().uint32(id)
  if (record === undefined) return out.uint8(answerKinds.none).done()
  return out.uint8(answerKinds.record).bytes(encodeRecord(record)).done()
}

export function readAnswer(body: Buffer): AnswerFrame {
  const read = new ByteReader(body)
  const id = read.uint32()
  const kind = read.uint8()
  if (kind === answerKinds.none) {
    read.end()
    return { id, record: undefined }
  }
  if (kind !== answerKinds.record) throw malformed(`answer of kind ${kind}`)
  const record = read.record()
  read.end()
  return { id, record }
}
