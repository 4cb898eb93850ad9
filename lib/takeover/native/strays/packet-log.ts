import type { Libc } from '../libc.ts'
import {
  askFlags,
  askKernel,
  attributeOf,
  netlinkAttribute,
  netlinkMessage,
  netlinkMessages,
  openNetlink,
} from '../netlink.ts'

/**
 * A message of nfnetlink_log (linux/netfilter/nfnetlink_log.h) behind its header; the group is
 * big-endian, as are the numbers in the attributes. Its type has the number 4 in the upper byte,
 * below it 0 for a packet and 1 for an order:
 *
 *      0        1   2       4
 *      +--------+---+-------+--------------------------------------------------------+
 *      | family | 0 | group | attributes: of a packet its first bytes, from IP on    |
 *      +--------+---+-------+--------------------------------------------------------+
 */
const headLength = 4
const type = { packet: 0x0400, order: 0x0401 } as const
const attribute = { command: 1, mode: 2, threshold: 5, payload: 9 } as const
const command = { bind: 1 } as const
const copyPacket = 2
const netfilter = 12
const mostGroups = 2 ** 16
/** Groups are of whoever came first; tries, until none is taken for free. */
const mostTries = 32
/** By this process or another one; without the capability it is EPERM for all. */
const taken = new Set(['EBUSY', 'EPERM'])
/** Of asm-generic/socket.h. */
const level = 1
const receiveBufferOption = 8
/** Bytes, as far as net.core.rmem_max allows. What comes while the loop is busy waits here. */
const receiveBuffer = 4 * 2 ** 20
/** Datagrams that are read before the loop turns again. */
const turn = 512

/** Packets that rules of the packet filter log to a group, which is this one's alone. */
export class PacketLog {
  readonly group: number
  readonly #libc: Libc
  readonly #fd: number
  readonly #datagram: Buffer = Buffer.alloc(16_384)
  #stop: (() => void) | undefined

  /**
   * `near`: any number; of a group that is free, from there on. `length`: how many bytes of a packet
   * are told. Throws when the kernel keeps no log, or the capability CAP_NET_ADMIN is missing.
   */
  constructor(libc: Libc, near: number, length: number) {
    this.#libc = libc
    this.#fd = openNetlink(libc, netfilter)
    try {
      const room = Buffer.alloc(4)
      room.writeUInt32LE(receiveBuffer)
      libc.setOption(this.#fd, level, receiveBufferOption, room)
      this.group = this.#bind(near, length)
    } catch (error) {
      libc.close(this.#fd)
      throw error
    }
  }

  /** `packet` is the reader's for the time of the call. */
  start(onPacket: (packet: Buffer) => void): void {
    this.#stop = this.#libc.whenReadable(this.#fd, () => this.#read(onPacket))
  }

  close(): void {
    this.#stop?.()
    this.#stop = undefined
    this.#libc.closeLater(this.#fd)
  }

  #bind(near: number, length: number): number {
    for (let tries = 0; ; tries++) {
      const group = (near + tries) % mostGroups
      try {
        askKernel(this.#libc, this.#fd, bindMessage(group, length), 'nfnetlink_log')
        return group
      } catch (error) {
        const isTaken = taken.has((error as NodeJS.ErrnoException).code ?? '')
        if (!isTaken || tries === mostTries) throw error
      }
    }
  }

  #read(onPacket: (packet: Buffer) => void): void {
    for (let count = 0; count < turn && this.#stop !== undefined; count++) {
      let datagram: Buffer | undefined
      try {
        datagram = this.#libc.receive(this.#fd, this.#datagram)
      } catch {
        // ENOBUFS: some had no room. It is told once; what comes later is another reading.
        return
      }
      if (datagram === undefined) return
      for (const packet of loggedPackets(datagram)) {
        if (this.#stop !== undefined) onPacket(packet)
      }
    }
  }
}

/** What a datagram tells of packets, as far as it is whole. */
export function* loggedPackets(datagram: Buffer): Generator<Buffer> {
  for (const { type: which, body } of netlinkMessages(datagram)) {
    if (which !== type.packet) continue
    const payload = attributeOf(body, headLength, attribute.payload)
    if (payload !== undefined) yield payload
  }
}

/** Each packet at once, not a hundred of them or those of a second. */
function bindMessage(group: number, length: number): Buffer {
  const head = Buffer.alloc(headLength)
  head.writeUInt16BE(group, 2)
  const mode = Buffer.alloc(6)
  mode.writeUInt32BE(length, 0)
  mode.writeUInt8(copyPacket, 4)
  const body = Buffer.concat([
    head,
    netlinkAttribute(attribute.command, Buffer.from([command.bind])),
    netlinkAttribute(attribute.mode, mode),
    netlinkAttribute(attribute.threshold, Buffer.from([0, 0, 0, 1])),
  ])
  return netlinkMessage(type.order, askFlags, body)
}
