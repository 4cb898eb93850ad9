import type { Choice } from './selection/selection.ts'

/** What passing over needs to know of a backend. */
interface Candidate {
  /** False for one that failed a moment ago. */
  readonly ready: boolean
}

/**
 * The backends that one request may go to, one after the other. Those that are not ready come
 * last instead of never: when all of them are down, trying one beats giving up.
 *
 * While nothing of the request has been sent it may go to all of them. Once sent and lost it may
 * be sent once more, and to the one that lost it only after all others: RFC 9110 9.2.2, a failed
 * automatic retry is not retried.
 */
export class Candidates<Backend extends Candidate> {
  readonly #selected: Choice<Backend>
  readonly #first: Backend | undefined
  readonly #avoid: Backend | undefined
  #asked = false
  #passedOver: Backend[] | undefined
  #lost: Backend | undefined
  #retrying = false

  /**
   * `first` is to be asked before all others: it knows the client already. `avoid` is to be asked
   * like one that is not ready.
   */
  constructor(selected: Choice<Backend>, first?: Backend, avoid?: Backend) {
    this.#selected = selected
    this.#first = first
    this.#avoid = avoid
  }

  /** Undefined when there is nobody left to ask. */
  next(): Backend | undefined {
    if (!this.#asked) {
      this.#asked = true
      if (this.#first !== undefined) return this.#first
    }
    for (;;) {
      const backend = this.#selected.next()
      if (backend === undefined) break
      if (backend === this.#first) continue
      if (backend.ready && backend !== this.#avoid) return backend
      this.#passedOver ??= []
      this.#passedOver.push(backend)
    }
    const last = this.#passedOver?.shift() ?? this.#lost
    if (last === this.#lost) this.#lost = undefined
    return last
  }

  /** Grants one more try after `backend` has lost the request; false when that has been. */
  retry(backend: Backend): boolean {
    if (this.#retrying) return false
    this.#retrying = true
    this.#lost = backend
    return true
  }

  /** The request has been lost once, and this is its last chance. */
  get retrying(): boolean {
    return this.#retrying
  }
}
