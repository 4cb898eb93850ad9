import type { EventEmitter } from 'node:events'
import { Server, type TLSSocket } from 'node:tls'
import type { Log } from '../../log.ts'
import { type SessionAnswers, SessionEvents } from './session-events.ts'

/**
 * A plain tls server may hand its sockets to an http server, which then makes itself their
 * `server`; and that is where Node raises `newSession`, in TLS 1.3 only after it was handed
 * over. This listens there too.
 */
export class HandedOver {
  readonly #server: Server
  readonly #answers: SessionAnswers
  readonly #log: Log
  readonly #followed = new Map<EventEmitter, SessionEvents>()
  /** https and http2 servers keep their sockets. */
  readonly #isPlain: boolean

  constructor(server: Server, answers: SessionAnswers, log: Log) {
    this.#server = server
    this.#answers = answers
    this.#log = log
    this.#isPlain = Object.getPrototypeOf(server) === Server.prototype
  }

  /** To be called before anybody else gets hold of the socket. */
  watch(socket: TLSSocket): void {
    if (!this.#isPlain) return
    let current: EventEmitter = this.#server
    Object.defineProperty(socket, 'server', {
      configurable: true,
      enumerable: true,
      get: () => current,
      set: (next: EventEmitter) => {
        current = next
        if (next === this.#server || this.#followed.has(next)) return
        this.#followed.set(next, new SessionEvents(next, this.#answers, this.#log))
      },
    })
  }

  close(): void {
    for (const heard of this.#followed.values()) heard.close()
    this.#followed.clear()
  }
}
