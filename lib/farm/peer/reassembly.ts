import type { Fragment } from '../../wire/datagram-batch.ts'

/** A fragment further than this beyond the first gap is refused: the repair brings it later. */
const reach = 1_024

interface Partial {
  readonly count: number
  readonly parts: (Buffer | undefined)[]
  missing: number
}

/**
 * Puts the fragments of one sender's records together. It holds at most `reach` datagrams; what
 * lies right behind the first gap is always taken, so it can't block itself.
 */
export class Reassembly {
  readonly #partials = new Map<number, Partial>()

  get size(): number {
    return this.#partials.size
  }

  /** The lowest number of a record that is not whole yet; Infinity when there is none. */
  get firstIncomplete(): number {
    return Math.min(Infinity, ...this.#partials.keys())
  }

  accepts(sequence: number, contiguous: number): boolean {
    return sequence <= contiguous + reach
  }

  /** The bytes of the whole record when this was its last missing part. */
  add(sequence: number, fragment: Fragment): Buffer | undefined {
    const first = sequence - fragment.index
    const partial = this.#partialOf(first, fragment.count)
    // Two records can't share a first number: the sender is broken, not the network.
    if (partial.count !== fragment.count) return undefined
    if (partial.parts[fragment.index] !== undefined) return undefined
    partial.parts[fragment.index] = fragment.bytes
    partial.missing -= 1
    if (partial.missing > 0) return undefined
    this.#partials.delete(first)
    return Buffer.concat(partial.parts.map(part => part ?? Buffer.alloc(0)))
  }

  /** Records that can't become whole: their numbers were skipped. */
  forget(contiguous: number): void {
    for (const [first, { count }] of this.#partials)
      if (first + count - 1 <= contiguous) this.#partials.delete(first)
  }

  #partialOf(first: number, count: number): Partial {
    const known = this.#partials.get(first)
    if (known !== undefined) return known
    const partial = { count, parts: new Array(count).fill(undefined), missing: count }
    this.#partials.set(first, partial)
    return partial
  }
}
