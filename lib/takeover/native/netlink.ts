import { getSystemErrorName } from 'node:util'
import type { Libc } from './libc.ts'

/**
 * Messages of netlink (linux/netlink.h), in the byte order of the machine; several of them may be in
 * one datagram, each at a multiple of four bytes, and so are the attributes at the end of a message:
 *
 *      0        4      6       8      12      16
 *      +--------+------+-------+------+-------+------+    +-----------+------+-------+
 *      | length | type | flags | 1    | 0     | body |    | length u16| type | value |
 *      +--------+------+-------+------+-------+------+    +-----------+------+-------+
 *
 * An answer has the type 2, and begins with a negative errno, or 0.
 */
export interface NetlinkMessage {
  readonly type: number
  readonly body: Buffer
}

/** REQUEST and ACK. */
export const askFlags = 0x005

const header = 16
const attributeHeader = 4
const answerType = 2
/** Above them are flags, of an attribute. */
const typeBits = 0x3fff
const family = 16
const kind = { raw: 3, closeOnExec: 0o2000000 } as const
const kernel: Buffer = Buffer.from([family, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
/** Datagrams that may lie before the answer. */
const mostBefore = 1_000

export function openNetlink(libc: Libc, protocol: number): number {
  return libc.socket(family, kind.raw | kind.closeOnExec, protocol)
}

export function netlinkMessage(type: number, flags: number, body: Buffer): Buffer {
  const bytes = Buffer.alloc(header)
  bytes.writeUInt32LE(header + body.length, 0)
  bytes.writeUInt16LE(type, 4)
  bytes.writeUInt16LE(flags, 6)
  bytes.writeUInt32LE(1, 8)
  return Buffer.concat([bytes, body])
}

export function netlinkAttribute(type: number, value: Buffer): Buffer {
  const bytes = Buffer.alloc(aligned(attributeHeader + value.length))
  bytes.writeUInt16LE(attributeHeader + value.length, 0)
  bytes.writeUInt16LE(type, 2)
  value.copy(bytes, attributeHeader)
  return bytes
}

/**
 * The kernel has done it, or not, when it has taken the message: the answer is there. Throws an error
 * with the `code` of its errno; `subsystem` is for its text.
 */
export function askKernel(
  libc: Libc,
  fd: number,
  message: Buffer,
  subsystem: string,
): void {
  libc.sendTo(fd, message, kernel)
  const room = Buffer.alloc(8_192)
  for (let tries = 0; tries < mostBefore; tries++) {
    const datagram = libc.receive(fd, room)
    if (datagram === undefined) break
    for (const { type, body } of netlinkMessages(datagram)) {
      if (type !== answerType || body.length < 4) continue
      const errno = body.readInt32LE(0)
      if (errno === 0) return
      const code = getSystemErrorName(errno)
      throw Object.assign(new Error(`${subsystem}: ${code}`), { code, errno: -errno })
    }
  }
  throw new Error(`${subsystem}: no answer`)
}

/** As far as they are whole. */
export function* netlinkMessages(datagram: Buffer): Generator<NetlinkMessage> {
  for (let at = 0; at + header <= datagram.length; ) {
    const length = datagram.readUInt32LE(at)
    if (length < header || at + length > datagram.length) return
    const body = datagram.subarray(at + header, at + length)
    yield { type: datagram.readUInt16LE(at + 4), body }
    at += aligned(length)
  }
}

/** The value of an attribute that stands behind the first `start` bytes of a body. */
export function attributeOf(
  body: Buffer,
  start: number,
  type: number,
): Buffer | undefined {
  for (let at = start; at + attributeHeader <= body.length; ) {
    const length = body.readUInt16LE(at)
    if (length < attributeHeader || at + length > body.length) return undefined
    const isIt = (body.readUInt16LE(at + 2) & typeBits) === type
    if (isIt) return body.subarray(at + attributeHeader, at + length)
    at += aligned(length)
  }
  return undefined
}

function aligned(length: number): number {
  return (length + 3) & ~3
}
