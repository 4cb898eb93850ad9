import type { DispatchCall } from '../dispatch.ts'
import { HandlerAround } from './handler-around.ts'

/**
 * A handler around another that hands out a call of its own, behind which there is one that is
 * made later, or made anew. What it was told holds for whichever is there.
 */
export class CallAround extends HandlerAround implements DispatchCall {
  #call: DispatchCall | undefined
  #paused = false

  /** The one that is under way. */
  protected get call(): DispatchCall | undefined {
    return this.#call
  }

  protected set call(call: DispatchCall) {
    this.#call = call
    if (this.#paused) call.pause()
  }

  get backend(): string | undefined {
    return this.#call?.backend
  }

  get resumptions(): number {
    return this.#call?.resumptions ?? 0
  }

  abort(reason: Error): void {
    this.#call?.abort(reason)
  }

  pause(): void {
    this.#paused = true
    this.#call?.pause()
  }

  resume(): void {
    this.#paused = false
    this.#call?.resume()
  }

  bodyArrived(): void {
    this.#call?.bodyArrived()
  }
}
