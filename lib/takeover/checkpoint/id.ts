import { type ByteReader, malformed } from './byte-reader.ts'

/** Bytes of the id of a connection, or of a bundle. */
export const idLength = 16

export function readId(from: ByteReader): Buffer {
  const id = from.bytes(idLength)
  if (id.length !== idLength) throw malformed('an id has 16 bytes')
  return id
}
