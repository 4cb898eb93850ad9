import { createHmac, timingSafeEqual } from 'node:crypto'

/**
 * How long either end waits for the other to prove itself, ms. On a machine that starts all its
 * processes at once a hub is slow, and who leaves it begins anew at its end of the line.
 */
export const greetingLimit = 5_000

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
