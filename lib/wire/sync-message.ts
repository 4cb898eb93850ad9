import type { CacheRecord } from '../record/record.ts'
import { expect, readRecords, withRecords } from './control-body.ts'
import {
  readSenderTag,
  readSequence,
  type SenderTag,
  senderTagLength,
  writeSenderTag,
  writeSequence,
} from './datagram.ts'
import { digestLength } from './digest-length.ts'

/**
 * How a member gets what another one's table has: it opens with a digest of its own, is told how
 * far the other has heard everybody, and asks for one page of records after the other. Control
 * messages, so the first byte is the type.
 *
 *      11 open        id u32 | nothing, or a table digest of 8192 bytes
 *      12 vector      id u32 | flags u8 (1 ready) | as many: sender tag 6 | contiguous u64
 *      13 next        id u32 | page u32
 *      14 page        id u32 | page u32 | flags u8 (1 last, 2 differed) | records
 */
export type SyncMessage =
  | { readonly type: 'open'; readonly id: number; readonly digest: Buffer | undefined }
  | {
      readonly type: 'vector'
      readonly id: number
      readonly ready: boolean
      readonly vector: readonly VectorEntry[]
    }
  | { readonly type: 'next'; readonly id: number; readonly page: number }
  | {
      readonly type: 'page'
      readonly id: number
      readonly page: number
      readonly last: boolean
      readonly differed: boolean
      readonly records: readonly CacheRecord[]
    }

export interface VectorEntry {
  readonly sender: SenderTag
  readonly contiguous: number
}

const vectorEntryLength: number = senderTagLength + 8
const pageHeaderLength = 10

/** The body, its type not written yet. */
export function syncBody(message: SyncMessage): Buffer {
  switch (message.type) {
    case 'open':
      return Buffer.concat([numbers(message.id), message.digest ?? Buffer.alloc(0)])
    case 'vector':
      return writeVector(message)
    case 'next':
      return numbers(message.id, message.page)
    case 'page':
      return writePage(message)
  }
}

export function readSync(type: SyncMessage['type'], bytes: Buffer): SyncMessage {
  switch (type) {
    case 'open':
      expect(bytes.length === 5 || bytes.length === 5 + digestLength)
      return {
        type,
        id: bytes.readUInt32BE(1),
        digest: bytes.length === 5 ? undefined : Buffer.from(bytes.subarray(5)),
      }
    case 'vector':
      return readVector(bytes)
    case 'next':
      expect(bytes.length === 9)
      return { type, id: bytes.readUInt32BE(1), page: bytes.readUInt32BE(5) }
    case 'page':
      return readPage(bytes)
  }
}

function writeVector(message: SyncMessage & { type: 'vector' }): Buffer {
  const body = Buffer.alloc(6 + message.vector.length * vectorEntryLength)
  body.writeUInt32BE(message.id, 1)
  body[5] = message.ready ? 1 : 0
  message.vector.forEach((entry, i) => {
    writeSenderTag(entry.sender, body, 6 + i * vectorEntryLength)
    writeSequence(entry.contiguous, body, 6 + i * vectorEntryLength + senderTagLength)
  })
  return body
}

function readVector(bytes: Buffer): SyncMessage {
  const count = (bytes.length - 6) / vectorEntryLength
  expect(Number.isInteger(count) && count >= 0)
  return {
    type: 'vector',
    id: bytes.readUInt32BE(1),
    ready: bytes[5] === 1,
    vector: Array.from({ length: count }, (_, i) => ({
      sender: readSenderTag(bytes, 6 + i * vectorEntryLength),
      contiguous: readSequence(bytes, 6 + i * vectorEntryLength + senderTagLength),
    })),
  }
}

function writePage(message: SyncMessage & { type: 'page' }): Buffer {
  const body = withRecords(pageHeaderLength, message.records)
  body.writeUInt32BE(message.id, 1)
  body.writeUInt32BE(message.page, 5)
  body[9] = (message.last ? 1 : 0) | (message.differed ? 2 : 0)
  return body
}

function readPage(bytes: Buffer): SyncMessage {
  expect(bytes.length >= pageHeaderLength)
  const records = readRecords(bytes, pageHeaderLength)
  return {
    type: 'page',
    id: bytes.readUInt32BE(1),
    page: bytes.readUInt32BE(5),
    last: (bytes.readUInt8(9) & 1) !== 0,
    differed: (bytes.readUInt8(9) & 2) !== 0,
    records,
  }
}

function numbers(...values: number[]): Buffer {
  const body = Buffer.alloc(1 + values.length * 4)
  values.forEach((value, i) => {
    body.writeUInt32BE(value, 1 + i * 4)
  })
  return body
}
