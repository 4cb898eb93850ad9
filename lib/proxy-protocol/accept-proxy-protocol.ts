import type { EventEmitter } from 'node:events'
import { type Server, Socket } from 'node:net'
import { plainHost } from '../address.ts'
import { addressList } from '../address-list.ts'
import { type Clock, systemClock } from '../clock.ts'
import { HandfastError } from '../errors.ts'
import { LogLimiter } from '../limit/log-limiter.ts'
import { type Log, silentLog } from '../log.ts'
import { Shadow } from '../resumption/hello/shadow.ts'
import { HeaderGate } from './header-gate.ts'
import { showEndpoints } from './show-endpoints.ts'

/** Two lost segments are 3 s. Balancers send it with their first. */
const headerTimeout = 5_000

export interface ProxyProtocolOptions {
  /**
   * Addresses and subnets (`10.0.0.0/8`) of balancers. A connection from one of them must begin
   * with a PROXY header, of version 1 or 2, or is ended; from anybody else none is looked for.
   */
  readonly from: readonly string[]
  /** Told of connections that were ended. Default: silent. */
  readonly log?: Log | undefined
  /** For tests. Default: the system's. */
  readonly clock?: Clock | undefined
}

/**
 * Has a server take connections of balancers that speak the PROXY protocol for those of the
 * clients behind them: `remoteAddress` and the like are the client's, on the raw socket and on
 * what TLS and HTTP make of it. For servers of node:net, tls, http, https and http2, attached to a
 * farm or not, listening or not. Ends with `close()`.
 */
export function acceptProxyProtocol(
  server: Server,
  options: ProxyProtocolOptions,
): AcceptedProxyProtocol {
  return new AcceptedProxyProtocol(server, options)
}

export class AcceptedProxyProtocol {
  readonly #emit: Shadow<EventEmitter['emit']>
  readonly #clock: Clock
  readonly #log: Log
  readonly #lines: LogLimiter
  readonly #held = new Set<HeaderGate>()
  /** A wrapper of the server may tell it of a connection again. */
  readonly #seen = new WeakSet<Socket>()
  #isBalancer: (address: string) => boolean
  #closed = false

  constructor(
    server: Server,
    { from, log = silentLog, clock = systemClock }: ProxyProtocolOptions,
  ) {
    this.#isBalancer = listOf(from)
    this.#clock = clock
    this.#log = log
    this.#lines = new LogLimiter(clock)
    // Before the event, so that each of its listeners finds the client's address, whoever it is
    // and whenever it came.
    const ours: EventEmitter['emit'] = (event, ...args) => {
      const { before } = this.#emit
      const [socket] = args
      if (event !== 'connection' || !this.#mustBegin(socket)) {
        return before.call(server, event, ...args)
      }
      this.#hold(socket, () => before.call(server, event, ...args))
      return true
    }
    this.#emit = new Shadow<EventEmitter['emit']>(server, 'emit', ours)
  }

  /** Other balancers, for connections from now on. */
  setFrom(from: readonly string[]): void {
    this.#isBalancer = listOf(from)
  }

  /** Leaves the server as it was, and ends connections whose header has not come. */
  close(): void {
    this.#closed = true
    this.#emit.remove()
    for (const gate of this.#held) gate.close()
  }

  #mustBegin(socket: unknown): socket is Socket {
    if (this.#closed || !(socket instanceof Socket) || this.#seen.has(socket))
      return false
    return this.#isBalancer(plainHost(socket.remoteAddress ?? ''))
  }

  #hold(socket: Socket, begin: () => void): void {
    this.#seen.add(socket)
    const balancer = plainHost(socket.remoteAddress ?? '')
    const gate: HeaderGate = new HeaderGate(socket, {
      clock: this.#clock,
      timeout: headerTimeout,
      onHeader: endpoints => {
        if (endpoints !== undefined) showEndpoints(socket, endpoints)
        begin()
      },
      onFault: fault =>
        this.#lines.log(heldBack => {
          const more = heldBack > 0 ? { heldBack } : {}
          this.#log.warn(
            { balancer, fault, ...more },
            'connection refused: no PROXY header that can be read',
          )
        }),
      onOver: () => this.#held.delete(gate),
    })
    this.#held.add(gate)
    gate.start()
  }
}

function listOf(from: readonly string[]): (address: string) => boolean {
  if (Array.isArray(from)) return addressList(from, 'proxyProtocol')
  throw new HandfastError(
    'ERR_HANDFAST_CONFIG',
    'proxyProtocol must be a list of addresses or subnets of balancers',
  )
}
