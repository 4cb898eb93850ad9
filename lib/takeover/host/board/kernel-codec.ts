import { HandfastError } from '../../../errors.ts'
import type { TcpParameters } from '../../native/native-socket.ts'

/**
 * What another host's kernel has to be told of a connection, big-endian; `kernel` of a checkpoint:
 *
 *      0             4                8        10      11       12          13               17
 *      +-------------+----------------+--------+-------+--------+-----------+----------------+---------+
 *      | send start  | receive start  | mss    | flags | scales           | timestamp u32  | read at |
 *      | u32         | u32            | u16    | u8    | u8 send | u8 rec.|                | u48 ms  |
 *      +-------------+----------------+--------+-------+--------+-----------+----------------+---------+
 *
 * flags: bit 0 SACK, 1 scaled windows, 2 timestamps. `read at`: wall time of the host whose clock
 * of timestamps it is.
 */
export const kernelLength = 23
const flag = { sack: 1, scale: 2, timestamps: 4 } as const
const largestScale = 14

export interface KernelState {
  readonly tcp: TcpParameters
  readonly readAt: number
}

export function encodeKernel({ tcp, readAt }: KernelState): Buffer {
  const { sendStart, receiveStart, mss, sack, scale, timestamp } = tcp
  const bytes = Buffer.alloc(kernelLength)
  bytes.writeUInt32BE(sendStart, 0)
  bytes.writeUInt32BE(receiveStart, 4)
  bytes.writeUInt16BE(mss, 8)
  const timestamps = timestamp === undefined ? 0 : flag.timestamps
  bytes[10] = (sack ? flag.sack : 0) | (scale ? flag.scale : 0) | timestamps
  bytes[11] = scale?.send ?? 0
  bytes[12] = scale?.receive ?? 0
  bytes.writeUInt32BE(timestamp ?? 0, 13)
  bytes.writeUIntBE(Math.floor(readAt), 17, 6)
  return bytes
}

/** Throws ERR_HANDFAST_PROTOCOL for bytes that are none. */
export function decodeKernel(bytes: Buffer): KernelState {
  const flags = bytes[10] ?? 0
  const [send = 0, receive = 0] = [bytes[11], bytes[12]]
  const isForm = bytes.length === kernelLength && flags < 8
  if (!isForm || send > largestScale || receive > largestScale) {
    throw new HandfastError('ERR_HANDFAST_PROTOCOL', 'not the state of a connection')
  }
  return {
    tcp: {
      sendStart: bytes.readUInt32BE(0),
      receiveStart: bytes.readUInt32BE(4),
      mss: bytes.readUInt16BE(8),
      sack: (flags & flag.sack) !== 0,
      scale: (flags & flag.scale) === 0 ? undefined : { send, receive },
      timestamp: (flags & flag.timestamps) === 0 ? undefined : bytes.readUInt32BE(13),
    },
    readAt: bytes.readUIntBE(17, 6),
  }
}
