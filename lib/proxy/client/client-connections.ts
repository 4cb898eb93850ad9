import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import type { LimitCounters } from '../../limit/limit-counters.ts'
import { networkOf } from '../../limit/network.ts'
import { Shares, type SharesOptions } from '../../limit/shares.ts'
import { plainAddress } from '../message/forwarded.ts'
import type { Limits } from '../options.ts'
import { ClientConnection } from './client-connection.ts'
import { SlowClients } from './slow-clients.ts'

/** Open now, each in one of these. */
export interface ConnectionCounts {
  /** The TLS handshake is not over. */
  readonly handshake: number
  readonly http1: number
  readonly http2: number
}

export interface ClientConnectionsParts {
  readonly limits: Limits
  readonly limitCounters: LimitCounters
  /** Whether an address is a trusted proxy's. */
  readonly trusts: (address: string) => boolean
}

/** All connections that are open: no client has more than its share of them. */
export class ClientConnections {
  readonly #counters: LimitCounters
  readonly #trusts: (address: string) => boolean
  readonly #shares: Shares
  readonly #slow = new SlowClients()
  readonly #sockets = new Set<Socket>()
  readonly #connections = new Set<ClientConnection>()

  constructor({ limits, limitCounters, trusts }: ClientConnectionsParts) {
    this.#counters = limitCounters
    this.#trusts = trusts
    this.#shares = new Shares(sharesOf(limits))
  }

  /** Those of TCP, whatever they have become. */
  get sockets(): ReadonlySet<Socket> {
    return this.#sockets
  }

  /** Those whose handshake is done. */
  get established(): ReadonlySet<ClientConnection> {
    return this.#connections
  }

  counts(): ConnectionCounts {
    const all = this.#connections.size
    let http2 = 0
    for (const connection of this.#connections) if (connection.http2) http2 += 1
    return { handshake: this.#sockets.size - all, http1: all - http2, http2 }
  }

  setLimits(limits: Limits): void {
    this.#shares.resize(sharesOf(limits))
  }

  /** A client has come. One that has its share already is sent away. */
  track(socket: Socket): void {
    const address = plainAddress(socket.remoteAddress ?? '')
    // What a trusted proxy opens is for many clients: they are told apart by their requests.
    const network = this.#trusts(address) ? undefined : networkOf(address)
    if (!this.#shares.take(network)) {
      this.tooMany(address)
      socket.destroy()
      return
    }
    this.#sockets.add(socket)
    socket.once('close', () => {
      this.#shares.release(network)
      this.#sockets.delete(socket)
    })
  }

  /** One was not let in. */
  tooMany(address: string): void {
    this.#counters.met('limits.maxConnections', plainAddress(address))
  }

  /** Its handshake is done, under that demand for client certificates. */
  establish(socket: TLSSocket, certificatePolicy: string): ClientConnection {
    // Whatever happens to it from now on is no reason to end the process.
    socket.on('error', () => {})
    const connection = new ClientConnection(socket, certificatePolicy, this.#trusts)
    this.#connections.add(connection)
    socket.once('close', () => this.#connections.delete(connection))
    return connection
  }

  /** To be called over and over: ends answers that their clients do not take. All in ms. */
  check(now: number, bodyTimeout: number): void {
    this.#slow.check(this.#connections, now, bodyTimeout)
  }

  /** Ends all. Resolves when they are gone. */
  async destroy(): Promise<void> {
    for (const { socket } of this.#connections) socket.destroy()
    const closed = [...this.#sockets].map(socket => {
      socket.destroy()
      return new Promise(resolve => socket.once('close', resolve))
    })
    await Promise.all(closed)
  }
}

function sharesOf({ maxConnections, clientShare }: Limits): SharesOptions {
  return { most: maxConnections, share: clientShare / 100 }
}
