import type { Duplex } from 'node:stream'
import { backendError } from '../../backend/failure.ts'
import type { Clock, Timer } from '../../clock.ts'
import type { DispatchCall, DispatchHandler } from '../dispatch.ts'
import { CallAround } from './call-around.ts'

/**
 * A request that is over at a fixed time, whatever it is at then: waiting for a backend, being
 * sent, or in the middle of its answer. A tunnel has begun in time, and stays.
 */
export class Deadline extends CallAround {
  readonly #timer: Timer
  #over = false

  /** `timeout` in milliseconds, from now. */
  constructor(handler: DispatchHandler, timeout: number, clock: Clock) {
    super(handler)
    this.#timer = clock.after(timeout, () => this.#late())
  }

  /** To be called once. */
  begin(call: DispatchCall): void {
    this.call = call
  }

  override onSend(): void {
    if (!this.#over) super.onSend()
  }

  override onInform(status: number, fields: string[]): void {
    if (!this.#over) super.onInform(status, fields)
  }

  override onResponse(
    status: number,
    text: string,
    fields: string[],
    last?: boolean,
  ): void {
    if (!this.#over) super.onResponse(status, text, fields, last)
  }

  override onData(chunk: Buffer): void {
    if (!this.#over) super.onData(chunk)
  }

  override onEnd(trailers: string[]): void {
    if (this.#ends()) super.onEnd(trailers)
  }

  override onUpgrade(fields: string[], socket: Duplex): void {
    if (this.#ends()) super.onUpgrade(fields, socket)
    else socket.destroy()
  }

  override onError(error: Error): void {
    if (this.#ends()) super.onError(error)
  }

  /** False when it has ended before. */
  #ends(): boolean {
    if (this.#over) return false
    this.#over = true
    this.#timer.cancel()
    return true
  }

  /** What is below may take its time with the end: a connection that is on its way, say. */
  #late(): void {
    if (!this.#ends()) return
    const error = backendError('request-timeout')
    this.call?.abort(error)
    super.onError(error)
  }
}
