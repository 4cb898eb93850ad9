import type { EventEmitter } from 'node:events'
import { Server, type TLSSocket } from 'node:tls'

type NewSessionListener = (id: Buffer, session: Buffer, done: () => void) => void

/**
 * A plain tls server may hand its sockets to an http server, which then makes itself their
 * `server`; and that is where Node raises `newSession`, in TLS 1.3 only after it was handed
 * over. This listens there too.
 */
export class HandedOver {
  readonly #server: Server
  readonly #listener: NewSessionListener
  readonly #followed = new Set<EventEmitter>()
  /** https and http2 servers keep their sockets. */
  readonly #isPlain: boolean

  constructor(server: Server, listener: NewSessionListener) {
    this.#server = server
    this.#listener = listener
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
        this.#followed.add(next)
        next.on('newSession', this.#listener)
      },
    })
  }

  close(): void {
    for (const server of this.#followed) server.off('newSession', this.#listener)
    this.#followed.clear()
  }
}
