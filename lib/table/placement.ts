import { createHash } from 'node:crypto'
import type { TableId } from '../record/key.ts'
import { BuzHash, buzhashSeedLength } from './buzhash.ts'

/** Members whose hash is kept at hand. */
const mostMembers = 1024

/**
 * Which members a record belongs to: rendezvous hashing (Thaler and Ravishankar, 1998). Every
 * member is scored against the key and the highest scores win, so that a member that leaves
 * moves only its own records. All members must come to the same answer, so this hash, unlike
 * that of the table, has words that are the same in the whole farm.
 */
export class Placement {
  readonly #hash: BuzHash
  readonly #members = new Map<string, { low: number; high: number }>()

  /** `seed`: the same on every member. A secret keeps outsiders from aiming at one member. */
  constructor(seed: string | Buffer = 'handfast placement 1') {
    this.#hash = new BuzHash(expand(seed))
  }

  /** The `copies` best members for a key, best first, whatever order they are named in. */
  owners(
    table: TableId,
    key: Uint8Array,
    members: readonly string[],
    copies: number,
  ): string[] {
    this.#hash.update(table, key, 0, key.length)
    const { low, high } = this.#hash
    const scored = members.map(id => {
      const member = this.#member(id)
      return { id, score: score(low ^ member.low, high ^ member.high) }
    })
    scored.sort((a, b) => b.score - a.score || (a.id < b.id ? -1 : 1))
    return scored.slice(0, copies).map(({ id }) => id)
  }

  #member(id: string): { low: number; high: number } {
    let member = this.#members.get(id)
    if (member === undefined) {
      const bytes = Buffer.from(id)
      this.#hash.update(0, bytes, 0, bytes.length)
      member = { low: this.#hash.low, high: this.#hash.high }
      if (this.#members.size >= mostMembers) this.#members.clear()
      this.#members.set(id, member)
    }
    return member
  }
}

/** 53 well-mixed bits of the two halves: an exact number, so that all machines agree. */
function score(low: number, high: number): number {
  let a = low
  let b = high
  for (let round = 0; round < 2; round += 1) {
    a = Math.imul(a ^ (b >>> 16), 0x85ebca6b)
    b = Math.imul(b ^ (a >>> 13), 0xc2b2ae35)
    a ^= b >>> 16
  }
  return (a >>> 0) * 0x20_0000 + (b >>> 11)
}

function expand(seed: string | Buffer): Buffer {
  const blocks: Buffer[] = []
  for (let i = 0; i * 32 < buzhashSeedLength; i += 1) {
    blocks.push(createHash('sha256').update(`${i}:`).update(seed).digest())
  }
  return Buffer.concat(blocks)
}
