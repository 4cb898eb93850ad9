import { createHash, createHmac, timingSafeEqual } from 'node:crypto'
import {
  type Basis,
  basisLength,
  type Claims,
  type Identity,
  isSubject,
  type MethodName,
  maxClaimsBytes,
  methodNumbers,
} from '../identity.ts'

/**
 * The value in virtual table `auth`:
 *
 *      0         1      2        8            14     22      38      54     56        56 + n
 *      +---------+------+--------+------------+------+-------+-------+------+---------+--------+------+
 *      | version | kind | at     | expires at | name | basis | print | n    | subject | claims | tag  |
 *      | u8 = 2  | u8   | u48 ms | u48 ms     | 8 B  | 16 B  | 16 B  | u16  | UTF-8   | JSON   | 16 B |
 *      +---------+------+--------+------------+------+-------+-------+------+---------+--------+------+
 *
 * kind: 0 = shared, the lineage has served several users and speaks for none of them;
 * 1..5 = an identity, by method; 16 = a reference, `subject` is the key of the log-in's own
 * record, so that one log-out ends it under every lineage. Kinds 0 and 16 have no claims.
 *
 * name: start of the SHA-256 of the server name that the lineage belongs to.
 *
 * basis: what the user was proved against, see `Basis`.
 *
 * print: second half of the keyed hash of the credentials that the log-in was made with, where
 * they must be shown again; its first half is in the key. Else zero.
 *
 * tag: HMAC-SHA256, cut to 16 bytes, over the record's key and all bytes before the tag. Its
 * own key comes from the farm secret and the realm: whoever can write into a store but has no
 * farm secret can't plant an identity, nor move one to another lineage or realm.
 */
export type Login =
  | KnownLogin
  | { readonly kind: 'reference'; readonly key: Buffer; readonly expiresAt: number }
  | { readonly kind: 'shared'; readonly expiresAt: number }

export interface KnownLogin {
  readonly kind: 'identity'
  readonly identity: Identity
  readonly basis: Basis
}

/** What a record is bound to. */
export interface Binding {
  readonly key: Buffer
  /** Empty for log-ins that no lineage holds; undefined when any will do. */
  readonly serverName: string | undefined
  /** 16 bytes; see above. */
  readonly print?: Buffer | undefined
}

/** Of a log-in that no lineage holds: a cookie or a reference names it. */
export function ownPlace(key: Buffer): Binding {
  return { key, serverName: '' }
}

export const loginHeaderLength = 56
export const loginTagLength = 16
const layoutVersion = 2
const noPrint = Buffer.alloc(16)
const sharedKind = 0
const referenceKind = 16
const methodOf = new Map<number, MethodName>(
  Object.entries(methodNumbers).map(([name, number]) => [number, name as MethodName]),
)

export function writeLogin(login: Login, binding: Binding, macKey: Buffer): Buffer {
  const head = Buffer.alloc(loginHeaderLength)
  let subject: Buffer = Buffer.alloc(0)
  let claims = ''
  head[0] = layoutVersion
  if (login.kind === 'identity') {
    const { identity } = login
    head[1] = methodNumbers[identity.method]
    head.writeUIntBE(identity.at, 2, 6)
    head.writeUIntBE(identity.expiresAt, 8, 6)
    subject = Buffer.from(identity.subject)
    claims = JSON.stringify(identity.claims)
    login.basis.copy(head, 22)
  } else {
    head[1] = login.kind === 'shared' ? sharedKind : referenceKind
    head.writeUIntBE(login.expiresAt, 8, 6)
    if (login.kind === 'reference') subject = login.key
  }
  nameTag(binding.serverName ?? '').copy(head, 14)
  ;(binding.print ?? noPrint).copy(head, 38)
  head.writeUInt16BE(subject.length, 54)
  const body = Buffer.concat([head, subject, Buffer.from(claims)])
  return Buffer.concat([body, tagOf(body, binding.key, macKey)])
}

/** Undefined for anything that is not, byte for byte, what {@link writeLogin} makes. */
export function readLogin(
  value: Buffer,
  binding: Binding,
  macKey: Buffer,
): Login | undefined {
  const end = value.length - loginTagLength
  if (end < loginHeaderLength || value[0] !== layoutVersion) return undefined
  const body = value.subarray(0, end)
  if (!timingSafeEqual(value.subarray(end), tagOf(body, binding.key, macKey))) {
    return undefined
  }
  const { serverName, print = noPrint } = binding
  if (!timingSafeEqual(print, body.subarray(38, 54))) return undefined
  if (serverName !== undefined && !nameTag(serverName).equals(body.subarray(14, 22))) {
    return undefined
  }
  const at = body.readUIntBE(2, 6)
  const expiresAt = body.readUIntBE(8, 6)
  const claimsStart = loginHeaderLength + body.readUInt16BE(54)
  if (claimsStart > end) return undefined
  const subject = body.subarray(loginHeaderLength, claimsStart)
  const claims = body.subarray(claimsStart)
  const kind = body.readUInt8(1)
  if (kind === sharedKind || kind === referenceKind) {
    const sound = claims.length === 0 && (kind === referenceKind) === subject.length > 0
    if (!sound || at !== 0) return undefined
    return kind === sharedKind
      ? { kind: 'shared', expiresAt }
      : { kind: 'reference', key: Buffer.from(subject), expiresAt }
  }
  const method = methodOf.get(kind)
  if (method === undefined) return undefined
  const identity = identityFrom(method, subject, claims)
  const basis = Buffer.from(body.subarray(22, 22 + basisLength))
  return identity && { kind: 'identity', identity: { ...identity, at, expiresAt }, basis }
}

function identityFrom(
  method: MethodName,
  subjectBytes: Buffer,
  claimsBytes: Buffer,
): Pick<Identity, 'method' | 'subject' | 'claims'> | undefined {
  if (claimsBytes.length > maxClaimsBytes) return undefined
  try {
    const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
    const subject = utf8.decode(subjectBytes)
    const claims: unknown = JSON.parse(utf8.decode(claimsBytes))
    if (!isSubject(subject) || typeof claims !== 'object') return undefined
    if (claims === null || Array.isArray(claims)) return undefined
    return { method, subject, claims: claims as Claims }
  } catch {
    return undefined
  }
}

function nameTag(serverName: string): Buffer {
  return createHash('sha256').update(serverName).digest().subarray(0, 8)
}

function tagOf(body: Buffer, key: Buffer, macKey: Buffer): Buffer {
  // The length keeps the two apart: no other key and body give the same bytes.
  return createHmac('sha256', macKey)
    .update(Buffer.from([key.length]))
    .update(key)
    .update(body)
    .digest()
    .subarray(0, loginTagLength)
}
