import type { Backing } from '../farm/transport.ts'

/** What was given to the disk of this host, and up to where all of it is there. */
export class DiskBacking implements Backing {
  #given = 0
  #stored = 0
  /** Behind one that is not there yet. */
  readonly #ahead = new Set<number>()

  get given(): number {
    return this.#given
  }

  get stored(): number {
    return this.#stored
  }

  /** `kept` resolves when the disk has the next record, or nobody is to wait for it any more. */
  give(kept: Promise<unknown>): void {
    this.#given += 1
    const number = this.#given
    const settle = () => this.#settle(number)
    kept.then(settle, settle)
  }

  #settle(number: number): void {
    if (number !== this.#stored + 1) {
      this.#ahead.add(number)
      return
    }
    this.#stored = number
    while (this.#ahead.delete(this.#stored + 1)) this.#stored += 1
  }
}
