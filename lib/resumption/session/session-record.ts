import { createHash } from 'node:crypto'
import type { ResumedFrom } from '../handshake.ts'

/**
 * The value under a session's id in the virtual table `session`: what must hold before the
 * session may resume, then the session itself.
 *
 *      0         1       2          4        6             12          18
 *      +---------+-------+----------+--------+-------------+-----------+
 *      | layout  | flags | protocol | cipher | original at | minted at |
 *      | u8 = 1  | u8    | u16      | u16    | u48 ms      | u48 ms    |
 *      +---------+-------+----------+--------+-------------+-----------+
 *      18                24              40
 *      +-----------------+---------------+--------------+------------------+
 *      | cert not after  | policy hash   | certificate  | three strings,   |
 *      | u48 ms, 0: none | 16 B          | 16 B         | u8 length each   |
 *      +-----------------+---------------+--------------+------------------+
 *      then the rest: DER of OpenSSL's SSL_SESSION
 *
 * strings: lineage, server name, ALPN. flags: bit 0 = client certificate verified, bit 1 =
 * extended master secret. `certificate` is the cut SHA-256 of the client's certificate, zeros
 * when it showed none.
 */
export interface SessionRecord {
  readonly protocol: number
  readonly cipher: number
  /** Wall time in ms of the full handshake at the start of the chain. */
  readonly originalAt: number
  /** Wall time in ms at which this session was made. */
  readonly mintedAt: number
  /** Wall time in ms at which the client's certificate runs out; 0 when it showed none. */
  readonly certificateNotAfter: number
  readonly policy: Buffer
  readonly certificate: Buffer
  readonly clientAuthorized: boolean
  readonly extendedMasterSecret: boolean
  /** Id of the first session of the chain. */
  readonly lineage: Buffer
  readonly serverName: string
  readonly alpn: string
  readonly session: Buffer
}

/** What is kept of a session once TLS has its bytes. */
export type SessionTerms = Omit<SessionRecord, 'session'>

/** What is known of a chain of sessions without opening any of them. */
export type ChainTerms = Pick<SessionTerms, 'lineage' | 'originalAt' | 'serverName'>

/** What a session can be revoked by, beside its id. */
export type RevocableTerms = ChainTerms &
  Pick<SessionTerms, 'certificate' | 'clientAuthorized'>

/** A record, the id it was asked for by, and where it was found. */
export interface FoundSession {
  readonly id: Buffer
  readonly record: SessionRecord
  readonly source: ResumedFrom
}

export const sessionLayout = 1
export const digestLength = 16
const fixedLength = 18 + 6 + 2 * digestLength
const authorizedFlag = 1
const extendedMasterSecretFlag = 2

export function encodeSessionRecord(record: SessionRecord): Buffer {
  const { lineage, serverName, alpn, session } = record
  const strings = lineage.length + serverName.length + alpn.length
  const value = Buffer.alloc(fixedLength + 3 + strings + session.length)
  value[0] = sessionLayout
  value[1] =
    (record.clientAuthorized ? authorizedFlag : 0) |
    (record.extendedMasterSecret ? extendedMasterSecretFlag : 0)
  value.writeUInt16BE(record.protocol, 2)
  value.writeUInt16BE(record.cipher, 4)
  value.writeUIntBE(record.originalAt, 6, 6)
  value.writeUIntBE(record.mintedAt, 12, 6)
  value.writeUIntBE(record.certificateNotAfter, 18, 6)
  value.set(record.policy, 24)
  value.set(record.certificate, 24 + digestLength)
  let at = fixedLength
  value[at] = lineage.length
  value.set(lineage, at + 1)
  at += 1 + lineage.length
  for (const text of [serverName, alpn]) {
    value[at] = text.length
    value.write(text, at + 1, 'latin1')
    at += 1 + text.length
  }
  value.set(session, at)
  return value
}

/** Undefined when the bytes are not a record of this layout. `session` is a view. */
export function decodeSessionRecord(value: Buffer): SessionRecord | undefined {
  if (value.length < fixedLength || value[0] !== sessionLayout) return undefined
  const nameAt = stringEnd(value, fixedLength)
  const alpnAt = stringEnd(value, nameAt)
  const sessionAt = stringEnd(value, alpnAt)
  if (Number.isNaN(sessionAt)) return undefined
  const flags = value.readUInt8(1)
  return {
    protocol: value.readUInt16BE(2),
    cipher: value.readUInt16BE(4),
    originalAt: value.readUIntBE(6, 6),
    mintedAt: value.readUIntBE(12, 6),
    certificateNotAfter: value.readUIntBE(18, 6),
    policy: value.subarray(24, 24 + digestLength),
    certificate: value.subarray(24 + digestLength, fixedLength),
    clientAuthorized: (flags & authorizedFlag) !== 0,
    extendedMasterSecret: (flags & extendedMasterSecretFlag) !== 0,
    lineage: value.subarray(fixedLength + 1, nameAt),
    serverName: value.toString('latin1', nameAt + 1, alpnAt),
    alpn: value.toString('latin1', alpnAt + 1, sessionAt),
    session: value.subarray(sessionAt),
  }
}

/** Where the string that begins here ends; NaN when it is not all there. */
function stringEnd(value: Buffer, at: number): number {
  const length = value[at]
  if (length === undefined || at + 1 + length > value.length) return Number.NaN
  return at + 1 + length
}

/** The cut SHA-256 by which a certificate is known in session records. */
export function certificateDigest(der: Buffer): Buffer {
  return createHash('sha256').update(der).digest().subarray(0, digestLength)
}
