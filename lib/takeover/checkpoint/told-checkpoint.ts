import { ByteReader } from './byte-reader.ts'
import { ByteWriter } from './byte-writer.ts'
import { longestCheckpoint } from './checkpoint.ts'
import { readId } from './id.ts'

/** A checkpoint with how far its client had come when it was told of. */
export interface ToldCheckpoint {
  /** Of the connection, 16 bytes. */
  readonly id: Buffer
  /** Bytes that the client has acknowledged since accept. */
  readonly acked: number
  readonly checkpoint: Buffer
}

/** For each of them: id, bytes; acked, count; the checkpoint as codec.ts has it, bytes. */
export function toldBytes(all: readonly ToldCheckpoint[]): Buffer {
  const to = new ByteWriter()
  for (const { id, acked, checkpoint } of all) {
    to.bytes(id)
    to.count(acked)
    to.bytes(checkpoint)
  }
  return to.end()
}

/** All of them, or none of what is no such list. */
export function readTold(bytes: Buffer | undefined): ToldCheckpoint[] {
  if (bytes === undefined) return []
  const from = new ByteReader(bytes)
  const all: ToldCheckpoint[] = []
  try {
    while (!from.isOver) {
      const [id, acked] = [readId(from), from.count()]
      all.push({ id, acked, checkpoint: from.bytes(longestCheckpoint) })
    }
    return all
  } catch {
    return []
  }
}
