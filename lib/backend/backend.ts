import { type Clock, systemClock } from '../clock.ts'
import { HandfastError } from '../errors.ts'
import { shown } from '../shown.ts'
import { type FailureKind, failureKind } from './failure.ts'
import { Http1Pool } from './http1-pool.ts'
import { Http2Pool } from './http2-pool.ts'
import type { PoolCall, PoolOptions } from './pool.ts'
import type { BackendHandler, BackendRequest, BoundClient } from './request.ts'
import { type SlotOptions, Slots } from './slots.ts'

/** How long a backend that failed is passed over while others are there, in milliseconds. */
const coolDown = 2_000

/**
 * - `http1`: HTTP/1.1.
 * - `http2`: HTTP/2 (gRPC needs it), by ALPN for https and with prior knowledge for http;
 *   WebSockets by HTTP/1.1.
 *
 * Never by what a client asks for: whoever may choose could have healthy backends fail.
 */
export type BackendProtocol = 'http1' | 'http2'

export interface BackendOptions extends PoolOptions, SlotOptions {
  /** Default `http1`. */
  readonly protocol?: BackendProtocol | undefined
  /** `maxRequests` is found out by latency, and is the most that it becomes. Default false. */
  readonly adaptive?: boolean | undefined
}

/**
 * What choosing goes by. Health says whether a backend is well, the operator whether it may have
 * new clients; both tell the Backend, and no selection asks anybody else.
 */
export interface BackendState {
  /** May be sent requests, as far as is known. One that is not comes last. */
  readonly ready: boolean
  /** Monotonic milliseconds since when it is; `-Infinity` when it has never been otherwise. */
  readonly readySince: number
  /** The operator lets it run dry: it keeps the clients that it has, and gets no others. */
  readonly draining: boolean
  /** Requests under way, as far as they cost it work. */
  readonly inFlight: number
  /** Its part of what it would get, 0 to 1; 0: no new clients. `now`: monotonic milliseconds. */
  weight(now: number): number
}

/** A server that requests are passed on to, and what is known of its state. */
export class Backend implements BackendState {
  readonly origin: string
  readonly protocol: BackendProtocol
  readonly #http1: Http1Pool
  /** Undefined where all goes by HTTP/1.1. */
  readonly #http2: Http2Pool | undefined
  readonly #clock: Clock
  /** To be had before a request is sent. */
  readonly slots: Slots
  draining = false
  #coolUntil = -Infinity
  #readySince = -Infinity
  /** Requests that were given to it, since start. */
  sent = 0
  /** What went wrong since start. */
  readonly errors: { [kind in FailureKind]?: number } = {}

  constructor(address: string, options: BackendOptions) {
    const url = parseOrigin(address)
    this.origin = url.origin
    this.#http1 = new Http1Pool(url, options)
    this.protocol = options.protocol ?? 'http1'
    if (this.protocol === 'http2') this.#http2 = new Http2Pool(url, options)
    this.#clock = options.clock ?? systemClock
    this.slots = new Slots(options)
  }

  /** False for a while after it failed, unless it has answered since. */
  get ready(): boolean {
    return this.#clock.monotonic() >= this.#coolUntil
  }

  get readySince(): number {
    return this.#readySince
  }

  get inFlight(): number {
    return this.slots.inFlight
  }

  weight(_now: number): number {
    return this.draining ? 0 : 1
  }

  /** Sends a request, for which a slot has been taken. `fresh`: on a new connection. */
  send(request: BackendRequest, handler: BackendHandler, fresh = false): PoolCall {
    this.sent += 1
    const pool = request.upgrade === undefined ? this.#http2 : undefined
    return (pool ?? this.#http1).send(request, handler, fresh)
  }

  /** Whether connections to it are bound to this client by a log-in. */
  holds(client: BoundClient): boolean {
    return this.#http1.holds(client)
  }

  /** Takes note that no connection could be made, or that one just made had no answer. */
  failed(error: Error): void {
    const kind = failureKind(error)
    this.errors[kind] = (this.errors[kind] ?? 0) + 1
    this.#coolUntil = this.#clock.monotonic() + coolDown
    this.#readySince = this.#coolUntil
  }

  answered(): void {
    if (this.#coolUntil === -Infinity) return
    this.#coolUntil = -Infinity
    this.#readySince = this.#clock.monotonic()
  }

  /** Lets open requests finish, and those come that are on their way here already. */
  close(): void {
    this.#http1.close()
    this.#http2?.close()
  }

  /** Ends open requests. */
  async destroy(): Promise<void> {
    await Promise.all([this.#http1.destroy(), this.#http2?.destroy()])
  }
}

/** The scheme, host and port of a backend; anything more is a mistake worth telling. */
export function parseOrigin(address: string): URL {
  const url = URL.canParse(address) ? new URL(address) : undefined
  const plain = url !== undefined && url.pathname === '/' && url.search === ''
  if (!plain || !/^https?:$/.test(url.protocol) || url.username + url.password !== '') {
    throw new HandfastError(
      'ERR_HANDFAST_CONFIG',
      `a backend must look like http://host:port or https://host:port, got ${shown(address)}`,
    )
  }
  return url
}
