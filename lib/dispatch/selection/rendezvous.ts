import { createHash } from 'node:crypto'
import type { Choosable, Member, Policy } from './policy.ts'

/** What a request is hashed by; undefined where it does not say. */
export type HashKey = (request: Choosable) => string | undefined

/**
 * The same backend for the same key, on every proxy alike, with no table. One that goes leaves
 * its keys to all others by weight, one that comes takes from each of them, and no other key
 * moves: weighted rendezvous hashing (Thaler and Ravishankar, 1998; weights: Schindelhauer and
 * Schomaker, 2005).
 */
export class Rendezvous implements Policy {
  readonly #keyOf: HashKey
  readonly #otherwise: Policy

  /** `otherwise`: for requests without a key. */
  constructor(keyOf: HashKey, otherwise: Policy) {
    this.#keyOf = keyOf
    this.#otherwise = otherwise
  }

  pick<M extends Member>(members: readonly M[], request: Choosable): M {
    const key = this.#keyOf(request)
    if (key === undefined) return this.#otherwise.pick(members, request)
    return best(members, key)
  }
}

/** Of one key. */
export function keyPolicy(key: string): Policy {
  return { pick: members => best(members, key) }
}

/** Of several members the one that has the key. */
function best<M extends Member>(members: readonly M[], key: string): M {
  let found = members[0] as M
  let most = -1
  for (const member of members) {
    // Of independent exponential times with these rates, the shortest: as likely as its weight.
    const score = member.weight / -Math.log(drawn(key, member.origin))
    if (score > most) {
      most = score
      found = member
    }
  }
  return found
}

/** Between 0 and 1, neither included. */
function drawn(key: string, origin: string): number {
  // The lengths keep the two apart, and a client that chooses keys can't aim at a backend
  // without work: it would have to find many that hash alike.
  const text = `${key.length}:${key}${origin}`
  const hash = createHash('sha1').update(text).digest()
  return (hash.readUIntBE(0, 6) + 0.5) / 2 ** 48
}
