import { createHash, X509Certificate } from 'node:crypto'
import { tls13 } from '../session/offer.ts'
import { readSession } from '../session/session-der.ts'
import { digestLength, type SessionRecord } from '../session/session-record.ts'
import type { Connection } from './connection.ts'

const noCertificate = Buffer.alloc(digestLength)

/**
 * The record of a session that TLS has just made on this connection. `reused`: TLS resumed
 * another session to get here; undefined when Node would not say, and then the new session
 * gets the worse of both: no lineage to inherit, no later end. Undefined when the bytes are
 * not a session we understand, or it has a certificate of which we can't tell who vouches for it.
 */
export function mintRecord(
  session: Buffer,
  id: Buffer,
  connection: Connection,
  reused: boolean | undefined,
  now: number,
): SessionRecord | undefined {
  const facts = readSession(session)
  if (facts === undefined) return undefined
  const { lineage, originalAt } = connection.chain(reused === true)
  const { peerCertificate } = facts
  const { hash, certificateHash } = connection.policy
  const policy = peerCertificate === undefined ? hash : certificateHash
  if (policy === undefined) return undefined
  return {
    protocol: facts.protocol,
    cipher: facts.cipher,
    originalAt: reused === undefined ? connection.chain(true).originalAt : originalAt,
    mintedAt: now,
    certificateNotAfter: peerCertificate === undefined ? 0 : notAfter(peerCertificate),
    policy,
    certificate:
      peerCertificate === undefined ? noCertificate : certificateDigest(peerCertificate),
    clientAuthorized: facts.peerVerified,
    extendedMasterSecret: facts.protocol === tls13 || facts.extendedMasterSecret,
    lineage: lineage ?? id,
    serverName: connection.serverName,
    alpn: facts.alpn,
    session,
  }
}

/** The cut SHA-256 by which a certificate is known in session records. */
export function certificateDigest(der: Buffer): Buffer {
  return createHash('sha256').update(der).digest().subarray(0, digestLength)
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
