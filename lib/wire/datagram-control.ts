import { HandfastError } from '../errors.ts'
import {
  readSenderTag,
  readSequence,
  type SenderTag,
  senderTagLength,
  writeSenderTag,
  writeSequence,
} from './datagram.ts'

/**
 * The bodies of the control sequence space: administration, sent once and never repaired
 * (row A18). LEAVE has an empty body.
 *
 *      HEARTBEAT  0           8          16         18       19            20
 *                 +-----------+----------+----------+--------+-------------+
 *                 | last data | tail     | loop lag | flags  | refutations |
 *                 | u64       | u64      | u16 ms   | u8     | u8          |
 *                 +-----------+----------+----------+--------+-------------+
 *                 flags: 1 ready, 2 healthy, 4 acknowledge up to `last data`
 *
 *      NACK       0        6         7                  15        17
 *                 +--------+---------+------------------+---------+
 *                 | target | ranges  | first u64        | u16 >=1 |  ... `ranges` times
 *                 | tag    | u8 <=64 |                  | length  |
 *                 +--------+---------+------------------+---------+
 *
 *      STATUS     0        6              14         22         26       30       32
 *                 +--------+--------------+----------+----------+--------+--------+
 *                 | target | contiguous   | highest  | window   | echo   | held   |
 *                 | tag    | u64          | u64      | u32      | u32 ms | u16 ms |
 *                 +--------+--------------+----------+----------+--------+--------+
 *                 everything up to `contiguous` is in the table of the one that says so
 *
 *      GONE       0        6           14      SUSPECT, VOUCH  0         6        8
 *                 +--------+-----------+                       +---------+--------+
 *                 | target | tail u64  |                       | subject | u16    |
 *                 +--------+-----------+                       +---------+--------+
 *                 VOUCH: milliseconds since the subject was heard; SUSPECT: its refutations
 */
export const heartbeatLength = 20
export const nackHeaderLength: number = senderTagLength + 1
export const rangeLength = 10
export const statusLength = 32
export const goneLength = 14
export const accusationLength = 8
export const maxRanges = 64

const readyFlag = 1
const healthyFlag = 2
const flushFlag = 4

export interface Heartbeat {
  /** Last sequence number of data sent; 0 before the first. */
  readonly last: number
  readonly tail: number
  /** How late the sender's event loop runs, milliseconds. */
  readonly lag: number
  readonly ready: boolean
  /** False: the sender has trouble of its own and its silence about others means nothing. */
  readonly healthy: boolean
  /** Whoever has everything up to `last` is asked to say so. */
  readonly flush: boolean
  /** Goes up each time the sender finds itself accused. */
  readonly refutations: number
}

/** Sequence numbers first .. first + length - 1. */
export interface SequenceRange {
  readonly first: number
  readonly length: number
}

export interface Nack {
  readonly target: SenderTag
  readonly ranges: readonly SequenceRange[]
}

export interface Status {
  readonly target: SenderTag
  readonly contiguous: number
  readonly highest: number
  /** Datagrams that the receiver can still take beyond `contiguous`. */
  readonly window: number
  /** `sent at` of the newest datagram, and how long ago it came. */
  readonly echo: number
  readonly held: number
}

export interface Gone {
  readonly target: SenderTag
  readonly tail: number
}

export interface Accusation {
  readonly subject: SenderTag
  readonly number: number
}

export function writeHeartbeat(heartbeat: Heartbeat): Buffer {
  const body = Buffer.allocUnsafe(heartbeatLength)
  writeSequence(heartbeat.last, body, 0)
  writeSequence(heartbeat.tail, body, 8)
  body.writeUInt16BE(clamp(heartbeat.lag), 16)
  body[18] =
    (heartbeat.ready ? readyFlag : 0) |
    (heartbeat.healthy ? healthyFlag : 0) |
    (heartbeat.flush ? flushFlag : 0)
  body[19] = heartbeat.refutations
  return body
}

export function readHeartbeat(body: Buffer): Heartbeat {
  expectLength(body, heartbeatLength)
  const flags = body.readUInt8(18)
  return {
    last: readSequence(body, 0),
    tail: readSequence(body, 8),
    lag: body.readUInt16BE(16),
    ready: (flags & readyFlag) !== 0,
    healthy: (flags & healthyFlag) !== 0,
    flush: (flags & flushFlag) !== 0,
    refutations: body.readUInt8(19),
  }
}

export function writeNack(nack: Nack): Buffer {
  const body = Buffer.allocUnsafe(nackHeaderLength + nack.ranges.length * rangeLength)
  writeSenderTag(nack.target, body, 0)
  body[senderTagLength] = nack.ranges.length
  nack.ranges.forEach((range, i) => {
    writeSequence(range.first, body, nackHeaderLength + i * rangeLength)
    body.writeUInt16BE(range.length, nackHeaderLength + i * rangeLength + 8)
  })
  return body
}

export function readNack(body: Buffer): Nack {
  const count = body[senderTagLength] ?? 0
  if (count < 1 || count > maxRanges) throw malformed(`${count} ranges`)
  expectLength(body, nackHeaderLength + count * rangeLength)
  const ranges: SequenceRange[] = []
  for (let at = nackHeaderLength; at < body.length; at += rangeLength) {
    const length = body.readUInt16BE(at + 8)
    if (length === 0) throw malformed('empty range')
    ranges.push({ first: readSequence(body, at), length })
  }
  return { target: readSenderTag(body, 0), ranges }
}

export function writeStatus(status: Status): Buffer {
  const body = Buffer.allocUnsafe(statusLength)
  writeSenderTag(status.target, body, 0)
  writeSequence(status.contiguous, body, 6)
  writeSequence(status.highest, body, 14)
  body.writeUInt32BE(status.window, 22)
  body.writeUInt32BE(status.echo, 26)
  body.writeUInt16BE(clamp(status.held), 30)
  return body
}

export function readStatus(body: Buffer): Status {
  expectLength(body, statusLength)
  return {
    target: readSenderTag(body, 0),
    contiguous: readSequence(body, 6),
    highest: readSequence(body, 14),
    window: body.readUInt32BE(22),
    echo: body.readUInt32BE(26),
    held: body.readUInt16BE(30),
  }
}

export function writeGone(gone: Gone): Buffer {
  const body = Buffer.allocUnsafe(goneLength)
  writeSenderTag(gone.target, body, 0)
  writeSequence(gone.tail, body, 6)
  return body
}

export function readGone(body: Buffer): Gone {
  expectLength(body, goneLength)
  return { target: readSenderTag(body, 0), tail: readSequence(body, 6) }
}

export function writeAccusation(accusation: Accusation): Buffer {
  const body = Buffer.allocUnsafe(accusationLength)
  writeSenderTag(accusation.subject, body, 0)
  body.writeUInt16BE(clamp(accusation.number), senderTagLength)
  return body
}

export function readAccusation(body: Buffer): Accusation {
  expectLength(body, accusationLength)
  return {
    subject: readSenderTag(body, 0),
    number: body.readUInt16BE(senderTagLength),
  }
}

function clamp(value: number): number {
  return Math.max(0, Math.min(0xffff, Math.round(value)))
}

function expectLength(body: Buffer, length: number): void {
  if (body.length !== length)
    throw malformed(`${body.length} bytes where ${length} belong`)
}

function malformed(what: string): HandfastError {
  return new HandfastError('ERR_HANDFAST_PROTOCOL', `malformed control datagram: ${what}`)
}
