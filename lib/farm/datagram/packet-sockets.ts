import { createSocket, type Socket, type SocketOptions } from 'node:dgram'
import { isIPv6 } from 'node:net'
import { HandfastError } from '../../errors.ts'
import { whyNotAt } from '../../listen-error.ts'

/** Bytes asked for; the kernel may give less, see `ceilingFor`. */
const receiveBuffer = 4 * 1024 * 1024

export type DatagramListener = (
  datagram: Buffer,
  from: string,
  by: 'multicast' | 'unicast',
) => void

/** Best effort: sends datagrams and hands on those that come. */
export interface PacketSockets {
  /** Resolves with our unicast port once both sockets can receive. */
  open(listener: DatagramListener): Promise<number>
  /** False when there is no group: not asked for, or the host would not join it. */
  readonly multicasts: boolean
  /** Why there is none, when it was asked for. */
  readonly groupError?: Error | undefined
  /** The smallest receive buffer that the kernel gave, bytes. */
  readonly receiveBuffer: number
  /** Datagrams that the kernel refused to take. */
  readonly errors: number
  multicast(datagram: Buffer): void
  unicast(datagram: Buffer, host: string, port: number): void
  close(): Promise<void>
}

export interface UdpOptions {
  /** undefined: no multicast. */
  readonly group: string | undefined
  readonly groupPort: number
  /** Address of the network interface for the group; the system's choice by default. */
  readonly interface?: string | undefined
  /** Address to receive unicast on. */
  readonly host?: string | undefined
  readonly port?: number | undefined
  /** How many routers multicast may pass. */
  readonly ttl?: number | undefined
}

/**
 * Two sockets, because one can't do both. M is bound to the group: bound to any address it
 * would get every group that some process of this host joined, and a port that is shared by
 * several processes gives unicast to the last of them only. U has a port of its own: it sends
 * everything and receives what is for this member alone.
 */
export class UdpSockets implements PacketSockets {
  readonly #options: UdpOptions
  readonly #type: 'udp4' | 'udp6'
  #m: Socket | undefined
  #u: Socket | undefined
  #groupError: Error | undefined
  #errors = 0
  #port = 0

  constructor(options: UdpOptions) {
    this.#options = options
    this.#type = isIPv6(options.group ?? options.host ?? '') ? 'udp6' : 'udp4'
  }

  get multicasts(): boolean {
    return this.#m !== undefined
  }

  get groupError(): Error | undefined {
    return this.#groupError
  }

  get receiveBuffer(): number {
    const sizes = [this.#m, this.#u].map(socket => socket?.getRecvBufferSize())
    return Math.min(...sizes.filter(size => size !== undefined))
  }

  get errors(): number {
    return this.#errors
  }

  async open(listener: DatagramListener): Promise<number> {
    const { host, port = 0, group } = this.#options
    const u = this.#create({})
    this.#u = u
    try {
      await bind(u, port, host)
    } catch (error) {
      u.close()
      this.#u = undefined
      const why = whyNotAt({ host, port }, error as Error, 'datagrams')
      const message = `the farm can't take datagrams on ${why}`
      throw new HandfastError('ERR_HANDFAST_JOIN', message, { cause: error })
    }
    this.#port = u.address().port
    grow(u)
    u.on('message', (datagram, { address }) => listener(datagram, address, 'unicast'))
    if (group === undefined) return this.#port
    this.#m = await this.#join(u, group)
    this.#m?.on('message', (datagram, { address }) =>
      listener(datagram, address, 'multicast'),
    )
    return this.#port
  }

  multicast(datagram: Buffer): void {
    const { group, groupPort } = this.#options
    if (group !== undefined && this.#m !== undefined)
      this.#send(datagram, groupPort, group)
  }

  unicast(datagram: Buffer, host: string, port: number): void {
    this.#send(datagram, port, host)
  }

  async close(): Promise<void> {
    const sockets = [this.#m, this.#u]
    this.#m = undefined
    this.#u = undefined
    await Promise.all(
      sockets.map(
        socket => new Promise<void>(done => (socket ? socket.close(done) : done())),
      ),
    )
  }

  #send(datagram: Buffer, port: number, host: string): void {
    if (port === 0 || host === '') return
    try {
      this.#u?.send(datagram, port, host, error => {
        if (error !== null) this.#errors += 1
      })
    } catch {
      this.#errors += 1
    }
  }

  async #join(u: Socket, group: string): Promise<Socket | undefined> {
    const { interface: nic, ttl = 1 } = this.#options
    const m = this.#create({ reuseAddr: true })
    try {
      u.setMulticastTTL(ttl)
      u.setMulticastLoopback(true)
      if (nic !== undefined) u.setMulticastInterface(nic)
      // Windows refuses to bind to a group.
      const address = process.platform === 'win32' ? undefined : group
      await bind(m, this.#options.groupPort, address)
      m.addMembership(group, nic)
      grow(m)
      return m
    } catch (error) {
      this.#groupError = error as Error
      m.close()
      return undefined
    }
  }

  #create(options: Partial<SocketOptions>): Socket {
    // Addresses only, and no thread of the resolver for each datagram.
    const lookup: NonNullable<SocketOptions['lookup']> = (host, _options, done) =>
      done(null, host, this.#type === 'udp6' ? 6 : 4)
    const socket = createSocket({ type: this.#type, lookup, ...options })
    // ECONNREFUSED of a member that is gone arrives here; datagrams are best effort.
    socket.on('error', () => {
      this.#errors += 1
    })
    return socket
  }
}

function bind(socket: Socket, port: number, address: string | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const closed = () => reject(new Error('closed meanwhile'))
    socket.once('error', reject)
    socket.once('close', closed)
    // Exclusive: under node:cluster the workers would share one socket otherwise.
    const where = { port, exclusive: true }
    socket.bind({ ...where, ...(address === undefined ? {} : { address }) }, () => {
      socket.off('error', reject)
      socket.off('close', closed)
      resolve()
    })
  })
}

function grow(socket: Socket): void {
  try {
    socket.setRecvBufferSize(receiveBuffer)
  } catch {
    // Some systems refuse what Linux silently cuts down; `receiveBuffer` tells what there is.
  }
}
