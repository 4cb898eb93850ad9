import { binaryHeader, binarySignature, readBinaryHeader } from './binary-header.ts'
import type { Endpoints, HeaderOutcome } from './endpoints.ts'
import { readTextHeader, textHeader, textSignature } from './text-header.ts'

export const proxyVersions = ['v1', 'v2'] as const

/** Which PROXY protocol is spoken. A receiver reads both. */
export type ProxyVersion = (typeof proxyVersions)[number]

/** Reads a header of either version from the first bytes of a connection. */
export function readHeader(bytes: Buffer): HeaderOutcome {
  if (bytes.length === 0) return 'more'
  const isText = bytes[0] === textSignature[0]
  const signature = isText ? textSignature : binarySignature
  const shared = Math.min(bytes.length, signature.length)
  if (bytes.compare(signature, 0, shared, 0, shared) !== 0) return { fault: 'no header' }
  if (shared < signature.length) return 'more'
  return isText ? readTextHeader(bytes) : readBinaryHeader(bytes)
}

/** The header of a connection for a client; without `endpoints` of one of our own. */
export function writeHeader(version: ProxyVersion, endpoints?: Endpoints): Buffer {
  return version === 'v1' ? textHeader(endpoints) : binaryHeader(endpoints)
}
