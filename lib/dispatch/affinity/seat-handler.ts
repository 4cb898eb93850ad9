import type { Duplex } from 'node:stream'
import { HandlerAround } from '../around/handler-around.ts'
import type { DispatchHandler } from '../dispatch.ts'

/** Tells which backend has answered, and the client of its new place. */
export class SeatHandler extends HandlerAround {
  readonly #seated: () => string | undefined

  /** `seated`: called when a backend has answered; a Set-Cookie, if there has to be one. */
  constructor(handler: DispatchHandler, seated: () => string | undefined) {
    super(handler)
    this.#seated = seated
  }

  override onResponse(
    status: number,
    text: string,
    fields: string[],
    last?: boolean,
  ): void {
    this.#tell(fields)
    super.onResponse(status, text, fields, last)
  }

  override onUpgrade(fields: string[], socket: Duplex): void {
    this.#tell(fields)
    super.onUpgrade(fields, socket)
  }

  #tell(fields: string[]): void {
    const cookie = this.#seated()
    if (cookie === undefined) return
    // No cache in front may give one client's place to all.
    fields.push('Set-Cookie', cookie, 'Cache-Control', 'private')
  }
}
