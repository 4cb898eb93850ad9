import { Socket } from 'node:net'
import type { Libc } from './libc.ts'
import type { NativeSocket, RestorePoint, TcpParameters } from './native-socket.ts'
import {
  allButTo,
  attachFilter,
  detachFilter,
  nothingPasses,
} from './packets/packet-filter.ts'
import { sequenceAt } from './sequence.ts'
import { socketAddress } from './socket-address.ts'
import { readTcpInfo, type TcpInfo } from './tcp-info.ts'

/** Levels and options of linux/tcp.h, linux/in.h and asm-generic/socket.h. */
const level = { ip: 0, socket: 1, tcp: 6 } as const
const reuseAddress = 2
const bindToDevice = 25
const transparent = 19
const option = {
  maxSegment: 2,
  info: 11,
  repair: 19,
  repairQueue: 20,
  queueSequence: 21,
  repairOptions: 22,
  timestamp: 24,
  repairWindow: 29,
} as const
const repair = { on: 1, off: 0, offWithoutProbe: -1 } as const
const queue = { none: 0, receive: 1, send: 2 } as const
/** Codes of `struct tcp_repair_opt`: the kinds of options of a TCP header. */
const repairOption = { maxSegment: 2, scale: 3, sack: 4, timestamps: 8 } as const
/** SIOCINQ and SIOCOUTQ: bytes not read yet, and bytes not acknowledged yet. */
const unread = 0x541b
const unacknowledged = 0x5411
const stream = { inet: 2, kind: 1, nonBlocking: 0o4000, closeOnExec: 0o2000000 } as const
const repairWindowLength = 20
/** Two readings of a socket that works meanwhile differ; twice in a row is rare already. */
const mostReadings = 100

/** Through TCP_REPAIR and TCP_INFO. */
export class LinuxSocket implements NativeSocket {
  readonly #libc: Libc

  constructor(libc: Libc) {
    this.#libc = libc
  }

  acked(fd: number): number {
    return this.#info(fd).acked
  }

