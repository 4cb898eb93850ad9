import { type Clock, systemClock } from '../../clock.ts'
import type { DispatchHandler } from '../dispatch.ts'
import { HandlerAround } from './handler-around.ts'

/** Tells how long the backend took to answer, from when the request was sent to it. */
export class TimedHandler extends HandlerAround {
  readonly #clock: Clock
  readonly #observe: (ms: number) => void
  #sentAt = 0

  constructor(
    handler: DispatchHandler,
    observe: (ms: number) => void,
    clock: Clock = systemClock,
  ) {
    super(handler)
    this.#clock = clock
    this.#observe = observe
  }

  override onSend(): void {
    this.#sentAt = this.#clock.monotonic()
    super.onSend()
  }

  override onResponse(
    status: number,
    text: string,
    fields: string[],
    last?: boolean,
  ): void {
    this.#observe(this.#clock.monotonic() - this.#sentAt)
    super.onResponse(status, text, fields, last)
  }
}
