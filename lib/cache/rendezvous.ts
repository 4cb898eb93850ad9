import type { TableId } from '../record/key.ts'

/**
 * Who of some members owns a key: the `first` few of an order that is another for each key
 * (rendezvous hashing, Thaler and Ravishankar 1998). Whoever knows the same names and the same
 * seed gets the same order, whatever it knew before, and a member that comes or goes changes the
 * order of no two others.
 */
export class Rendezvous {
  readonly #seed: number
  readonly #members: readonly { readonly id: string; readonly hash: number }[]

  /** `seed`: 32 bits that strangers don't know, so that they can't aim at a member. */
  constructor(seed: number, ids: readonly string[]) {
    this.#seed = seed
    this.#members = ids.map(id => ({ id, hash: hashBytes(seed, Buffer.from(id)) }))
  }

  /** The first `count` in the order of this key, or all where there are fewer. */
  first(table: TableId, key: Buffer, count: number): string[] {
    const keyHash = hashBytes(this.#seed ^ table, key)
    const best: { id: string; score: number }[] = []
    for (const { id, hash } of this.#members) {
      const score = mix(mix(keyHash ^ hash) + hash)
      const last = best[count - 1]
      if (last !== undefined && !isBefore({ id, score }, last)) continue
      let at = Math.min(best.length, count - 1)
      for (; at > 0; at -= 1) {
        const before = best[at - 1]
        if (before === undefined || isBefore(before, { id, score })) break
        best[at] = before
      }
      best[at] = { id, score }
    }
    return best.map(({ id }) => id)
  }
}

interface Scored {
  readonly id: string
  readonly score: number
}

/** Names are unique, so this orders any two. */
function isBefore(a: Scored, b: Scored): boolean {
  return a.score > b.score || (a.score === b.score && a.id < b.id)
}

/** FNV-1a, finished so that all bits depend on all bytes. */
function hashBytes(seed: number, bytes: Buffer): number {
  let state = (0x811c9dc5 ^ seed) >>> 0
  for (const byte of bytes) state = Math.imul(state ^ byte, 0x01000193)
  return mix(state)
}

/** The finisher of MurmurHash3. */
function mix(word: number): number {
  let mixed = word | 0
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b)
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35)
  return (mixed ^ (mixed >>> 16)) >>> 0
}