  written(fd: number): number {
    return this.#steady(
      () => this.#info(fd).acked,
      acked => acked + this.#libc.ioctl(fd, unacknowledged),
    )
  }

  sent(fd: number): number {
    return this.#steady(
      () => {
        const { acked, unsent } = this.#info(fd)
        return acked - unsent
      },
      sent => sent + this.#libc.ioctl(fd, unacknowledged),
    )
  }

  received(fd: number): number {
    return this.#info(fd).received
  }

  read(fd: number): number {
    return this.#steady(
      () => this.#info(fd).received,
      received => received - this.#libc.ioctl(fd, unread),
    )
  }

  parameters(fd: number): TcpParameters {
    this.#set(fd, option.repair, repair.on)
    try {
      // Repair mode stops neither what comes in nor its acknowledgment.
      this.#set(fd, option.repairQueue, queue.receive)
      const receiveStart = this.#steady(
        () => this.#get(fd, option.queueSequence),
        sequence => sequenceAt(sequence, -this.#info(fd).received),
      )
      this.#set(fd, option.repairQueue, queue.send)
      const written = this.written(fd)
      const sendStart = sequenceAt(this.#get(fd, option.queueSequence), -written)
      const { timestamps, sack, scale } = this.#info(fd)
      return {
        sendStart,
        receiveStart,
        // In repair mode this is what the peer can take, not what is used now.
        mss: this.#get(fd, option.maxSegment),
        sack,
        scale,
        timestamp: timestamps ? this.#get(fd, option.timestamp) : undefined,
      }
    } finally {
      this.#set(fd, option.repair, repair.offWithoutProbe)
      this.#allowReuse(fd)
    }
  }

  restore(point: RestorePoint): number {
    const { inet, kind, nonBlocking, closeOnExec } = stream
    const fd = this.#libc.socket(inet, kind | nonBlocking | closeOnExec, 0)
    try {
      // SO_REUSEADDR is not set: it would take the place of repair mode's "bind in any case".
      this.#set(fd, option.repair, repair.on)
      // The address need not be one of this host yet.
      this.#libc.setOption(fd, level.ip, transparent, int(1))
      this.#set(fd, option.repairQueue, queue.receive)
      this.#set(fd, option.queueSequence, point.receive)
      this.#set(fd, option.repairQueue, queue.send)
      this.#set(fd, option.queueSequence, point.send)
      this.#libc.bind(fd, socketAddress(point.local))
      this.#libc.connect(fd, socketAddress(point.remote))
      this.#libc.setOption(fd, level.tcp, option.repairOptions, repairOptions(point.tcp))
      const { timestamp } = point
      if (timestamp !== undefined) this.#set(fd, option.timestamp, timestamp)
      this.#setWindow(fd, point)
      return fd
    } catch (error) {
      this.#libc.close(fd)
      throw error
    }
  }

  /**
   * Two sockets are of one connection to the kernel unless they are bound to different devices,
   * or one of them to none (`inet_match`); of two that a segment fits the newer one gets it.
   */
  giveWay(fd: number, device: string): void {
    this.#libc.setOption(fd, level.socket, bindToDevice, Buffer.from(`${device}\0`))
  }

  release(fd: number): void {
    this.#set(fd, option.repair, repair.off)
    this.#allowReuse(fd)
  }

  stream(fd: number): Socket {
    return new Socket({ fd, readable: true, writable: true })
  }

  silence(fd: number): void {
    this.#set(fd, option.repair, repair.on)
  }

  /** A filter, which sockets of TCP ask first of all (`tcp_v4_rcv`). Needs no privilege. */
  block(fd: number, address?: string): void {
    const filter = address === undefined ? nothingPasses : allButTo(address)
    attachFilter(this.#libc, fd, filter)
  }

  unblock(fd: number): void {
    detachFilter(this.#libc, fd)
  }

  close(fd: number): void {
    this.#libc.close(fd)
  }

  /** The end of repair mode clears it, and then no listener could be bound beside the socket. */
  #allowReuse(fd: number): void {
    this.#libc.setOption(fd, level.socket, reuseAddress, int(1))
  }

  /** `struct tcp_repair_window`: wl1, wnd, max_window, rcv_wnd, rcv_wup. */
  #setWindow(fd: number, { receive, window, deaf }: RestorePoint): void {
    const { tcp } = level
    const value = this.#libc.getOption(fd, tcp, option.repairWindow, repairWindowLength)
    value.writeUInt32LE(receive, 0)
    value.writeUInt32LE(window, 4)
    value.writeUInt32LE(window, 8)
    if (deaf) value.writeUInt32LE(0, 12)
    value.writeUInt32LE(receive, 16)
    this.#libc.setOption(fd, tcp, option.repairWindow, value)
  }

  /**
   * `read` of a value that was the same before and after: the kernel goes on between two calls,
   * and what one of them counts the other may count too, or neither.
   */
  #steady(first: () => number, read: (value: number) => number): number {
    let before = first()
    for (let tries = 0; tries < mostReadings; tries++) {
      const value = read(before)
      const after = first()
      if (after === before) return value
      before = after
    }
    throw Object.assign(new Error('a socket that does not stand still'), {
      code: 'EBUSY',
    })
  }

  #info(fd: number): TcpInfo {
    const info = readTcpInfo(this.#libc.getOption(fd, level.tcp, option.info, 256))
    if (info !== undefined) return info
    throw Object.assign(new Error('this kernel tells too little'), { code: 'ENOTSUP' })
  }

  #get(fd: number, name: number): number {
    return this.#libc.getOption(fd, level.tcp, name, 4).readUInt32LE()
  }

  #set(fd: number, name: number, value: number): void {
    this.#libc.setOption(fd, level.tcp, name, int(value))
  }
}

function repairOptions({ mss, sack, scale, timestamp }: TcpParameters): Buffer {
  const options: [code: number, value: number][] = []
  if (sack) options.push([repairOption.sack, 0])
  if (scale !== undefined) {
    options.push([repairOption.scale, scale.send + scale.receive * 0x10000])
  }
  if (timestamp !== undefined) options.push([repairOption.timestamps, 0])
  options.push([repairOption.maxSegment, mss])
  const bytes = Buffer.alloc(8 * options.length)
  for (const [index, [code, value]] of options.entries()) {
    bytes.writeUInt32LE(code, 8 * index)
    bytes.writeUInt32LE(value, 8 * index + 4)
  }
  return bytes
}

function int(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32LE(value | 0)
  return bytes
}
