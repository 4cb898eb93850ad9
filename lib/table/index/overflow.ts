import { bucketLength } from '../layout.ts'
import type { Memory } from '../segment/segments.ts'
import {
  type Chunk,
  chunkBits,
  chunkBuckets,
  chunkMask,
  newChunk,
} from './bucket-chunk.ts'

/** The buckets that full ones go on in, numbered from 0. */
export class Overflow {
  readonly #memory: Memory
  readonly #chunks: Chunk[] = []
  /** Per chunk, which of its buckets are in use. */
  readonly #taken: Uint8Array[] = []
  #free: number[] = []

  constructor(memory: Memory) {
    this.#memory = memory
  }

  get bytes(): number {
    return this.#chunks.length * chunkBuckets * (bucketLength + 1)
  }

  /** The chunk of a bucket; undefined for a number that never was one. */
  chunkOf(bucket: number): Chunk | undefined {
    return this.#chunks[bucket >>> chunkBits]
  }

  /** An empty bucket. */
  take(): number {
    if (this.#free.length === 0) this.#addChunk()
    const bucket = this.#free.pop() as number
    const taken = this.#taken[bucket >>> chunkBits] as Uint8Array
    taken[bucket & chunkMask] = 1
    return bucket
  }

  /** False for a bucket that is not in use. The caller empties it. */
  giveBack(bucket: number): boolean {
    const taken = this.#taken[bucket >>> chunkBits]
    if (taken?.[bucket & chunkMask] !== 1) return false
    taken[bucket & chunkMask] = 0
    this.#free.push(bucket)
    return true
  }

  clear(): void {
    this.#chunks.length = 0
    this.#taken.length = 0
    this.#free = []
  }

  #addChunk(): void {
    const first = this.#chunks.length * chunkBuckets
    this.#chunks.push(newChunk(this.#memory))
    this.#taken.push(new Uint8Array(chunkBuckets))
    for (let i = first + chunkBuckets - 1; i >= first; i -= 1) this.#free.push(i)
  }
}
