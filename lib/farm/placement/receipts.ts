import type { ControlMessage } from '../../wire/control-message.ts'
import { Backed, backedPause } from '../backed.ts'
import type { Replica } from '../transport.ts'
import { DueQueue } from './due-queue.ts'

/** Ms until copies are acknowledged for which nobody waits ... */
const restful = 25
/** ... or so many have come. */
const fullLength = 64

interface Receipt {
  last: number
  said: number
  refused: number[]
  readonly backed: Backed
}

/** What others gave this member to hold, and when that is acknowledged. */
export class Receipts {
  readonly #replica: Pick<Replica, 'backing'>
  readonly #receipts = new Map<string, Receipt>()
  readonly #due = new DueQueue<string>()
  /** Those that wait for what backs the copies. */
  readonly #held = new DueQueue<string>()
  readonly #urgent = new Set<string>()

  constructor(replica: Pick<Replica, 'backing'>) {
    this.#replica = replica
  }

  /** When `take` is wanted. Never before the turn of the event loop ends. */
  deadline(now: number): number {
    if (this.#urgent.size > 0) return now
    return Math.min(this.#due.deadline, this.#held.deadline)
  }

  /** A connection stands: the numbers of what comes over it begin anew. */
  up(from: string): void {
    this.down(from)
    this.#receipts.set(from, { last: 0, said: 0, refused: [], backed: new Backed() })
  }

  down(from: string): void {
    this.#receipts.delete(from)
    this.#urgent.delete(from)
    this.#due.delete(from)
    this.#held.delete(from)
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
    const due = new Set([
      ...this.#urgent,
      ...this.#due.take(now),
      ...this.#held.take(now),
    ])
    this.#urgent.clear()
    const messages: { to: string; message: ControlMessage }[] = []
    for (const to of due) {
      const receipt = this.#receipts.get(to)
      this.#due.delete(to)
      if (receipt === undefined) continue
      const upTo = receipt.backed.upTo(receipt.last, this.#replica.backing)
      if (upTo < receipt.last) this.#held.add(to, now + backedPause)
      if (upTo === receipt.said) continue
      receipt.said = upTo
      const refused = receipt.refused.filter(number => number <= upTo)
      receipt.refused = receipt.refused.filter(number => number > upTo)
      messages.push({ to, message: { type: 'taken', upTo, refused } })
    }
    return messages
  }
}
