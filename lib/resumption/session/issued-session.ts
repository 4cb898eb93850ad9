import { X509Certificate } from 'node:crypto'
import { tls13 } from './offer.ts'
import type { PendingHandshake } from './pending-handshake.ts'
import { readSession } from './session-der.ts'
import { certificateDigest, digestLength, type SessionRecord } from './session-record.ts'

const noCertificate = Buffer.alloc(digestLength)

/**
 * The record of a session that TLS has just made in this handshake. `reused`: TLS resumed
 * another session to get here; undefined when Node would not say, and then the new session
 * gets the worse of both: no lineage to inherit, no later end. Undefined when the bytes are
 * not a session we understand, or it has a certificate of which we can't tell who vouches for it.
 */
export function issuedSession(
  session: Buffer,
  id: Buffer,
  handshake: PendingHandshake,
  reused: boolean | undefined,
  now: number,
): SessionRecord | undefined {
  const facts = readSession(session)
  if (facts === undefined) return undefined
  const { lineage, originalAt } = handshake.chain(reused === true)
  const { peerCertificate } = facts
  const { hash, certificateHash } = handshake.policy
  const policy = peerCertificate === undefined ? hash : certificateHash
  if (policy === undefined) return undefined
  return {
    protocol: facts.protocol,
    cipher: facts.cipher,
    originalAt: reused === undefined ? handshake.chain(true).originalAt : originalAt,
    mintedAt: now,
    certificateNotAfter: peerCertificate === undefined ? 0 : notAfter(peerCertificate),
    policy,
    certificate:
      peerCertificate === undefined ? noCertificate : certificateDigest(peerCertificate),
    clientAuthorized: facts.peerVerified,
    extendedMasterSecret: facts.protocol === tls13 || facts.extendedMasterSecret,
    lineage: lineage ?? id,
    serverName: handshake.serverName,
    alpn: facts.alpn,
    session,
  }
}

/** Wall time in ms; the past when the certificate can't be read. */
function notAfter(der: Buffer): number {
  try {
    const time = Date.parse(new X509Certificate(der).validTo)
    return Number.isNaN(time) || time < 1 ? 1 : time
  } catch {
    return 1
  }
}
