import type { Http2Session } from 'node:http2'
import type { Server } from 'node:tls'
import { hasEnded } from '../../http2-ended.ts'

/** Between two looks, in milliseconds. */
const period = 1_000

/**
 * Ends the connections of HTTP/2 servers on which HTTP/2 is over and Node has not noticed, see
 * http2-ended.ts. They would stay for ever, and with them what is known of their handshakes.
 */
export class EndedSessions {
  readonly #sessions = new Set<Http2Session>()
  #timer: NodeJS.Timeout | undefined

  /** Other kinds of servers have no such event. */
  watch(server: Server): void {
    server.on('session', this.#add)
  }

  leave(server: Server): void {
    server.off('session', this.#add)
  }

  close(): void {
    clearInterval(this.#timer)
    this.#sessions.clear()
  }

  readonly #add = (session: Http2Session): void => {
    this.#sessions.add(session)
    session.on('close', () => this.#sessions.delete(session))
    this.#timer ??= setInterval(() => this.#look(), period).unref()
  }

  #look(): void {
    for (const session of this.#sessions) {
      if (!hasEnded(session)) continue
      this.#sessions.delete(session)
      session.destroy()
    }
    if (this.#sessions.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }
}
