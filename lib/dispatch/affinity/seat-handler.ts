import type { Duplex } from 'node:stream'
import type { SlotLimit } from '../../backend/slots.ts'
import type { DispatchHandler } from '../dispatch.ts'

/** Tells which backend has answered, and the client of its new place. */
export class SeatHandler implements DispatchHandler {
  readonly #handler: DispatchHandler
  readonly #seated: () => string | undefined

  /** `seated`: called when a backend has answered; a Set-Cookie, if there has to be one. */
  constructor(handler: DispatchHandler, seated: () => string | undefined) {
    this.#handler = handler
    this.#seated = seated
  }

  onSend(): void {
    this.#handler.onSend()
  }

  onLimit(limit: SlotLimit): void {
    this.#handler.onLimit(limit)
  }

  onInform(status: number, fields: string[]): void {
    this.#handler.onInform(status, fields)
  }

  onResponse(status: number, text: string, fields: string[]): void {
    this.#tell(fields)
    this.#handler.onResponse(status, text, fields)
  }

  onData(chunk: Buffer): void {
    this.#handler.onData(chunk)
  }

  onEnd(trailers: string[]): void {
    this.#handler.onEnd(trailers)
  }

  onUpgrade(fields: string[], socket: Duplex): void {
    this.#tell(fields)
    this.#handler.onUpgrade(fields, socket)
  }

  onError(error: Error): void {
    this.#handler.onError(error)
  }

  #tell(fields: string[]): void {
    const cookie = this.#seated()
    if (cookie === undefined) return
    // No cache in front may give one client's place to all.
    fields.push('Set-Cookie', cookie, 'Cache-Control', 'private')
  }
}
