import type { DispatchCall } from '../dispatch.ts'
import { CallAround } from './call-around.ts'

/** A call that is handed out before it is made: what is said to it meanwhile is said then. */
export class DeferredCall extends CallAround {
  #aborted: Error | undefined
  #bodyArrived = false

  /** To be called once. What was given up meanwhile is not begun. */
  begin(start: () => DispatchCall): void {
    if (this.#aborted !== undefined) {
      this.handler.onError(this.#aborted)
      return
    }
    this.call = start()
    if (this.#bodyArrived) super.bodyArrived()
  }

  override abort(reason: Error): void {
    this.#aborted ??= reason
    super.abort(reason)
  }

  override bodyArrived(): void {
    this.#bodyArrived = true
    super.bodyArrived()
  }
}
