import type { AuthRequest } from './request.ts'

/** The requests of one connection that wait for the same answer. */
export class Waiters {
  #count = 0
  readonly #stops: (() => void)[] = []
  #onNone: (() => void) | undefined

  /** One more waits. One that can't tell when it is gone waits for as long as its connection. */
  join({ onGone }: AuthRequest): void {
    this.#count += 1
    const stop = onGone?.(() => {
      this.#count -= 1
      if (this.#count === 0) this.#onNone?.()
    })
    if (stop !== undefined) this.#stops.push(stop)
  }

  /** Calls back when nobody waits any more; answers how to stop listening. */
  onNone(listener: () => void): () => void {
    this.#onNone = listener
    return () => {
      this.#onNone = undefined
    }
  }

  /** The answer is there. */
  dismiss(): void {
    for (const stop of this.#stops.splice(0)) stop()
    this.#count = 0
  }
}
