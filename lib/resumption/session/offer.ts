import { maxClockDifference } from '../../record/hybrid-clock.ts'
import type { FullCause } from '../handshake.ts'
import type { ClientHello } from '../hello/client-hello.ts'
import type { Policy } from './policy.ts'
import type { SessionRecord } from './session-record.ts'

/** Protocol versions as TLS writes them. */
export const tls12 = 0x0303
export const tls13 = 0x0304

/** Node's ids, session IDs and stateful ticket identities alike, have this length. */
export const sessionIdLength = 32

/** The session that a client offers to resume. */
export interface Offer {
  readonly id: Buffer
  /** With `tls12` any version before TLS 1.3: the hello tells the newest that the client speaks. */
  readonly protocol: typeof tls12 | typeof tls13
}

/**
 * Which session of ours the hello offers, if any. In TLS 1.3 that is the first PSK identity of
 * our length: OpenSSL asks for the identities in order, and Node answers its question without
 * looking at the id, so that only the first may be answered. The legacy_session_id of a hello
 * that will be TLS 1.3 is noise and is never looked up.
 */
export function offerOf(hello: ClientHello, speaks13: boolean): Offer | undefined {
  if (hello.supports13 && speaks13) {
    if (!hello.allowsPskDhe) return undefined
    const id = hello.identities.find(identity => identity.length === sessionIdLength)
    return id === undefined ? undefined : { id, protocol: tls13 }
  }
  if (hello.sessionId.length !== sessionIdLength) return undefined
  return { id: hello.sessionId, protocol: tls12 }
}

/** The client has brought something to resume with, whosever it is. */
export function offersAnything(hello: ClientHello): boolean {
  if (hello.identities.length > 0 || hello.ticket !== undefined) return true
  return !hello.supports13 && hello.sessionId.length > 0
}

/**
 * A second hello (see second-hello.ts) can offer nothing but the session of the first. With more than one to choose
 * from a client may drop one in between (RFC 8446, 4.1.2), and Node would answer for another.
 */
export function offersOneSession(hello: ClientHello): boolean {
  return hello.identities.filter(({ length }) => length === sessionIdLength).length === 1
}

/** What a session must meet to resume. */
export interface Terms {
  /** What the server name asks now. */
  readonly policy: Policy
  /** Milliseconds from minting. */
  readonly sessionTimeout: number
  /** Milliseconds from the original handshake. */
  readonly lineageTimeout: number
  /** The farm's time in ms. */
  readonly now: number
}

/**
 * Why the session must not resume, or undefined when it may. Checked before TLS hears of it.
 *
 * Two clients are left to TLS, which MUST end their connection with an alert: who offers a
 * session of TLS 1.2 and has dropped extended_master_secret, as one who was tampered with would
 * (RFC 7627, 5.3), and who does not offer the session's cipher with it (RFC 5246, 7.4.1.2).
 */
export function refusal(
  record: SessionRecord,
  offer: Offer,
  hello: ClientHello,
  terms: Terms,
): FullCause | undefined {
  // Which of the older versions it is to be is for TLS, which declines a session of another.
  if ((record.protocol === tls13) !== (offer.protocol === tls13)) return 'policy'
  if (record.serverName !== hello.serverName) return 'policy'
  const { hash, certificateHash } = terms.policy
  const wanted = record.certificateNotAfter > 0 ? certificateHash : hash
  if (wanted === undefined || !record.policy.equals(wanted)) return 'policy'
  if (terms.policy.clientRequired && !record.clientAuthorized) return 'policy'
  if (!record.extendedMasterSecret && hello.extendedMasterSecret) return 'policy'
  if (terms.now > record.mintedAt + terms.sessionTimeout) return 'expired'
  if (record.mintedAt > terms.now + maxClockDifference) return 'expired'
  if (terms.now > record.originalAt + terms.lineageTimeout) return 'lineage-expired'
  if (record.certificateNotAfter > 0 && terms.now > record.certificateNotAfter) {
    return 'lineage-expired'
  }
  return undefined
}
