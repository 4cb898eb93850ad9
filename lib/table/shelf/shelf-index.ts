import { readSync, writeSync } from 'node:fs'
import type { ShelfFiles } from './shelf-files.ts'
import { bucketBytes, entryAt, entryLength, indexHead } from './shelf-layout.ts'

/** Bytes of the index that are read, or written, at once; whole buckets. */
export const pieceLength = 65_536
/** Bytes of the index that are looked at to count what is there. */
const mostCounted = 32 * 1024 * 1024
const zeros = Buffer.alloc(pieceLength)
const read = Buffer.alloc(pieceLength)

/**
 * Up to `pieceLength` bytes of the index, good until the next call; undefined where all are zeros:
 * who joins a farm walks over an index that has next to nothing in it, and may be large.
 */
export function readPiece(index: number, at: number, length: number): Buffer | undefined {
  readSync(index, read, 0, length, at)
  const isEmpty = read.compare(zeros, 0, length, 0, length) === 0
  return isEmpty ? undefined : read.subarray(0, length)
}

/**
 * How many entries have not ended at `now`, wall time in ms. Takes a look at every one, some
 * milliseconds; of an index beyond 32 MiB at evenly spread parts, and answers what that makes for
 * the whole.
 */
export function countLive(files: ShelfFiles, now: number): number {
  const end = endOf(files)
  const step = pieceLength * Math.max(1, Math.floor((end - indexHead) / mostCounted))
  let live = 0
  let looked = 0
  for (let at = indexHead; at < end; at += step) {
    const length = Math.min(pieceLength, end - at)
    looked += length
    const piece = readPiece(files.index, at, length)
    if (piece === undefined) continue
    for (let from = 0; from < length; from += entryLength) {
      if (piece.readUInt32LE(from + entryAt.tag) === 0) continue
      if (piece.readUInt32LE(from + entryAt.expires) > now / 1000) live += 1
    }
  }
  return looked === 0 ? 0 : Math.round((live * (end - indexHead)) / looked)
}

/** Empties it, for every process of the host. */
export function clearIndex(files: ShelfFiles): void {
  const end = endOf(files)
  for (let at = indexHead; at < end; at += pieceLength) {
    writeSync(files.index, zeros, 0, Math.min(pieceLength, end - at), at)
  }
}

function endOf({ buckets }: ShelfFiles): number {
  return indexHead + buckets * bucketBytes
}
