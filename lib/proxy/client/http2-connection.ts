import type { ServerHttp2Session } from 'node:http2'
import { hasEnded } from '../../http2-ended.ts'
import type { Limits } from '../options.ts'
import type { ClientConnection } from './client-connection.ts'
import { lingerTime } from './linger.ts'

/**
 * The session of one connection, and its clock. That of Node (`session.setTimeout`) does not
 * do: it strikes once, maybe while a request is open, and never again; and after a connection
 * error, or where the client takes no bytes, all it could do is `close()`, which waits.
 */
export class Http2Connection {
  readonly #connection: ClientConnection
  readonly #session: ServerHttp2Session
  #bytes = 0
  #quietSince: number
  #overSince: number | undefined

  constructor(connection: ClientConnection, session: ServerHttp2Session, now: number) {
    this.#connection = connection
    this.#session = session
    this.#quietSince = now
  }

  /** GOAWAY: open streams go on, new ones are for another connection. */
  close(): void {
    this.#session.close()
  }

  /** To be called over and over, with the time in milliseconds. */
  check(now: number, limits: Limits): void {
    const { socket, exchanges } = this.#connection
    const session = this.#session
    if (session.destroyed || hasEnded(session)) {
      session.destroy()
      // Node waits for the client to end its side too, for ever.
      this.#overSince ??= now
      const patience = socket.writableFinished ? lingerTime : limits.bodyTimeout
      if (now - this.#overSince >= patience) socket.destroy()
      return
    }
    const bytes = socket.bytesRead + socket.bytesWritten
    if (exchanges.size > 0 || bytes !== this.#bytes) {
      this.#bytes = bytes
      this.#quietSince = now
      return
    }
    const quiet = now - this.#quietSince
    if (quiet >= limits.idleTimeout) session.close()
    // The client takes no bytes, so that GOAWAY can't be sent.
    if (session.closed && quiet >= limits.idleTimeout + lingerTime) socket.destroy()
  }
}
