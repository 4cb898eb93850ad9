import { bucketLength } from '../layout.ts'
import type { Memory } from '../segment/segments.ts'

/** 1024 buckets, 64 KiB: the step in which the index takes memory. */
export interface Chunk {
  readonly marks: Uint16Array
  readonly words: Int32Array
}

export const chunkBits = 10
export const chunkBuckets: number = 1 << chunkBits
export const chunkMask: number = chunkBuckets - 1

export function newChunk(memory: Memory): Chunk {
  const bytes = memory(chunkBuckets * bucketLength)
  return { marks: new Uint16Array(bytes), words: new Int32Array(bytes) }
}
