import type { Clock } from '../clock.ts'

/** A process that is busy is left out, ms. */
const patience = 500

/** Questions that some answer in time, and some not. */
export class Census {
  readonly #clock: Clock
  readonly #open = new Map<number, Question>()
  #last = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Asks `count` others with `ask`; resolves with what they have answered. */
  take(count: number, ask: (id: number) => void): Promise<object[]> {
    if (count === 0) return Promise.resolve([])
    this.#last += 1
    const id = this.#last
    return new Promise(resolve => {
      const timer = this.#clock.after(patience, () => this.#end(id))
      const end = (answers: object[]) => {
        timer.cancel()
        resolve(answers)
      }
      this.#open.set(id, { count, answers: [], end })
      ask(id)
    })
  }

  answer(id: number, answer: object): void {
    const question = this.#open.get(id)
    if (question === undefined) return
    question.answers.push(answer)
    if (question.answers.length === question.count) this.#end(id)
  }

  #end(id: number): void {
    const question = this.#open.get(id)
    this.#open.delete(id)
    question?.end(question.answers)
  }
}

interface Question {
  readonly count: number
  readonly answers: object[]
  readonly end: (answers: object[]) => void
}
