import { networkInterfaces } from 'node:os'
import { HandfastError } from '../../../errors.ts'
import type { Libc } from '../libc.ts'
import type { Endpoint } from '../native-socket.ts'
import { addressProbe, announcements, arpProtocol, isOfAnother } from './announcement.ts'
import { attachFilter, type FilterInstruction } from './packet-filter.ts'
import type { AddressQuestion, PacketPort, PacketPorts } from './packet-port.ts'
import { type BareSegment, readSegment, type Segment } from './segment.ts'
import { headers, mostPorts, tcpFrom, tcpTo } from './segment-filter.ts'
import { attempt, SegmentSender } from './segment-sender.ts'

/** Of linux/socket.h, linux/if_ether.h and asm-generic/socket.h. */
const packetFamily = 17
const kind = { datagram: 2, raw: 3, closeOnExec: 0o2000000 } as const
const internetProtocol = 0x0800
const level = 1
const option = { receiveBuffer: 8 } as const
/** Bytes, as far as net.core.rmem_max allows. What comes while the loop is busy waits here. */
const receiveBuffer = 8 * 2 ** 20
/** Packets that are read before the loop turns again. */
const turn = 512

export class LinuxPackets implements PacketPorts {
  readonly #libc: Libc

  constructor(libc: Libc) {
    this.#libc = libc
  }

  open(name: string, address: string): PacketPort {
    return new LinuxPacketPort(this.#libc, name, address)
  }

  ask(name: string, address: string, onElsewhere: () => void): AddressQuestion {
    const libc = this.#libc
    const mac = macOf(name)
    const everybody = linkAddress(arpProtocol, libc.interfaceIndex(name))
    const probe = addressProbe(mac, address)
    const fd = libc.socket(packetFamily, kind.datagram | kind.closeOnExec, 0)
    let stop = () => {}
    let isClosed = false
    const close = () => {
      if (isClosed) return
      isClosed = true
      stop()
      libc.closeLater(fd)
    }
    const again = () => {
      if (!isClosed) attempt(() => libc.sendTo(fd, probe, everybody))
    }
    try {
      libc.bind(fd, everybody)
      const message = Buffer.alloc(headers)
      stop = libc.whenReadable(fd, () => {
        attempt(() => {
          for (let count = 0; count < turn && !isClosed; count++) {
            const heard = libc.receive(fd, message)
            if (heard === undefined) return
            if (isOfAnother(heard, mac, address)) onElsewhere()
          }
        })
      })
      again()
    } catch (error) {
      close()
      throw error
    }
    return { again, close }
  }
}

class LinuxPacketPort implements PacketPort {
  readonly #libc: Libc
  readonly #name: string
  readonly #address: string
  readonly #index: number
  readonly #sockets: number[] = []
  readonly #receiving: number
  readonly #sender: SegmentSender
  readonly #announcing: number
  readonly #packet: Buffer = Buffer.alloc(headers)
  #filter: readonly FilterInstruction[]
  #stop: (() => void) | undefined
  /** The numbers of its sockets may be somebody else's by now. */
  #isClosed = false

  constructor(libc: Libc, name: string, address: string) {
    this.#libc = libc
    this.#name = name
    this.#address = address
    this.#index = libc.interfaceIndex(name)
    this.#filter = tcpTo(address)
    this.#sender = new SegmentSender(libc)
    try {
      // Without a protocol it hears nothing, until it is bound to one.
      this.#receiving = this.#open(kind.datagram)
      this.#announcing = this.#open(kind.raw)
    } catch (error) {
      this.close()
      throw error
    }
  }

  start(onSegment: (segment: Segment) => void): void {
    const room = Buffer.alloc(4)
    room.writeUInt32LE(receiveBuffer)
    const fd = this.#receiving
    this.#libc.setOption(fd, level, option.receiveBuffer, room)
    attachFilter(this.#libc, fd, this.#filter)
    this.#libc.bind(fd, linkAddress(internetProtocol, this.#index))
    this.#stop = this.#libc.whenReadable(fd, () => this.#read(onSegment))
  }

  only(remotes: Iterable<Endpoint>): void {
    const ports = new Set(Array.from(remotes, ({ port }) => port))
    const isFew = ports.size <= mostPorts
    this.#filter = isFew ? tcpFrom(ports, this.#address) : tcpTo(this.#address)
    if (this.#stop !== undefined) attachFilter(this.#libc, this.#receiving, this.#filter)
  }

  send(segment: BareSegment): void {
    this.#sender.send(segment)
  }

  announce(): void {
    if (this.#isClosed) return
    const to = linkAddress(arpProtocol, this.#index)
    for (const frame of announcements(macOf(this.#name), this.#address)) {
      attempt(() => this.#libc.sendTo(this.#announcing, frame, to))
    }
  }

  close(): void {
    this.#isClosed = true
    this.#stop?.()
    this.#stop = undefined
    this.#sender.close()
    for (const fd of this.#sockets.splice(0)) this.#libc.closeLater(fd)
  }

  #open(type: number): number {
    const fd = this.#libc.socket(packetFamily, type | kind.closeOnExec, 0)
    this.#sockets.push(fd)
    return fd
  }

  #read(onSegment: (segment: Segment) => void): void {
    for (let count = 0; count < turn && this.#stop !== undefined; count++) {
      let packet: Buffer | undefined
      try {
        packet = this.#libc.receive(this.#receiving, this.#packet)
      } catch {
        // The interface went down, which is told once; what comes later is another reading.
        return
      }
      if (packet === undefined) return
      const segment = readSegment(packet)
      if (segment?.destination.address === this.#address) onSegment(segment)
    }
  }
}

function macOf(name: string): Buffer {
  const mac = networkInterfaces()[name]?.find(
    each => each.mac !== '00:00:00:00:00:00',
  )?.mac
  if (mac !== undefined) return Buffer.from(mac.replaceAll(':', ''), 'hex')
  const text = `${name} is no interface of this host that is up and has a hardware address`
  throw new HandfastError('ERR_HANDFAST_CONFIG', text)
}

/** `struct sockaddr_ll` of linux/if_packet.h; to everybody. */
function linkAddress(protocol: number, index: number): Buffer {
  const bytes = Buffer.alloc(20)
  bytes.writeUInt16LE(packetFamily, 0)
  bytes.writeUInt16BE(protocol, 2)
  bytes.writeInt32LE(index, 4)
  bytes.writeUInt8(6, 11)
  bytes.fill(0xff, 12, 18)
  return bytes
}
