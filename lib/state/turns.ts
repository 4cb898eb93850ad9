/**
 * One change of a key at a time in this process, so that a hot key costs its changes no tries
 * against each other. Nobody waits longer than `budget` ms for a turn: the database decides who was
 * first anyway.
 */
export class Turns {
  readonly #budget: number
  /** The end of the last one in the row. */
  readonly #rows = new Map<string, Promise<unknown>>()

  constructor(budget: number) {
    this.#budget = budget
  }

  async take<T>(name: string, work: () => Promise<T>): Promise<T> {
    const before = this.#rows.get(name)
    const mine = before === undefined ? work() : this.#after(before).then(work)
    const settled = mine.catch(() => {})
    this.#rows.set(name, settled)
    try {
      return await mine
    } finally {
      if (this.#rows.get(name) === settled) this.#rows.delete(name)
    }
  }

  #after(before: Promise<unknown>): Promise<unknown> {
    return new Promise(resolve => {
      const timer = setTimeout(resolve, this.#budget, undefined)
      timer.unref()
      void before.then(() => {
        clearTimeout(timer)
        resolve(undefined)
      })
    })
  }
}
