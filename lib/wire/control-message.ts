import { expect, malformed } from './control-body.ts'
import { type CopyMessage, copyBody, readCopy } from './copy-message.ts'
import {
  readSenderTag,
  readSequence,
  type SenderTag,
  senderTagLength,
  writeSenderTag,
  writeSequence,
} from './datagram.ts'
import { maxRanges, rangeLength, type SequenceRange } from './datagram-control.ts'
import { epochKeyLength } from './seal.ts'
import { readSync, type SyncMessage, syncBody } from './sync-message.ts'

/**
 * What members of a packet farm tell each other over the control channel. The first byte is
 * the type; what follows it is drawn here, all big-endian.
 *
 *      1 announce     flags u8 | epoch u8 | sender tag 6 | epoch key 32 | last u64 | port u16
 *                     flags: 1 joining, 2 repository, 4 has met one, 8 serves
 *      2 key          epoch u8 | epoch key 32
 *      3 acker        0 or 1: acknowledge what I send
 *      4 hears        1 multicast | 2 unicast: which of my datagrams reach the other side
 *      5 datagram     one sealed datagram
 *      6 pull         as many as there are: first u64 | length u16
 *      7 gone         tail u64
 *      8 ping         9 pong: last u64          10 leave
 *      11 open        12 vector      13 next        14 page: see sync-message.ts
 *      15 hint        the other side may lack something of ours
 *      16 data        flags u8 (1 acknowledge it) | sequence u64 | tail u64 | records
 *      17 status      flags u8 (1 in the table) | contiguous u64
 *      18 held        sender tag 6 | contiguous u64: what I have of a member that is away
 *      19 start       after u64: send me your data from behind this number on
 *      20 give        21 taken       22 moved: see copy-message.ts
 *      23 ask         up to u64: acknowledge my data when you have all up to there
 */
export type ControlMessage =
  | {
      readonly type: 'announce'
      readonly joining: boolean
      /** Clients may be served there, joining or not. */
      readonly serves: boolean
      readonly repository: boolean
      /** It has had a link with a repository. */
      readonly metRepository: boolean
      readonly epoch: number
      readonly sender: SenderTag
      readonly epochKey: Buffer
      readonly last: number
      readonly port: number
    }
  | { readonly type: 'key'; readonly epoch: number; readonly epochKey: Buffer }
  | { readonly type: 'acker'; readonly on: boolean }
  | { readonly type: 'hears'; readonly multicast: boolean; readonly unicast: boolean }
  | { readonly type: 'datagram'; readonly datagram: Buffer }
  | { readonly type: 'pull'; readonly ranges: readonly SequenceRange[] }
  | { readonly type: 'gone'; readonly tail: number }
  | { readonly type: 'ping' | 'leave' | 'hint' }
  | { readonly type: 'pong'; readonly last: number }
  | {
      readonly type: 'data'
      readonly ackRequested: boolean
      readonly sequence: number
      readonly tail: number
      readonly body: Buffer
    }
  | { readonly type: 'status'; readonly settled: boolean; readonly contiguous: number }
  | { readonly type: 'start'; readonly after: number }
  | { readonly type: 'ask'; readonly upTo: number }
  | { readonly type: 'held'; readonly sender: SenderTag; readonly contiguous: number }
  | CopyMessage
  | SyncMessage

const types = [
  'announce',
  'key',
  'acker',
  'hears',
  'datagram',
  'pull',
  'gone',
  'ping',
  'pong',
  'leave',
  'open',
  'vector',
  'next',
  'page',
  'hint',
  'data',
  'status',
  'held',
  'start',
  'give',
  'taken',
  'moved',
  'ask',
] as const satisfies readonly ControlMessage['type'][]

const announceLength: number = 1 + 2 + senderTagLength + epochKeyLength + 8 + 2
/** What a `data` message is longer than its records. */
export const dataHeaderLength = 18

export function writeControlMessage(message: ControlMessage): Buffer {
  const body = bodyOf(message)
  body[0] = types.indexOf(message.type) + 1
  return body
}

/** Throws ERR_HANDFAST_PROTOCOL for bytes that are no message. */
export function readControlMessage(bytes: Buffer): ControlMessage {
  const type = types[(bytes[0] ?? 0) - 1]
  switch (type) {
    case 'announce':
      return readAnnounce(bytes)
    case 'key':
      expect(bytes.length === 2 + epochKeyLength)
      return { type, epoch: bytes.readUInt8(1), epochKey: Buffer.from(bytes.subarray(2)) }
    case 'acker':
      expect(bytes.length === 2)
      return { type, on: bytes[1] === 1 }
    case 'hears':
      expect(bytes.length === 2)
      return {
        type,
        multicast: (bytes.readUInt8(1) & 1) !== 0,
        unicast: (bytes.readUInt8(1) & 2) !== 0,
      }
    case 'datagram':
      return { type, datagram: bytes.subarray(1) }
    case 'pull':
      return { type, ranges: readRanges(bytes) }
    case 'gone':
      expect(bytes.length === 9)
      return { type, tail: readSequence(bytes, 1) }
    case 'pong':
      expect(bytes.length === 9)
      return { type, last: readSequence(bytes, 1) }
    case 'ping':
    case 'leave':
    case 'hint':
      expect(bytes.length === 1)
      return { type }
    case 'open':
    case 'vector':
    case 'next':
    case 'page':
      return readSync(type, bytes)
    case 'data':
      return readData(bytes)
    case 'status':
      expect(bytes.length === 10)
      return { type, settled: bytes[1] === 1, contiguous: readSequence(bytes, 2) }
    case 'start':
      expect(bytes.length === 9)
      return { type, after: readSequence(bytes, 1) }
    case 'ask':
      expect(bytes.length === 9)
      return { type, upTo: readSequence(bytes, 1) }
    case 'held':
      expect(bytes.length === 15)
      return { type, sender: readSenderTag(bytes, 1), contiguous: readSequence(bytes, 7) }
    case 'give':
    case 'taken':
    case 'moved':
      return readCopy(type, bytes)
    default:
      throw malformed(`unknown type ${bytes[0]}`)
  }
}

