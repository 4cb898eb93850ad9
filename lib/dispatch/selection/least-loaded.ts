import type { Member, Policy } from './policy.ts'

/** What a backend costs now; the lower the better. */
export type Cost = (member: Member) => number

/**
 * The better one of two that are drawn (Mitzenmacher, "The power of two choices in randomized
 * load balancing", 2001): nearly as even as the best of all, and proxies that all see the same
 * best backend do not run there together.
 */
export class LeastLoaded implements Policy {
  readonly #cost: Cost
  readonly #random: () => number

  constructor(cost: Cost, random: () => number) {
    this.#cost = cost
    this.#random = random
  }

  pick<M extends Member>(members: readonly M[]): M {
    const first = Math.floor(this.#random() * members.length)
    const step = 1 + Math.floor(this.#random() * (members.length - 1))
    const one = members[first] as M
    const other = members[(first + step) % members.length] as M
    return this.#cost(other) < this.#cost(one) ? other : one
  }
}

/** Open requests by weight, the one to come included. */
export const openRequests: Cost = ({ backend, weight }) => (backend.inFlight + 1) / weight

/** Of a backend that has not answered yet but has requests: worse than any that has. */
const unknown = 1_000

/** How long a request would take, with those before it. */
export const expectedTime: Cost = ({ latency, backend: { inFlight }, weight }) => {
  const each = latency.measured ? latency.value : inFlight > 0 ? unknown : 0
  return ((each + Number.EPSILON) * (inFlight + 1)) / weight
}
