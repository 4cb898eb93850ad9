import type { CacheRecord } from '../record/record.ts'
import { expect, readRecords, withRecords } from './control-body.ts'
import { readSequence, writeSequence } from './datagram.ts'

/**
 * Records for those that own them, to one member; numbers begin at 1 with each connection. Control
 * messages, so the first byte is the type.
 *
 *      20 give        flags u8 (1 acknowledge it now) | first u64 | records, numbered from there
 *      21 taken       up to u64 | as many: number u64 of one that is not in the table
 *      22 moved       you have been given all of ours that is for you to hold
 */
export type CopyMessage =
  | {
      readonly type: 'give'
      readonly prompt: boolean
      readonly first: number
      readonly records: readonly CacheRecord[]
    }
  | {
      readonly type: 'taken'
      readonly upTo: number
      /** At most as many as can be under way. */
      readonly refused: readonly number[]
    }
  | { readonly type: 'moved' }

const giveHeaderLength = 10
const takenHeaderLength = 9

/** The body, its type not written yet. */
export function copyBody(message: CopyMessage): Buffer {
  switch (message.type) {
    case 'give':
      return writeGive(message)
    case 'taken':
      return writeTaken(message)
    case 'moved':
      return Buffer.alloc(1)
  }
}

export function readCopy(type: CopyMessage['type'], bytes: Buffer): CopyMessage {
  switch (type) {
    case 'give':
      return readGive(bytes)
    case 'taken':
      return readTaken(bytes)
    case 'moved':
      expect(bytes.length === 1)
      return { type }
  }
}

function writeGive({ prompt, first, records }: CopyMessage & { type: 'give' }): Buffer {
  const body = withRecords(giveHeaderLength, records)
  body[1] = prompt ? 1 : 0
  writeSequence(first, body, 2)
  return body
}

function readGive(bytes: Buffer): CopyMessage {
  expect(bytes.length > giveHeaderLength)
  const first = readSequence(bytes, 2)
  expect(first > 0 && first < 2 ** 52)
  const records = readRecords(bytes, giveHeaderLength)
  return { type: 'give', prompt: bytes[1] === 1, first, records }
}

function writeTaken({ upTo, refused }: CopyMessage & { type: 'taken' }): Buffer {
  const body = Buffer.allocUnsafe(takenHeaderLength + refused.length * 8)
  writeSequence(upTo, body, 1)
  refused.forEach((number, i) => {
    writeSequence(number, body, takenHeaderLength + i * 8)
  })
  return body
}

function readTaken(bytes: Buffer): CopyMessage {
  const count = (bytes.length - takenHeaderLength) / 8
  expect(Number.isInteger(count) && count >= 0)
  const refused = Array.from({ length: count }, (_, i) =>
    readSequence(bytes, takenHeaderLength + i * 8),
  )
  return { type: 'taken', upTo: readSequence(bytes, 1), refused }
}
