import {
  type AddressInfo,
  createServer as createTcpServer,
  type Server,
  type Socket,
} from 'node:net'
import {
  createServer as createTlsServer,
  type TLSSocket,
  type Server as TlsServer,
} from 'node:tls'
import { plainHost } from '../../address.ts'
import type { Clock } from '../../clock.ts'
import { HandfastError } from '../../errors.ts'
import { LogLimiter } from '../../limit/log-limiter.ts'
import { whyNotAt } from '../../listen-error.ts'
import type { Log } from '../../log.ts'
import { acceptorOptions, type FarmPsk, isPskLink, type OtherFarm } from './psk.ts'

export interface ListenerOptions {
  readonly psk: FarmPsk
  readonly clock: Clock
  readonly log: Log
  readonly handshakeTimeout: number
  readonly maxStrangers: number
  /** A connection whose other end has proved to know the farm secret. */
  onMember(socket: TLSSocket): void
}

/** Where other members dial this one. Strangers get a TLS alert and nothing else. */
export class Listener {
  readonly #options: ListenerOptions
  readonly #tcp: Server
  readonly #tls: TlsServer
  readonly #limiter: LogLimiter
  /** Connections that are still in their handshake, by their other end, oldest first. */
  readonly #strangers = new Map<string, Socket>()
  /** Diallers that named a key of another farm. */
  readonly #others = new WeakMap<TLSSocket, OtherFarm>()
  refused = 0

  constructor(options: ListenerOptions) {
    this.#options = options
    this.#limiter = new LogLimiter(options.clock)
    this.#tcp = createTcpServer({ noDelay: true }, socket => this.#greet(socket))
    const { psk, handshakeTimeout } = options
    const onOther = (socket: TLSSocket, why: OtherFarm) =>
      void this.#others.set(socket, why)
    this.#tls = createTlsServer(acceptorOptions(psk, handshakeTimeout, onOther))
    this.#tls.on('tlsClientError', (error, socket) => this.#refuse(socket, error))
    this.#tls.on('secureConnection', socket => this.#admit(socket))
  }

  /** Connections that have not proved to be a member. */
  get strangers(): number {
    return this.#strangers.size
  }

  listen(host: string | undefined, port: number): Promise<AddressInfo> {
    return new Promise((resolve, reject) => {
      const failed = (error: Error) => {
        const message = `the farm can't listen on ${whyNotAt({ host, port }, error)}`
        reject(new HandfastError('ERR_HANDFAST_JOIN', message, { cause: error }))
      }
      this.#tcp.once('error', failed)
      // Exclusive: under node:cluster every worker is a member with a port of its own.
      const where = { port, exclusive: true, ...(host === undefined ? {} : { host }) }
      this.#tcp.listen(where, () => {
        this.#tcp.off('error', failed)
        // Running out of descriptors ends neither the listener nor the process.
        this.#tcp.on('error', error => {
          this.#options.log.error({ err: error }, 'farm listener failed')
        })
        resolve(this.#tcp.address() as AddressInfo)
      })
    })
  }

  close(): Promise<void> {
    for (const socket of this.#strangers.values()) socket.destroy()
    return new Promise(resolve => {
      this.#tcp.close(() => resolve())
    })
  }

  #greet(socket: Socket): void {
    // An honest handshake takes milliseconds, so the oldest of too many is hardly honest;
    // refusing the newest would let a few silent connections keep members out.
    if (this.#strangers.size >= this.#options.maxStrangers) {
      const [oldest] = this.#strangers.values()
      oldest?.destroy()
    }
    const end = otherEnd(socket)
    this.#strangers.set(end, socket)
    socket.once('close', () => this.#strangers.delete(end))
    socket.on('error', () => socket.destroy())
    this.#tls.emit('connection', socket)
  }

  #refuse(socket: TLSSocket, error: NodeJS.ErrnoException): void {
    const other = this.#others.get(socket)
    this.#count(other ?? error.code ?? error.message, socket)
    socket.destroy()
  }

  #admit(socket: TLSSocket): void {
    if (!isPskLink(socket)) {
      this.#refuse(socket, new Error('no farm key'))
      return
    }
    this.#strangers.delete(otherEnd(socket))
    this.#options.onMember(socket)
  }

  #count(reason: string, socket: Socket | undefined): void {
    this.refused += 1
    const { remoteAddress } = socket ?? {}
    const from = remoteAddress === undefined ? undefined : plainHost(remoteAddress)
    this.#limiter.log(heldBack => {
      this.#options.log.warn(
        { from, reason, heldBack },
        'stranger refused on the farm port',
      )
    })
  }
}

function otherEnd(socket: Socket): string {
  return `${socket.remoteAddress} ${socket.remotePort}`
}