function bodyOf(message: ControlMessage): Buffer {
  switch (message.type) {
    case 'announce':
      return writeAnnounce(message)
    case 'key':
      return Buffer.concat([Buffer.from([0, message.epoch]), message.epochKey])
    case 'acker':
      return Buffer.from([0, message.on ? 1 : 0])
    case 'hears':
      return Buffer.from([0, (message.multicast ? 1 : 0) | (message.unicast ? 2 : 0)])
    case 'datagram':
      return Buffer.concat([Buffer.alloc(1), message.datagram])
    case 'pull':
      return writeRanges(message.ranges)
    case 'gone':
      return oneSequence(message.tail)
    case 'pong':
      return oneSequence(message.last)
    case 'ping':
    case 'leave':
    case 'hint':
      return Buffer.alloc(1)
    case 'open':
    case 'vector':
    case 'next':
    case 'page':
      return syncBody(message)
    case 'give':
    case 'taken':
    case 'moved':
      return copyBody(message)
    case 'data':
      return writeData(message)
    case 'status': {
      const body = Buffer.allocUnsafe(10)
      body[1] = message.settled ? 1 : 0
      writeSequence(message.contiguous, body, 2)
      return body
    }
    case 'start':
      return oneSequence(message.after)
    case 'ask':
      return oneSequence(message.upTo)
    case 'held': {
      const body = Buffer.allocUnsafe(15)
      writeSenderTag(message.sender, body, 1)
      writeSequence(message.contiguous, body, 7)
      return body
    }
  }
}

function writeAnnounce(message: ControlMessage & { type: 'announce' }): Buffer {
  const body = Buffer.alloc(announceLength)
  body[1] =
    (message.joining ? 1 : 0) |
    (message.repository ? 2 : 0) |
    (message.metRepository ? 4 : 0) |
    (message.serves ? 8 : 0)
  body[2] = message.epoch
  writeSenderTag(message.sender, body, 3)
  message.epochKey.copy(body, 9)
  writeSequence(message.last, body, 41)
  body.writeUInt16BE(message.port, 49)
  return body
}

function readAnnounce(bytes: Buffer): ControlMessage {
  expect(bytes.length === announceLength)
  const last = readSequence(bytes, 41)
  expect(last < 2 ** 53)
  return {
    type: 'announce',
    joining: (bytes.readUInt8(1) & 1) !== 0,
    repository: (bytes.readUInt8(1) & 2) !== 0,
    metRepository: (bytes.readUInt8(1) & 4) !== 0,
    serves: (bytes.readUInt8(1) & 8) !== 0,
    epoch: bytes.readUInt8(2),
    sender: readSenderTag(bytes, 3),
    epochKey: Buffer.from(bytes.subarray(9, 41)),
    last,
    port: bytes.readUInt16BE(49),
  }
}

function writeRanges(ranges: readonly SequenceRange[]): Buffer {
  const body = Buffer.alloc(1 + ranges.length * rangeLength)
  ranges.forEach((range, i) => {
    writeSequence(range.first, body, 1 + i * rangeLength)
    body.writeUInt16BE(range.length, 9 + i * rangeLength)
  })
  return body
}

function readRanges(bytes: Buffer): SequenceRange[] {
  const count = (bytes.length - 1) / rangeLength
  expect(Number.isInteger(count) && count >= 1 && count <= maxRanges)
  return Array.from({ length: count }, (_, i) => ({
    first: readSequence(bytes, 1 + i * rangeLength),
    length: bytes.readUInt16BE(9 + i * rangeLength),
  }))
}

function writeData(message: ControlMessage & { type: 'data' }): Buffer {
  const { sequence, tail, body } = message
  const bytes = Buffer.allocUnsafe(dataHeaderLength + body.length)
  bytes[1] = message.ackRequested ? 1 : 0
  writeSequence(sequence, bytes, 2)
  writeSequence(tail, bytes, 10)
  body.copy(bytes, dataHeaderLength)
  return bytes
}

function readData(bytes: Buffer): ControlMessage {
  expect(bytes.length > dataHeaderLength)
  const sequence = readSequence(bytes, 2)
  const tail = readSequence(bytes, 10)
  expect(sequence > 0 && sequence < 2 ** 53 && tail <= sequence)
  return {
    type: 'data',
    ackRequested: bytes[1] === 1,
    sequence,
    tail,
    body: bytes.subarray(dataHeaderLength),
  }
}

function oneSequence(sequence: number): Buffer {
  const body = Buffer.allocUnsafe(9)
  writeSequence(sequence, body, 1)
  return body
}
