import {
  constants,
  createServer,
  type Http2Server,
  type ServerHttp2Session,
  type ServerHttp2Stream,
  type Settings,
} from 'node:http2'
import type { Connection } from './connection.ts'
import type { Exchange } from './exchange.ts'
import { Http2Exchange } from './http2-exchange.ts'
import type { Limits } from './options.ts'

/**
 * Bytes of a body that a client may send ahead. With the 64 KiB of RFC 9113 an upload over a
 * line of 100 ms would never be faster than 640 KB/s.
 */
const streamWindow = 256 * 1024
const connectionWindow = 1024 * 1024

/** HTTP/2 on connections that are handed in. */
export class Http2 {
  readonly #server: Http2Server
  readonly #sessions = new Set<ServerHttp2Session>()
  readonly #onExchange: (exchange: Exchange) => void
  #arriving: Connection | undefined
  #limits: Limits
  #draining = false

  constructor(limits: Limits, onExchange: (exchange: Exchange) => void) {
    this.#limits = limits
    this.#onExchange = onExchange
    this.#server = createServer({
      settings: settingsOf(limits),
      // What a backend may say is limited where it is read. For each byte of it nghttp2 allots
      // up to 13 to be sent, and beyond its own limit breaks off the whole connection.
      maxSendHeaderBlockLength: 16 * 1024 * 1024,
    })
    this.#server.on('session', session => this.#open(session))
    this.#server.on('sessionError', () => {})
  }

  accept(connection: Connection): void {
    // The session is made, and its event emitted, before this returns.
    this.#arriving = connection
    this.#server.emit('connection', connection.socket)
  }

  setLimits(limits: Limits): void {
    this.#limits = limits
    this.#server.updateSettings(settingsOf(limits))
  }

  /** GOAWAY: open streams go on, new ones are for another connection. */
  drain(): void {
    this.#draining = true
    for (const session of this.#sessions) session.close()
  }

  #open(session: ServerHttp2Session): void {
    const connection = this.#arriving as Connection
    this.#sessions.add(session)
    session.setLocalWindowSize(connectionWindow)
    session.on('close', () => this.#sessions.delete(session))
    session.on('error', () => {})
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
    session.setTimeout(this.#limits.idleTimeout, () => {
      if (connection.exchanges.size === 0) session.close()
    })
    if (this.#draining) session.close()
  }
}

function settingsOf(limits: Limits): Settings {
  return {
    enableConnectProtocol: true,
    enablePush: false,
    maxConcurrentStreams: limits.maxStreams,
    initialWindowSize: streamWindow,
    maxHeaderListSize: 2 * limits.maxHeaderBytes,
  }
}
