import type { Choice } from './selection/selection.ts'

export interface CandidateWishes<Backend> {
  /** To be asked before all others: it knows the client already. */
  readonly first?: Backend | undefined
  /** To be asked when there is no other. */
  readonly avoid?: Backend | undefined
}

/**
 * The backends that one request may go to, one after the other, as they are selected.
 *
 * While nothing of the request has been sent it may go to all of them. One that was sent and lost
 * goes to the one that lost it only after all others, but for one that holds the client.
 */
export class Candidates<Backend> {
  readonly #selected: Choice<Backend>
  readonly #first: Backend | undefined
  readonly #avoid: Backend | undefined
  #asked = false
  #avoided: Backend | undefined
  #lost: Backend | undefined
  #onceMore: Backend | undefined

  constructor(
    selected: Choice<Backend>,
    { first, avoid }: CandidateWishes<Backend> = {},
  ) {
    this.#selected = selected
    this.#first = first
    this.#avoid = avoid
  }

  /** Undefined when there is nobody left to ask. */
  next(): Backend | undefined {
    const again = this.#onceMore
    this.#onceMore = undefined
    if (again !== undefined) return again
    if (!this.#asked) {
      this.#asked = true
      if (this.#first !== undefined) return this.#first
    }
    for (;;) {
      const backend = this.#selected.next()
      if (backend === undefined) break
      if (backend === this.#first) continue
      if (backend !== this.#avoid) return backend
      this.#avoided = backend
    }
    const last = this.#avoided ?? this.#lost
    if (last === this.#lost) this.#lost = undefined
    this.#avoided = undefined
    return last
  }

  /** One that is to be asked had no room. */
  full(backend: Backend): void {
    this.#selected.full(backend)
  }

  /** The request is to go there before all others: it has had it, and may not have heard it. */
  onceMore(backend: Backend): void {
    this.#onceMore = backend
  }

  /** The request has been lost there, which may have it again when there is no other. */
  lostAt(backend: Backend): void {
    this.#lost = backend
  }
}
