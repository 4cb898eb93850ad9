import type { Selection } from './selection.ts'

/** Backends in turn. */
export class Rotation<Backend> implements Selection<Backend> {
  readonly #members: readonly Backend[]
  #next = 0

  constructor(members: readonly Backend[]) {
    this.#members = members
  }

  *candidates(): Generator<Backend, undefined> {
    const members = this.#members
    const start = this.#next
    this.#next = (start + 1) % Math.max(1, members.length)
    for (let i = 0; i < members.length; i++) {
      yield members[(start + i) % members.length] as Backend
    }
    return undefined
  }
}
