import type { Selection } from './selection.ts'

/** Backends in turn. */
export class Rotation<Backend> implements Selection<Backend> {
  readonly #members: readonly Backend[]
  #next = 0

  constructor(members: readonly Backend[]) {
    this.#members = members
  }

  candidates(): Iterator<Backend, undefined> {
    const start = this.#next
    this.#next = (start + 1) % Math.max(1, this.#members.length)
    return new Turn(this.#members, start)
  }
}

class Turn<Backend> implements Iterator<Backend, undefined> {
  readonly #members: readonly Backend[]
  #at: number
  #left: number

  constructor(members: readonly Backend[], start: number) {
    this.#members = members
    this.#at = start
    this.#left = members.length
  }

  next(): IteratorResult<Backend, undefined> {
    if (this.#left === 0) return { done: true, value: undefined }
    const value = this.#members[this.#at] as Backend
    this.#left--
    this.#at = (this.#at + 1) % this.#members.length
    return { done: false, value }
  }
}
