import { type Clock, systemClock, type Timer } from '../../clock.ts'
import { Connector } from '../connector.ts'
import { backendError } from '../failure.ts'
import { overCall, type Pool, type PoolCall, type PoolOptions } from '../pool.ts'
import type { BackendHandler, BackendRequest } from '../request.ts'
import { Http2Call } from './http2-call.ts'
import { Http2Connection } from './http2-connection.ts'

/** A connection without a request is closed after this time, in milliseconds. */
const idleTime = 60_000
/** Where another one is idle, too: each check of a backend's health makes one. */
const spareTime = 4_000

/** How often time limits are looked at, in milliseconds: they are that inexact. */
const sweepInterval = 250

/**
 * Connections of HTTP/2 to one origin (RFC 9113): by ALPN where it is https, with prior knowledge
 * (3.3) where it is http. One carries as many requests as the backend allows; the next is opened
 * when those that are there are full.
 *
 * Node's own client, and not undici's: that one sends neither trailers nor, soundly, a body that
 * is as long as the answer.
 */
export class Http2Pool implements Pool {
  readonly #origin: URL
  readonly #options: PoolOptions
  readonly #clock: Clock
  readonly #connector: Connector
  readonly #connections = new Set<Http2Connection>()
  #sweep: Timer | undefined
  #closed = false
  #destroyed = false

  constructor(origin: URL, options: PoolOptions) {
    this.#origin = origin
    this.#options = options
    this.#clock = options.clock ?? systemClock
    this.#connector = new Connector(origin, options, 'h2')
  }

  send(request: BackendRequest, handler: BackendHandler, fresh: boolean): PoolCall {
    if (this.#destroyed) {
      process.nextTick(() => handler.onError(backendError('UND_ERR_DESTROYED')))
      return overCall
    }
    const connection = (fresh ? undefined : this.#withRoom()) ?? this.#open()
    const call = new Http2Call(request, handler, this.#options, this.#clock)
    connection.take(call)
    this.#sweepLater()
    return call
  }

  /** Requests of all clients share a connection: no log-in can hold for one. */
  holds(): boolean {
    return false
  }

  close(): void {
    this.#closed = true
    for (const connection of this.#connections) connection.retire()
  }

  async destroy(): Promise<void> {
    this.#closed = true
    this.#destroyed = true
    this.#sweep?.cancel()
    for (const connection of this.#connections) {
      connection.destroy(backendError('UND_ERR_DESTROYED'))
    }
  }

  /** The fullest that takes one more, so that those too many grow old. */
  #withRoom(): Http2Connection | undefined {
    let best: Http2Connection | undefined
    for (const connection of this.#connections) {
      if (!connection.hasRoom) continue
      if (best === undefined || connection.open > best.open) best = connection
    }
    return best
  }

  #open(): Http2Connection {
    const connection: Http2Connection = new Http2Connection(
      this.#origin,
      this.#connector,
      this.#options,
      () => this.#connections.delete(connection),
    )
    this.#connections.add(connection)
    if (this.#closed) connection.retire()
    return connection
  }

  /** One timer for all requests: those that are late are few. */
  #sweepLater(): void {
    this.#sweep ??= this.#clock.after(sweepInterval, () => {
      this.#sweep = undefined
      const now = this.#clock.monotonic()
      let longest = idleTime
      for (const connection of this.#connections) {
        connection.check(now)
        if (connection.open > 0) continue
        if (connection.idleSince < now - longest) connection.retire()
        else longest = spareTime
      }
      if (this.#connections.size > 0 && !this.#destroyed) this.#sweepLater()
    })
  }
}
