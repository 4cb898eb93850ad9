import type { DispatchCall } from './dispatch.ts'

/** A call that is handed out before it is made: what is said to it meanwhile is said then. */
export class DeferredCall implements DispatchCall {
  #call: DispatchCall | undefined
  #paused = false
  #aborted: Error | undefined
  #bodyArrived = false

  /** To be called once. What was given up meanwhile is not begun. */
  begin(start: () => DispatchCall, onError: (error: Error) => void): void {
    if (this.#aborted !== undefined) {
      onError(this.#aborted)
      return
    }
    const call = start()
    this.#call = call
    if (this.#bodyArrived) call.bodyArrived()
    if (this.#paused) call.pause()
  }

  get backend(): string | undefined {
    return this.#call?.backend
  }

  get resumptions(): number {
    return this.#call?.resumptions ?? 0
  }

  abort(reason: Error): void {
    this.#aborted ??= reason
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
    this.#bodyArrived = true
    this.#call?.bodyArrived()
  }
}
