import { createHmac, timingSafeEqual } from 'node:crypto'

/** Shows that one knows the key, for these two nonces and in this part of the talk. */
export function prove(
  key: Buffer,
  part: 'user' | 'keeper',
  challenge: Buffer,
  nonce: Buffer,
): Buffer {
  const hmac = createHmac('sha256', key).update(`handfast 1 ${part}\0`)
  return hmac.update(challenge).update(nonce).digest()
}

export function isProof(given: Buffer, expected: Buffer): boolean {
  return given.length === expected.length && timingSafeEqual(given, expected)
}
