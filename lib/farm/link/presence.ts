import { type Origin, originName } from './origin.ts'

/**
 * The members that take our log, and for whose acknowledgements a write may wait. One whose
 * link was cut is still present for a while: its link may stand again in a moment, and a
 * write that did not wait for it would then have been lost on it without a word.
 */
export class Presence {
  readonly #members = new Map<string, Present>()

  get size(): number {
    return this.#members.size
  }

  has(origin: Origin): boolean {
    return this.#members.has(originName(origin))
  }

  /** By origin. */
  names(): Iterable<string> {
    return this.#members.keys()
  }

  linked({ id, incarnation }: Origin, address: string): void {
    const origin = { id, incarnation }
    this.#members.set(originName(origin), { origin, address, cutAt: undefined })
  }

  /** False when it was not present. */
  cut(origin: Origin, now: number): boolean {
    const present = this.#members.get(originName(origin))
    if (present === undefined) return false
    present.cutAt = now
    return true
  }

  gone(origin: Origin): void {
    this.#members.delete(originName(origin))
  }

  /** Those whose link was cut before `then`. */
  cutBefore(then: number): Origin[] {
    return this.#find(({ cutAt }) => cutAt !== undefined && cutAt < then)
  }

  /** Those whose link to this address was cut. */
  cutAt(address: string): Origin[] {
    return this.#find(
      present => present.cutAt !== undefined && present.address === address,
    )
  }

  /** Other runs of the same member. */
  formerRuns({ id, incarnation }: Origin): Origin[] {
    return this.#find(
      ({ origin }) => origin.id === id && origin.incarnation !== incarnation,
    )
  }

  #find(wanted: (present: Present) => boolean): Origin[] {
    return [...this.#members.values()].filter(wanted).map(({ origin }) => origin)
  }
}

interface Present {
  readonly origin: Origin
  readonly address: string
  /** Undefined while the link stands. */
  cutAt: number | undefined
}
