/**
 * What is read of `struct tcp_info` (linux/tcp.h), in the byte order of the machine. The kernel
 * only ever adds to its end and tells how much there is, so that a field is there or not by the
 * length:
 *
 *      0      5        6             24              120             128              144
 *      +------+--------+-------------+---------------+---------------+----------------+---------+
 *      | state| options| scales 4|4  | unacked  u32  | bytes_acked u64| bytes_received | notsent |
 *      +------+--------+-------------+---------------+---------------+----------------+---------+
 */
export interface TcpInfo {
  /** 1 is ESTABLISHED (net/tcp_states.h). */
  readonly state: number
  readonly timestamps: boolean
  readonly sack: boolean
  /** Undefined where the windows are not scaled (RFC 7323). */
  readonly scale: WindowScale | undefined
  /** Bytes, since the socket was made. */
  readonly acked: number
  readonly received: number
  /** Bytes that were written and have not been sent once. */
  readonly unsent: number
}

/** By how many bits the windows of a connection are shifted, each way. */
export interface WindowScale {
  readonly send: number
  readonly receive: number
}

export const tcpInfoLength = 148
const option = { timestamps: 1, sack: 2, scale: 4 } as const

/** Undefined when the kernel is older than what is needed of it (4.6). */
export function readTcpInfo(bytes: Buffer): TcpInfo | undefined {
  if (bytes.length < tcpInfoLength) return undefined
  const options = bytes.readUInt8(5)
  const scales = bytes.readUInt8(6)
  const scaled = (options & option.scale) !== 0
  return {
    state: bytes.readUInt8(0),
    timestamps: (options & option.timestamps) !== 0,
    sack: (options & option.sack) !== 0,
    scale: scaled ? { send: scales & 0x0f, receive: scales >> 4 } : undefined,
    acked: Number(bytes.readBigUInt64LE(120)),
    received: Number(bytes.readBigUInt64LE(128)),
    unsent: bytes.readUInt32LE(144),
  }
}
