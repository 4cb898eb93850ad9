/** What choosing needs to know of a backend. */
export interface Candidate {
  /** False for one that failed a moment ago. */
  readonly ready: boolean
}

/**
 * Backends in turn. Each request gets all of them as a list of candidates, first choice first,
 * so that whoever asks can go on to the next. Those that are not ready come last instead of
 * never: when all of them are down, trying one beats giving up.
 */
export class Rotation<T extends Candidate> {
  readonly #members: readonly T[]
  #next = 0

  constructor(members: readonly T[]) {
    this.#members = members
  }

  candidates(): T[] {
    const start = this.#next
    this.#next = (start + 1) % Math.max(1, this.#members.length)
    const turn = [...this.#members.slice(start), ...this.#members.slice(0, start)]
    return [
      ...turn.filter(member => member.ready),
      ...turn.filter(member => !member.ready),
    ]
  }
}
