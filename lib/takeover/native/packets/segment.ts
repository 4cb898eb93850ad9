import type { Endpoint } from '../native-socket.ts'
import { addressBytes } from '../socket-address.ts'

/**
 * A packet of IPv4 (RFC 791 3.1) that carries a segment of TCP (RFC 9293 3.1), big-endian:
 *
 *      0     1    2          4    6            8    9      10       12       16
 *      +-----+----+----------+----+------------+----+------+--------+--------+-------------+--------+
 *      | 4|5 | 0  | length   | id | flags, at  |TTL | 6    | sum    | source | destination | options|
 *      +-----+----+----------+----+------------+----+------+--------+--------+-------------+--------+
 *      0             2               4          8                12   13     14       16    18
 *      +-------------+---------------+----------+----------------+----+------+--------+-----+-------+---------+
 *      | source port | dest. port    | sequence | acknowledgment | 5|0| flags| window | sum | urgent| options |
 *      +-------------+---------------+----------+----------------+----+------+--------+-----+-------+---------+
 */
export interface Segment {
  readonly source: Endpoint
  readonly destination: Endpoint
  readonly sequence: number
  readonly acknowledgment: number
  readonly flags: number
  /** As it stands in the header, not scaled. */
  readonly window: number
  readonly timestamps: Timestamps | undefined
  /** RFC 2018: what has come beyond a gap; or what has come twice (RFC 2883). */
  readonly sack: readonly SackBlock[]
  /** How many bytes of the stream it carries. */
  readonly length: number
}

/** RFC 7323 3.2. */
export interface Timestamps {
  readonly value: number
  readonly echo: number
}

/** Sequence numbers; `end` is of the byte behind it. */
export interface SackBlock {
  readonly start: number
  readonly end: number
}

export const flag = { fin: 1, syn: 2, rst: 4, psh: 8, ack: 16 } as const

const version = 4
const tcp = 6
const shortest = 20
const kind = { end: 0, nothing: 1, sack: 5, timestamps: 8 } as const
const timestampsLength = 10
/** More don't fit. */
const mostBlocks = 4

/**
 * What a packet says, as far as it is a whole segment: anybody can have sent it. The bytes that
 * it carries may be missing, and its checksums are not looked at: of a packet that never left
 * this machine they are not made yet.
 */
export function readSegment(packet: Buffer): Segment | undefined {
  if (packet.length < 2 * shortest) return undefined
  const first = packet.readUInt8(0)
  const internet = (first & 0x0f) * 4
  if (first >> 4 !== version || internet < shortest) return undefined
  if (packet.readUInt8(9) !== tcp) return undefined
  // A fragment: it has more behind it, or something before it.
  if ((packet.readUInt16BE(6) & 0x3fff) !== 0) return undefined
  const whole = packet.readUInt16BE(2)
  if (packet.length < internet + shortest) return undefined
  const header = (packet.readUInt8(internet + 12) >> 4) * 4
  const payload = internet + header
  if (header < shortest || packet.length < payload || whole < payload) return undefined
  const options = readOptions(packet.subarray(internet + shortest, payload))
  if (options === undefined) return undefined
  const segment = packet.subarray(internet, payload)
  return {
    source: { address: addressOf(packet, 12), port: segment.readUInt16BE(0) },
    destination: { address: addressOf(packet, 16), port: segment.readUInt16BE(2) },
    sequence: segment.readUInt32BE(4),
    acknowledgment: segment.readUInt32BE(8),
    flags: segment.readUInt8(13),
    window: segment.readUInt16BE(14),
    ...options,
    length: whole - payload,
  }
}

interface Options {
  readonly timestamps: Timestamps | undefined
  readonly sack: readonly SackBlock[]
}

function readOptions(bytes: Buffer): Options | undefined {
  let timestamps: Timestamps | undefined
  let sack: readonly SackBlock[] = []
  for (let at = 0; at < bytes.length; ) {
    const which = bytes.readUInt8(at)
    if (which === kind.end) break
    if (which === kind.nothing) {
      at += 1
      continue
    }
    const length = bytes[at + 1] ?? 0
    if (length < 2 || at + length > bytes.length) return undefined
    const value = bytes.subarray(at + 2, at + length)
    if (which === kind.timestamps) {
      if (length !== timestampsLength) return undefined
      timestamps = { value: value.readUInt32BE(0), echo: value.readUInt32BE(4) }
    } else if (which === kind.sack) {
      const blocks = value.length / 8
      if (!Number.isInteger(blocks) || blocks > mostBlocks) return undefined
      sack = Array.from({ length: blocks }, (_, index) => ({
        start: value.readUInt32BE(8 * index),
        end: value.readUInt32BE(8 * index + 4),
      }))
    }
    at += length
  }
  return { timestamps, sack }
}

/** What is sent without a socket of its own: never more than a byte of the stream. */
export interface BareSegment
  extends Pick<
    Segment,
    | 'source'
    | 'destination'
    | 'sequence'
    | 'acknowledgment'
    | 'flags'
    | 'window'
    | 'timestamps'
  > {
  readonly data: Buffer
}

/** The packet, with its checksums. */
export function segmentPacket(segment: BareSegment): Buffer {
  const { source, destination, timestamps, data } = segment
  const header = shortest + (timestamps === undefined ? 0 : timestampsLength + 2)
  const bytes = Buffer.alloc(header + data.length)
  bytes.writeUInt16BE(source.port, 0)
  bytes.writeUInt16BE(destination.port, 2)
  bytes.writeUInt32BE(segment.sequence, 4)
  bytes.writeUInt32BE(segment.acknowledgment, 8)
  bytes.writeUInt8((header / 4) << 4, 12)
  bytes.writeUInt8(segment.flags, 13)
  bytes.writeUInt16BE(segment.window, 14)
  if (timestamps !== undefined) {
    const { nothing, timestamps: which } = kind
    bytes.set([nothing, nothing, which, timestampsLength], shortest)
    bytes.writeUInt32BE(timestamps.value, shortest + 4)
    bytes.writeUInt32BE(timestamps.echo, shortest + 8)
  }
  data.copy(bytes, header)
  const [from, to] = [addressBytes(source.address), addressBytes(destination.address)]
  const length = Buffer.alloc(4)
  length.writeUInt16BE(tcp, 0)
  length.writeUInt16BE(bytes.length, 2)
  bytes.writeUInt16BE(checksum(Buffer.concat([from, to, length, bytes])), 16)

  const internet = Buffer.alloc(shortest)
  internet.writeUInt8((version << 4) | (shortest / 4), 0)
  internet.writeUInt16BE(shortest + bytes.length, 2)
  internet.writeUInt8(hops, 8)
  internet.writeUInt8(tcp, 9)
  from.copy(internet, 12)
  to.copy(internet, 16)
  internet.writeUInt16BE(checksum(internet), 10)
  return Buffer.concat([internet, bytes])
}

const hops = 64

/** RFC 1071. */
function checksum(bytes: Buffer): number {
  let sum = 0
  for (let at = 0; at + 1 < bytes.length; at += 2) sum += bytes.readUInt16BE(at)
  if (bytes.length % 2 === 1) sum += bytes.readUInt8(bytes.length - 1) << 8
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000)
  return ~sum & 0xffff
}

function addressOf(packet: Buffer, at: number): string {
  return packet.subarray(at, at + 4).join('.')
}
