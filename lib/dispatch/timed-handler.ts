import type { Duplex } from 'node:stream'
import type { SlotLimit } from '../backend/slots.ts'
import { type Clock, systemClock } from '../clock.ts'
import type { DispatchHandler } from './dispatch.ts'

/** Tells how long the backend took to answer, from when the request was sent to it. */
export class TimedHandler implements DispatchHandler {
  readonly #handler: DispatchHandler
  readonly #clock: Clock
  readonly #observe: (ms: number) => void
  #sentAt = 0

  constructor(
    handler: DispatchHandler,
    observe: (ms: number) => void,
    clock: Clock = systemClock,
  ) {
    this.#handler = handler
    this.#clock = clock
    this.#observe = observe
  }

  onSend(): void {
    this.#sentAt = this.#clock.monotonic()
    this.#handler.onSend()
  }

  onLimit(limit: SlotLimit): void {
    this.#handler.onLimit(limit)
  }

  onInform(status: number, fields: string[]): void {
    this.#handler.onInform(status, fields)
  }

  onResponse(status: number, text: string, fields: string[]): void {
    this.#observe(this.#clock.monotonic() - this.#sentAt)
    this.#handler.onResponse(status, text, fields)
  }

  onData(chunk: Buffer): void {
    this.#handler.onData(chunk)
  }

  onEnd(trailers: string[]): void {
    this.#handler.onEnd(trailers)
  }

  onUpgrade(fields: string[], socket: Duplex): void {
    this.#handler.onUpgrade(fields, socket)
  }

  onError(error: Error): void {
    this.#handler.onError(error)
  }
}
