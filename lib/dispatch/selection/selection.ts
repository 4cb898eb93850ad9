import type { DispatchRequest } from '../dispatch.ts'
import type { Choosable } from './policy.ts'

/**
 * Chooses among the backends of one dispatcher: by turns, weights, loads, latencies or a hash of
 * the request (`Policy`), one tier after the other. It passes over what is not ready as long as
 * anything else is, and leaves out what the operator drains.
 */
export interface Selection<Backend> {
  /** All of them, whatever their state. They may come and go. */
  readonly backends: readonly Backend[]
  /** Wants to be told how long backends take to answer, in milliseconds. */
  readonly observe?: ((origin: string | undefined, ms: number) => void) | undefined
  /** The backends that a request may go to. Called once per request; must not throw. */
  candidates(request: Choosing): Choice<Backend>
}

export type Choosing = Choosable &
  Pick<DispatchRequest, 'preference' | 'method' | 'upgrade' | 'duplex' | 'beside'>

/**
 * First choice first and each once. Usually no more than the first is taken, so it chooses as it
 * goes.
 */
export interface Choice<Backend> {
  /** Undefined when there is none left. */
  next(): Backend | undefined
  /**
   * One that was chosen had no room. When it is well it is waited for: what is there for when it is
   * not, a backup or one that is down itself, comes no more.
   */
  full(backend: Backend): void
}
