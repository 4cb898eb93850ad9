import type { Choice } from './selection/selection.ts'

export interface CandidateWishes<Backend> {
  /** To be asked before all others: it knows the client already. */
  readonly first?: Backend | undefined
  /** To be asked when there is no other. */
  readonly avoid?: Backend | undefined
  /** Not to be asked at all. */
  readonly except?: Backend | undefined
}

/**
 * The backends that one request may go to, one after the other, as they are selected.
 *
 * While nothing of the request has been sent it may go to all of them. Once sent and lost it may
 * be sent again so often, and to the one that lost it only after all others.
 */
export class Candidates<Backend> {
  readonly #selected: Choice<Backend>
  readonly #first: Backend | undefined
  readonly #avoid: Backend | undefined
  readonly #except: Backend | undefined
  #asked = false
  #avoided: Backend | undefined
  #lost: Backend | undefined
  #retries = 0

  constructor(
    selected: Choice<Backend>,
    { first, avoid, except }: CandidateWishes<Backend> = {},
  ) {
    this.#selected = selected
    this.#first = first
    this.#avoid = avoid
    this.#except = except
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
      if (backend === this.#first || backend === this.#except) continue
      if (backend !== this.#avoid) return backend
      this.#avoided = backend
    }
    const last = this.#avoided ?? this.#lost
    if (last === this.#lost) this.#lost = undefined
    this.#avoided = undefined
    return last
  }

  /**
   * Grants one more try, of `most`, after the request has been lost. `backend`: the one that lost
   * it, which may have it again when there is no other.
   */
  retry(most: number, backend?: Backend): boolean {
    if (this.#retries >= most) return false
    this.#retries += 1
    this.#lost = backend
    return true
  }

  /** The request has been lost before. */
  get retrying(): boolean {
    return this.#retries > 0
  }
}
