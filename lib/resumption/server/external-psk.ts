import type { Server, TLSSocket } from 'node:tls'
import type { PendingHandshake } from '../session/pending-handshake.ts'

/**
 * A server with `pskCallback` shares keys with its clients. In TLS 1.3 OpenSSL takes the use of
 * such a key for a resumption, and so does Node: `isSessionReused()` is true, although no session
 * was there before (RFC 8446, 2.2: one extension serves both). What tells them apart is that the
 * owner was asked for the key, and gave it.
 */
export class ExternalPsk {
  readonly #server: Server
  /** Where Node keeps the callback. Not documented. */
  readonly #symbol: symbol | undefined

  constructor(server: Server) {
    this.#server = server
    this.#symbol = Object.getOwnPropertySymbols(server).find(
      ({ description }) => description === 'pskcallback',
    )
  }

  /** `seen` stands for the server for this one connection. */
  note(seen: object, handshake: PendingHandshake): void {
    if (this.#symbol === undefined) return
    const ask = Reflect.get(this.#server, this.#symbol) as PskCallback | undefined
    if (typeof ask !== 'function') return
    Object.defineProperty(seen, this.#symbol, {
      value(this: unknown, socket: TLSSocket, identity: string): unknown {
        const key = ask.call(this, socket, identity)
        if (key !== undefined && key !== null) handshake.externalPsk = true
        return key
      },
    })
  }
}

type PskCallback = (this: unknown, socket: TLSSocket, identity: string) => unknown
