import type { ControlMessage } from '../../wire/control-message.ts'
import { DueQueue } from './due-queue.ts'

/** Ms until copies are acknowledged for which nobody waits ... */
const restful = 25
/** ... or so many have come. */
const fullLength = 64

interface Receipt {
  last: number
  said: number
  refused: number[]
}

/** What others gave this member to hold, and when that is acknowledged. */
export class Receipts {
  readonly #receipts = new Map<string, Receipt>()
  readonly #due = new DueQueue<string>()
  readonly #urgent = new Set<string>()

  /** When `take` is wanted. Never before the turn of the event loop ends. */
  deadline(now: number): number {
    return this.#urgent.size > 0 ? now : this.#due.deadline
  }

  /** A connection stands: the numbers of what comes over it begin anew. */
  up(from: string): void {
    this.down(from)
    this.#receipts.set(from, { last: 0, said: 0, refused: [] })
  }

  down(from: string): void {
    this.#receipts.delete(from)
    this.#urgent.delete(from)
    this.#due.delete(from)
  }

  /** False when what comes is not what comes next. */
  expects(from: string, first: number): boolean {
    return this.#receipts.get(from)?.last === first - 1
  }

  /** `refused`: numbers of those that are not in the table. */
  came(
    from: string,
    more: { count: number; refused: readonly number[]; prompt: boolean },
    now: number,
  ): void {
    const receipt = this.#receipts.get(from)
    if (receipt === undefined) return
    receipt.last += more.count
    for (const number of more.refused) receipt.refused.push(number)
    if (more.prompt || receipt.last - receipt.said >= fullLength) this.#urgent.add(from)
    else this.#due.add(from, now + restful)
  }

  /** The acknowledgements that are due. */
  take(now: number): { to: string; message: ControlMessage }[] {
    const due = new Set([...this.#urgent, ...this.#due.take(now)])
    this.#urgent.clear()
    const messages: { to: string; message: ControlMessage }[] = []
    for (const to of due) {
      const receipt = this.#receipts.get(to)
      this.#due.delete(to)
      if (receipt === undefined) continue
      receipt.said = receipt.last
      const refused = receipt.refused.splice(0)
      messages.push({ to, message: { type: 'taken', upTo: receipt.last, refused } })
    }
    return messages
  }
}
