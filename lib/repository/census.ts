import type { Clock } from '../clock.ts'

/** Longest wait for the processes of a host, ms. Who asks the hub waits for its wait, too. */
export const censusPatience = 500

/**
 * Questions that some answer in time, and some not. Of one that is busy counts what it said last:
 * without it sums would fall, and who compares counters would take that for a restart.
 */
export class Census<Asked extends object> {
  readonly #clock: Clock
  readonly #patience: number
  readonly #open = new Map<number, Question<Asked>>()
  /** What each said last. */
  readonly #said = new WeakMap<Asked, object>()
  #last = 0

  constructor(clock: Clock, patience: number = censusPatience) {
    this.#clock = clock
    this.#patience = patience
  }

  /** Asks these with `ask`; resolves with what each has answered, now or before. */
  take(asked: readonly Asked[], ask: (id: number) => void): Promise<object[]> {
    if (asked.length === 0) return Promise.resolve([])
    this.#last += 1
    const id = this.#last
    return new Promise(resolve => {
      const end = () => {
        timer.cancel()
        this.#open.delete(id)
        const said = asked.map(one => this.#said.get(one))
        resolve(said.filter(answer => answer !== undefined))
      }
      const timer = this.#clock.after(this.#patience, end)
      this.#open.set(id, { missing: new Set(asked), end })
      ask(id)
    })
  }

  answer(id: number, from: Asked, answer: object): void {
    this.#said.set(from, answer)
    const question = this.#open.get(id)
    if (question === undefined) return
    question.missing.delete(from)
    if (question.missing.size === 0) question.end()
  }
}

interface Question<Asked> {
  readonly missing: Set<Asked>
  readonly end: () => void
}
