import {
  constants,
  createServer,
  type Http2Server,
  type ServerHttp2Session,
  type ServerHttp2Stream,
  type Settings,
} from 'node:http2'
import { systemClock } from '../../clock.ts'
import type { Limits } from '../options.ts'
import type { ClientConnection } from './client-connection.ts'
import type { Exchange } from './exchange.ts'
import type { Unreadable } from './http1.ts'
import { Http2Connection } from './http2-connection.ts'
import { Http2Exchange } from './http2-exchange.ts'

/**
 * Bytes of a body that a client may send ahead. With the 64 KiB of RFC 9113 an upload over a
 * line of 100 ms would never be faster than 640 KB/s.
 */
const streamWindow = 256 * 1024
const connectionWindow = 1024 * 1024

/** HTTP/2 on connections that are handed in. */
export class Http2 {
  #server: Http2Server
  readonly #connections = new Set<Http2Connection>()
  readonly #onExchange: (exchange: Exchange) => void
  readonly #onUnreadable: (unreadable: Unreadable) => void
  #arriving: ClientConnection | undefined
  #limits: Limits
  #draining = false

  constructor(
    limits: Limits,
    onExchange: (exchange: Exchange) => void,
    onUnreadable: (unreadable: Unreadable) => void,
  ) {
    this.#limits = limits
    this.#onExchange = onExchange
    this.#onUnreadable = onUnreadable
    this.#server = this.#createServer()
  }

  accept(connection: ClientConnection): void {
    // The session is made, and its event emitted, before this returns.
    this.#arriving = connection
    this.#server.emit('connection', connection.socket)
  }

  setLimits(limits: Limits): void {
    this.#limits = limits
    // Not all of it can be set later. Sessions go on as they began.
    this.#server = this.#createServer()
  }

  /** GOAWAY: open streams go on, new ones are for another connection. */
  drain(): void {
    this.#draining = true
    for (const connection of this.#connections) connection.close()
  }

  /** To be called over and over: ends what is idle, and what Node has forgotten. */
  check(now: number): void {
    for (const connection of this.#connections) connection.check(now, this.#limits)
  }

  #createServer(): Http2Server {
    const server = createServer({
      settings: settingsOf(this.#limits),
      maxHeaderListPairs: maxFields(this.#limits),
      // What a backend may say is limited where it is read. For each byte of it nghttp2 allots
      // up to 13 to be sent, and beyond its own limit breaks off the whole connection.
      maxSendHeaderBlockLength: 16 * 1024 * 1024,
    })
    server.on('session', session => this.#open(session))
    server.on('sessionError', () => {})
    return server
  }

  #open(session: ServerHttp2Session): void {
    const connection = this.#arriving as ClientConnection
    const own = new Http2Connection(connection, session, systemClock.monotonic())
    this.#connections.add(own)
    session.setLocalWindowSize(connectionWindow)
    connection.socket.on('close', () => this.#connections.delete(own))
    session.on('error', (error: Error & { code?: string }) => {
      // What nghttp2 could not read. There is no stream to answer on: GOAWAY it was.
      const { code } = error
      if (code === 'ERR_HTTP2_ERROR')
        this.#onUnreadable({ connection, status: 400, code })
    })
    const onStream = (
      stream: ServerHttp2Stream,
      _fields: object,
      flags: number,
      rawFields: string[],
    ) => {
      const endStream = (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0
      this.#onExchange(new Http2Exchange(connection, stream, rawFields, endStream))
    }
    session.on('stream', onStream as (stream: ServerHttp2Stream) => void)
    if (this.#draining) own.close()
  }
}

/**
 * Fields of a request that Node hands over; it resets the stream for more without a word to
 * anybody. Its default is 128, and browsers send each cookie as a field of its own. Our limit
 * is one on bytes, of which all fields but cookies take at least 5 (request-handler.ts). Eight
 * times that: up to where nghttp2 ends the connection, at 9 frames of 16 KiB, 431 is to be said
 * and logged.
 */
function maxFields({ maxHeaderBytes }: Limits): number {
  return 8 * Math.ceil(maxHeaderBytes / 5)
}

function settingsOf(limits: Limits): Settings {
  return {
    enableConnectProtocol: true,
    enablePush: false,
    maxConcurrentStreams: limits.maxStreams,
    initialWindowSize: streamWindow,
    // Counts 32 bytes for each field (RFC 9113 6.5.2).
    maxHeaderListSize: 8 * limits.maxHeaderBytes + 32 * maxFields(limits),
  }
}
