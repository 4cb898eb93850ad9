const positionLength = 8

/** A checkpoint with how far its client had come when it was told of. */
export interface ToldCheckpoint {
  /** Bytes that the client has acknowledged since accept. */
  readonly acked: number
  readonly checkpoint: Buffer
}

/** Bytes that the client has acknowledged u64 | as checkpoint/codec.ts has it. */
export function toldBytes({ acked, checkpoint }: ToldCheckpoint): Buffer {
  const position = Buffer.alloc(positionLength)
  position.writeBigUInt64BE(BigInt(acked))
  return Buffer.concat([position, checkpoint])
}

/** Undefined for what is none. The checkpoint is a part of the bytes. */
export function readTold(bytes: Buffer | undefined): ToldCheckpoint | undefined {
  if (bytes === undefined || bytes.length < positionLength) return undefined
  const acked = Number(bytes.readBigUInt64BE(0))
  if (!Number.isSafeInteger(acked)) return undefined
  return { acked, checkpoint: bytes.subarray(positionLength) }
}
