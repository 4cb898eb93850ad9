import type { Version } from '../../record/version.ts'

/** By how much versions of members may differ that were written at one time, ms. */
export const versionSlack = 60_000

/**
 * Which records every member has, for no repository was there when they were written. Others, that
 * no repository has, only those have that they came to.
 */
export class WideWrites {
  /** Version times of this member, ms; both excluded. */
  #from = 0
  #to = Infinity
  /** Of versions that are given here. */
  #node: number | undefined

  /** No repository is there for this record of ours, and everybody is to have it. */
  wide({ ms }: Version): void {
    if (this.#to === Infinity && this.#from < Infinity) return
    this.#from = ms
    this.#to = Infinity
  }

  /** One of ours goes to repositories alone, which may be gone before they are missed. */
  narrow({ ms, node }: Version): void {
    this.#node = node
    this.#to = Math.min(this.#to, ms)
  }

  /** A repository has all that is here. */
  given(): void {
    this.#from = Infinity
    this.#to = Infinity
  }

  /** Exact for what was written here. Others have other clocks, and give what is theirs themselves. */
  has({ ms, node }: Version): boolean {
    const slack = node === this.#node ? 0 : versionSlack
    return ms > this.#from - slack && ms < this.#to + slack
  }
}
