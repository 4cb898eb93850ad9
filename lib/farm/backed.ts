import type { Backing } from './transport.ts'

/** Between two looks at whether what came is backed, ms. */
export const backedPause = 2

/**
 * How much of what came from one member may be acknowledged: what is backed, where something is
 * to back it. Numbers are those under which the member is told. One step is waited for at a time,
 * with all that came before it; what comes meanwhile is the next.
 */
export class Backed {
  #upTo = 0
  #next: { readonly upTo: number; readonly given: number } | undefined

  /** Up to where, of what is applied up to `applied`, which may go back. */
  upTo(applied: number, backing: Backing | undefined): number {
    if (backing === undefined) return applied
    const { given, stored } = backing
    this.#upTo = Math.min(this.#upTo, applied)
    if (this.#next !== undefined && stored >= this.#next.given) {
      this.#upTo = Math.min(this.#next.upTo, applied)
      this.#next = undefined
    }
    if (stored >= given) this.#upTo = applied
    else if (applied > this.#upTo) this.#next ??= { upTo: applied, given }
    return this.#upTo
  }
}
