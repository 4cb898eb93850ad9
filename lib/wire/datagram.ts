/**
 * The outside of a datagram, the same for every type. All numbers are big-endian.
 *
 *      0       1            2       3       4          8           10         12            16
 *      +-------+------------+-------+-------+----------+-----------+----------+-------------+
 *      | magic | version: 4 | flags | epoch | farm tag | sender id | reserved | incarnation |
 *      | u8    | type: 4    | u8    | u8    | u32      | u16       | u16 = 0  | u32         |
 *      +-------+------------+-------+-------+----------+-----------+----------+-------------+
 *      16                24           28        32                             n - 16       n
 *      +-----------------+------------+---------+---- ... --------------------+------------+
 *      | sequence number | tail delta | sent at | body, encrypted             | tag        |
 *      | u64 < 2^53      | u32        | u32 ms  | see datagram-batch.ts,      | AES-256-GCM|
 *      |                 |            |         | datagram-control.ts         | 16 B       |
 *      +-----------------+------------+---------+---- ... --------------------+------------+
 *
 * All 32 bytes of the header are authenticated. A repair is the same bytes again: nothing in
 * here says "this is a repair", because a second header under one nonce would break GCM.
 *
 * sender id and incarnation together are the *sender tag*: 48 bits, drawn at random at each
 * start, so that no two starts of any member share a sequence space or a key.
 * tail delta: sequence number minus the lowest one that the sender can still repair.
 * sent at: the sender's monotonic clock, low 32 bits, which a STATUS echoes to measure time.
 */
export const headerLength = 32
export const tagLength = 16
/** What a datagram is longer than its body. */
export const datagramOverhead: number = headerLength + tagLength
/** Fits one Ethernet frame through a tunnel or two; the MTU of some clouds is 1400. */
export const defaultDatagramLength = 1200
/** Jumbo frames; also the longest that is read. */
export const maxDatagramLength = 8_900
export const magic = 0xfa
export const wireVersion = 1

/** Types 1 and 2 are in the data sequence space, all others in the control space. */
export const datagramTypes = {
  data: 1,
  fragment: 2,
  heartbeat: 3,
  nack: 4,
  status: 5,
  gone: 6,
  suspect: 7,
  vouch: 8,
  leave: 9,
} as const

export type DatagramType = (typeof datagramTypes)[keyof typeof datagramTypes]

/** Every receiver is asked to acknowledge this datagram, ackers or not. */
export const ackRequestedFlag = 1

/** sender id * 2^32 + incarnation. */
export type SenderTag = number & { readonly __brand: 'SenderTag' }
export const senderTagLength = 6

export interface DatagramHeader {
  readonly type: DatagramType
  readonly flags: number
  readonly epoch: number
  readonly sender: SenderTag
  readonly sequence: number
  /** Lowest sequence number of this sender that can still be repaired. */
  readonly tail: number
  readonly sentAt: number
}

export function senderTag(id: number, incarnation: number): SenderTag {
  return (id * 2 ** 32 + incarnation) as SenderTag
}

export function incarnationOf(sender: SenderTag): number {
  return sender % 2 ** 32
}

/** Data datagrams are numbered without gaps and repaired; the others are sent once. */
export function isDataType(type: DatagramType): boolean {
  return type <= datagramTypes.fragment
}

export function writeHeader(
  header: DatagramHeader,
  farmTag: number,
  target: Buffer,
): number {
  target[0] = magic
  target[1] = (wireVersion << 4) | header.type
  target[2] = header.flags
  target[3] = header.epoch
  target.writeUInt32BE(farmTag, 4)
  target.writeUInt16BE(Math.floor(header.sender / 2 ** 32), 8)
  target.writeUInt16BE(0, 10)
  target.writeUInt32BE(incarnationOf(header.sender), 12)
  writeSequence(header.sequence, target, 16)
  target.writeUInt32BE(Math.min(header.sequence - header.tail, 0xffff_ffff), 24)
  target.writeUInt32BE(header.sentAt, 28)
  return headerLength
}

/**
 * The checks that cost next to nothing, for a datagram from anyone: undefined when it is none
 * of this farm's. A header that is returned is not yet authentic.
 */
export function readHeader(source: Buffer, farmTag: number): DatagramHeader | undefined {
  if (source.length < datagramOverhead || source.length > maxDatagramLength)
    return undefined
  if (source[0] !== magic) return undefined
  const versionAndType = source.readUInt8(1)
  const type = versionAndType & 0x0f
  if (versionAndType >> 4 !== wireVersion || type < 1 || type > datagramTypes.leave)
    return undefined
  if (source.readUInt32BE(4) !== farmTag) return undefined
  const flags = source.readUInt8(2)
  if (flags > ackRequestedFlag || source.readUInt16BE(10) !== 0) return undefined
  const high = source.readUInt32BE(16)
  if (high > 0x1f_ffff) return undefined
  const sequence = high * 2 ** 32 + source.readUInt32BE(20)
  const tailDelta = source.readUInt32BE(24)
  if (sequence === 0 || tailDelta > sequence) return undefined
  return {
    type: type as DatagramType,
    flags,
    epoch: source.readUInt8(3),
    sender: senderTag(source.readUInt16BE(8), source.readUInt32BE(12)),
    sequence,
    tail: sequence - tailDelta,
    sentAt: source.readUInt32BE(28),
  }
}

/** 64 bits on the wire, 53 in use: at a million datagrams a second that is 285 years. */
export function writeSequence(sequence: number, target: Buffer, offset: number): void {
  target.writeUInt32BE(Math.floor(sequence / 2 ** 32), offset)
  target.writeUInt32BE(sequence % 2 ** 32, offset + 4)
}

/** May answer more than 2^53 for bytes that no member wrote; compare, do not index. */
export function readSequence(source: Buffer, offset: number): number {
  return source.readUInt32BE(offset) * 2 ** 32 + source.readUInt32BE(offset + 4)
}

export function writeSenderTag(sender: SenderTag, target: Buffer, offset: number): void {
  target.writeUIntBE(sender, offset, senderTagLength)
}

export function readSenderTag(source: Buffer, offset: number): SenderTag {
  return source.readUIntBE(offset, senderTagLength) as SenderTag
}
