import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2'
import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { type Clock, systemClock } from '../../clock.ts'
import { TokenBucket } from '../../limit/token-bucket.ts'
import type { Attempt, Connector } from '../connector.ts'
import { backendError } from '../failure.ts'
import type { PoolOptions } from '../pool.ts'
import type { Http2Call } from './http2-call.ts'

/**
 * Bytes of an answer that a backend may send ahead while the client is slow. The window of the
 * connection is none of its own: Node gives that back at once, so that a slow client holds up
 * nobody but itself.
 */
const streamWindow = 256 * 1024
const connectionWindow = 8 * 1024 * 1024

/** Requests at a time before the backend has said how many it takes (RFC 9113 6.5.2: 100). */
const usualStreams = 100
/** More than this on one connection wait for each other's packets. */
const maxStreams = 1_000

/**
 * Requests that are given up on one connection. Clients give up as they like, and a backend takes
 * whoever does it too often for an attacker (CVE-2023-44487) and closes the connection, with
 * everybody's requests on it: nghttp2 after 1000 at once and 33 a second, Envoy after 500. Before
 * that another one is opened, and this one gets no more.
 */
const resets = { perSecond: 20, atOnce: 100 }

/** Milliseconds of silence on a connection that has requests until it is asked whether it lives. */
const quiet = 10_000
/** Milliseconds for the answer to that. */
const pingTimeout = 5_000

/**
 * One connection to a backend, from before it stands to its end. It takes requests while it is on
 * its way, and they are written when it stands.
 */
export class Http2Connection {
  readonly #clock: Clock
  readonly #waiting = new Set<Http2Call>()
  readonly #calls = new Set<Http2Call>()
  /** Before it stands. */
  readonly #attempt: Attempt
  readonly #onOver: () => void
  readonly #resets = new TokenBucket(resets.perSecond, resets.atOnce)
  #socket: Socket | undefined
  #session: ClientHttp2Session | undefined
  #served = 0
  #retired = false
  #over = false
  #pingedAt: number | undefined
  /** When a call last heard something, or a ping came back. */
  #heardAt: number
  idleSince: number

  /** `onOver` is called once: it takes no more requests and has none. */
  constructor(
    origin: URL,
    connector: Connector,
    options: PoolOptions,
    onOver: () => void,
  ) {
    this.#clock = options.clock ?? systemClock
    this.#onOver = onOver
    this.#heardAt = this.#clock.monotonic()
    this.idleSince = this.#heardAt
    this.#attempt = connector.connect(undefined, (error, socket) => {
      if (!socket) this.destroy(error as Error)
      else this.#connected(origin, socket, options)
    })
  }

  /** Requests on it and before it. */
  get open(): number {
    return this.#calls.size + this.#waiting.size
  }

  get hasRoom(): boolean {
    if (this.#retired || this.#over) return false
    // That a session has ended it tells some time later.
    if (this.#session?.closed || this.#session?.destroyed) return false
    const said = this.#session?.remoteSettings?.maxConcurrentStreams ?? usualStreams
    return this.open < Math.min(said, maxStreams)
  }

  take(call: Http2Call): void {
    call.onOver = () => this.#finished(call)
    call.onReset = () => {
      if (!this.#resets.take(this.#clock.monotonic())) this.retire()
    }
    if (this.#session === undefined) this.#waiting.add(call)
    else this.#begin(call, this.#session)
  }

  /** No more requests; those that it has go on. */
  retire(): void {
    this.#retired = true
    if (this.open === 0) this.destroy(backendError('UND_ERR_CLOSED'))
    else this.#session?.close()
  }

  /** Ends it, and with `reason` all requests that it has. */
  destroy(reason: Error): void {
    if (this.#over) return
    this.#over = true
    this.#retired = true
    for (const call of [...this.#waiting, ...this.#calls]) call.fail(reason)
    this.#attempt.destroy()
    if (this.#session === undefined) this.#socket?.destroy()
    else this.#session.destroy()
    this.#onOver()
  }

  /** To be called over and over: ends what is late, and itself when nobody is there any more. */
  check(now: number): void {
    for (const call of this.#calls) {
      call.check(now)
      this.#heardAt = Math.max(this.#heardAt, call.heardAt)
    }
    const session = this.#session
    if (session === undefined || session.destroyed || this.#calls.size === 0) return
    if (this.#pingedAt === undefined) {
      if (now - this.#heardAt < quiet) return
      this.#pingedAt = now
      session.ping(error => {
        this.#pingedAt = undefined
        if (error === null) this.#heardAt = this.#clock.monotonic()
      })
    } else if (now - this.#pingedAt > pingTimeout) {
      this.destroy(backendError('UND_ERR_SOCKET', 'the backend does not answer pings'))
    }
  }

  #connected(origin: URL, socket: Socket, { maxHeaderBytes }: PoolOptions): void {
    this.#socket = socket
    const { alpnProtocol } = socket as TLSSocket
    if (origin.protocol === 'https:' && alpnProtocol !== 'h2') {
      socket.on('error', () => {})
      socket.destroy()
      this.destroy(backendError('ERR_NO_HTTP2', 'the backend does not speak HTTP/2'))
      return
    }
    const session = connectHttp2(origin.origin, {
      createConnection: () => socket,
      settings: {
        enablePush: false,
        initialWindowSize: streamWindow,
        // Counts 32 bytes for each field (RFC 9113 6.5.2).
        maxHeaderListSize: maxHeaderBytes + 32 * 128,
      },
      maxSendHeaderBlockLength: 16 * 1024 * 1024,
    })
    this.#session = session
    session.on('error', error => this.destroy(error))
    // Requests that it will not see to are reset as refused, the others go on.
    session.on('goaway', () => {
      this.#retired = true
    })
    session.on('close', () =>
      this.destroy(backendError('UND_ERR_SOCKET', 'the backend closed the connection')),
    )
    session.setLocalWindowSize(connectionWindow)
    for (const call of this.#waiting) this.#begin(call, session)
    this.#waiting.clear()
    if (this.#retired) this.retire()
  }

  #begin(call: Http2Call, session: ClientHttp2Session): void {
    this.#calls.add(call)
    call.begin(session, this.#served++ > 0)
  }

  #finished(call: Http2Call): void {
    this.#calls.delete(call)
    this.#waiting.delete(call)
    this.idleSince = this.#clock.monotonic()
    if (this.#retired && this.open === 0) this.retire()
  }
}
