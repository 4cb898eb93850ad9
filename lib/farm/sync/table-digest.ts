import type { CacheRecord } from '../../record/record.ts'
import { buckets, digestLength } from '../../wire/digest-length.ts'
import type { Replica } from '../transport.ts'

/** Records this close to their end, ms, may be gone on one side already. */
const expirySlack = 2_000
/** Records hashed in one step, about 2 ms. */
const stepLength = 1_000

/** Computes the digest of a table in bounded steps, while it is being written to. */
export class TableDigest {
  readonly #replica: Replica
  readonly #digest = new Uint32Array(buckets * 2)
  #cursor: object | undefined
  #done = false
  #records = 0

  constructor(replica: Replica) {
    this.#replica = replica
  }

  /** Records looked at. */
  get records(): number {
    return this.#records
  }

  /** Does a part of the work. True when all is done. `wall`: wall time in ms. */
  step(wall: number): boolean {
    if (this.#done) return true
    const { records, next } = this.#replica.scan(this.#cursor, stepLength)
    this.#records += records.length
    for (const record of records)
      if (record.expiresAt > wall + expirySlack) this.#add(record)
    this.#cursor = next
    this.#done = next === undefined
    return this.#done
  }

  bytes(): Buffer {
    const bytes = Buffer.alloc(digestLength)
    this.#digest.forEach((word, i) => {
      bytes.writeUInt32BE(word, i * 4)
    })
    return bytes
  }

  #add(record: CacheRecord): void {
    const bucket = bucketOf(record)
    const first = hash(hashVersion(0x811c9dc5, record), record.key)
    const second = hash(hashVersion(0x9e3779b9, record), record.key)
    this.#digest[bucket * 2] = (this.#digest[bucket * 2] ?? 0) ^ first
    this.#digest[bucket * 2 + 1] = (this.#digest[bucket * 2 + 1] ?? 0) ^ second
  }
}

export function bucketOf(record: CacheRecord): number {
  return hash(record.table, record.key) % buckets
}

/** The buckets in which two digests differ. */
export function differingBuckets(a: Buffer, b: Buffer): Set<number> {
  const differing = new Set<number>()
  for (let bucket = 0; bucket < buckets; bucket++)
    if (a.compare(b, bucket * 8, bucket * 8 + 8, bucket * 8, bucket * 8 + 8) !== 0)
      differing.add(bucket)
  return differing
}

function hashVersion(seed: number, record: CacheRecord): number {
  const { ms, logical, node } = record.version
  let state = mix(seed, record.table | (record.tombstone ? 0x100 : 0))
  state = mix(state, Math.floor(ms / 2 ** 32))
  state = mix(state, ms % 2 ** 32)
  return mix(state, (logical << 16) | node)
}

function hash(seed: number, key: Buffer): number {
  let state = seed
  for (const byte of key) state = Math.imul(state ^ byte, 0x01000193)
  return mix(state, key.length)
}

/** The finisher of MurmurHash3 around each word. */
function mix(state: number, word: number): number {
  let mixed = Math.imul(state ^ word, 0x85ebca6b)
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35)
  return (mixed ^ (mixed >>> 16)) >>> 0
}
