import { HandfastError } from '../errors.ts'
import { shown } from '../shown.ts'

/** A value as bytes: what it is (u8), then JSON in UTF-8, or the bytes themselves. */
const json = 1
const bytes = 2

export type ValueKind = 'json' | 'bytes'

/** Throws ERR_HANDFAST_USAGE for what is neither. */
export function encodeValue(value: unknown, kind: ValueKind): Buffer {
  if (kind === 'bytes') {
    if (value instanceof Uint8Array) return Buffer.concat([Buffer.from([bytes]), value])
    throw new HandfastError(
      'ERR_HANDFAST_USAGE',
      `a value of this table is a Buffer, got ${shown(value)}`,
    )
  }
  const text: string | undefined = JSON.stringify(value)
  if (text === undefined) {
    throw new HandfastError(
      'ERR_HANDFAST_USAGE',
      `a value of this table is what JSON can say, got ${shown(value)}`,
    )
  }
  const length = Buffer.byteLength(text)
  const encoded = Buffer.allocUnsafe(1 + length)
  encoded[0] = json
  encoded.write(text, 1, length, 'utf8')
  return encoded
}

/** A value of the caller's own. Throws ERR_HANDFAST_PROTOCOL for what is not one of ours. */
export function decodeValue(encoded: Buffer): unknown {
  if (encoded[0] === bytes) return Buffer.from(encoded.subarray(1))
  if (encoded[0] === json) {
    try {
      return JSON.parse(encoded.toString('utf8', 1))
    } catch {
      // Told below, without the text, which is a user's.
    }
  }
  throw new HandfastError(
    'ERR_HANDFAST_PROTOCOL',
    'a value in the database is not as state writes it',
  )
}
