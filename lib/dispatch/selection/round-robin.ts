import type { Member, Policy } from './policy.ts'

/**
 * Each in turn, those of more weight more often, and spread out instead of in bursts: the smooth
 * weighted round-robin of nginx. Each gets its weight as credit, the richest is chosen and pays
 * for all.
 */
export class RoundRobin implements Policy {
  #turn = 0

  pick<M extends Member>(members: readonly M[]): M {
    const first = members[0] as M
    if (members.every(({ weight }) => weight === first.weight)) {
      this.#turn = (this.#turn + 1) % members.length
      return members[(this.#turn || members.length) - 1] as M
    }
    let total = 0
    let best = first
    for (const member of members) {
      total += member.weight
      member.credit += member.weight
      if (member.credit > best.credit) best = member
    }
    best.credit -= total
    return best
  }
}
