import { type Life, lifeName } from './life.ts'

/**
 * The members that we are linked with, for whose acknowledgements a write may wait. One whose
 * link was cut is still present for a while: its link may stand again in a moment, and a
 * write that did not wait for it would then have been lost on it without a word.
 */
export class Presence {
  readonly #members = new Map<string, Present>()

  has(life: Life): boolean {
    return this.#members.has(lifeName(life))
  }

  linked({ id, incarnation }: Life, address: string): void {
    const life = { id, incarnation }
    this.#members.set(lifeName(life), { life, address, cutAt: undefined })
  }

  /** False when it was not present. */
  cut(life: Life, now: number): boolean {
    const present = this.#members.get(lifeName(life))
    if (present === undefined) return false
    present.cutAt = now
    return true
  }

  gone(life: Life): void {
    this.#members.delete(lifeName(life))
  }

  /** Those whose link was cut before `then`. */
  cutBefore(then: number): Life[] {
    return this.#find(({ cutAt }) => cutAt !== undefined && cutAt < then)
  }

  /** Those whose link to this address was cut. */
  cutAt(address: string): Life[] {
    return this.#find(
      present => present.cutAt !== undefined && present.address === address,
    )
  }

  /** Other runs of the same member. */
  formerRuns({ id, incarnation }: Life): Life[] {
    return this.#find(({ life }) => life.id === id && life.incarnation !== incarnation)
  }

  #find(wanted: (present: Present) => boolean): Life[] {
    return [...this.#members.values()].filter(wanted).map(({ life }) => life)
  }
}

interface Present {
  readonly life: Life
  readonly address: string
  /** Undefined while the link stands. */
  cutAt: number | undefined
}
