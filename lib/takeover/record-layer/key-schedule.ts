import { createHmac } from 'node:crypto'
import { type Suite, type SuiteName, suites } from './suite.ts'

/** What records of one direction are sealed with (RFC 8446 7.3). */
export interface TrafficKeys {
  readonly key: Buffer
  readonly iv: Buffer
}

export function trafficKeys(name: SuiteName, secret: Buffer): TrafficKeys {
  const suite = suites[name]
  return {
    key: expandLabel(suite, secret, 'key', suite.keyBytes),
    iv: expandLabel(suite, secret, 'iv', ivBytes),
  }
}

/** The secret that takes the place of this one with a KeyUpdate (RFC 8446 7.2). */
export function nextSecret(name: SuiteName, secret: Buffer): Buffer {
  const suite = suites[name]
  return expandLabel(suite, secret, 'traffic upd', suite.hashBytes)
}

export const ivBytes = 12

/**
 * HKDF-Expand-Label (RFC 8446 7.1) with no context. One block of HKDF-Expand (RFC 5869 2.3) is
 * enough, since nothing here is longer than a hash.
 */
function expandLabel(
  { hash, hashBytes }: Suite,
  secret: Buffer,
  label: string,
  length: number,
): Buffer {
  if (length > hashBytes) throw new RangeError('longer than a hash')
  const full = Buffer.from(`tls13 ${label}`, 'latin1')
  const info = Buffer.concat([
    Buffer.from([length >> 8, length & 0xff, full.length]),
    full,
    // No context, and the number of the block.
    Buffer.from([0, 1]),
  ])
  const block = createHmac(hash, secret).update(info).digest()
  const out = Buffer.from(block.subarray(0, length))
  block.fill(0)
  return out
}
