import type { Clock } from '../../clock.ts'
import { TokenBucket } from '../../limit/token-bucket.ts'
import type { CacheRecord } from '../../record/record.ts'
import type { GetFrame } from '../../wire/frame-query.ts'
import type { InboundLink } from '../link/inbound-link.ts'
import type { Replica } from '../transport.ts'

/** Answers to one member: so many a second, as many at once. */
const rate = 20_000

/** Answers the questions of other members for single records, as far as each may ask. */
export class AnswerBudget {
  readonly #clock: Clock
  readonly #replica: Pick<Replica, 'read'>
  readonly #budgets = new WeakMap<InboundLink, TokenBucket>()
  given = 0
  refused = 0

  constructor(clock: Clock, replica: Pick<Replica, 'read'>) {
    this.#clock = clock
    this.#replica = replica
  }

  answer(link: InboundLink, { table, key }: GetFrame): CacheRecord | undefined {
    let budget = this.#budgets.get(link)
    if (budget === undefined) {
      budget = new TokenBucket(rate, rate)
      this.#budgets.set(link, budget)
    }
    if (!budget.take(this.#clock.monotonic())) {
      this.refused += 1
      return undefined
    }
    this.given += 1
    return this.#replica.read(table, key)
  }
}
