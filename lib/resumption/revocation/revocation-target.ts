import { createHash } from 'node:crypto'
import { HandfastError } from '../../errors.ts'

/** Whose sessions end. Exactly one of these. */
export type RevocationTarget =
  | { readonly session: Buffer }
  | { readonly lineage: Buffer }
  | { readonly user: string }
  /** Cut SHA-256 of the client's certificate, as `certificateDigest` makes it. */
  | { readonly certificate: Buffer }
  | { readonly serverName: string }
  | { readonly all: true }

export type RevocationKind =
  | 'session'
  | 'lineage'
  | 'user'
  | 'certificate'
  | 'serverName'
  | 'all'

/** One letter for each kind stands before the name in the key of a record. */
const letters: { readonly [kind in RevocationKind]: string } = {
  session: 's',
  lineage: 'l',
  user: 'u',
  certificate: 'c',
  serverName: 'n',
  all: 'a',
}

const kinds = Object.keys(letters) as RevocationKind[]
const longestId = 64
const longestText = 1024

/**
 * A target that is misspelt must not come out as another, least of all as `all`. Throws
 * ERR_HANDFAST_USAGE.
 */
export function checkTarget(target: object): asserts target is RevocationTarget {
  const [entry, ...more] = Object.entries(target ?? {})
  const [kind = '', name] = entry ?? []
  if (more.length > 0 || !Object.hasOwn(letters, kind)) {
    throw usage(`name exactly one of ${kinds.join(', ')} to revoke`)
  }
  const good =
    kind === 'all'
      ? name === true
      : kind === 'user' || kind === 'serverName'
        ? typeof name === 'string' && name !== '' && name.length <= longestText
        : Buffer.isBuffer(name) && name.length > 0 && name.length <= longestId
  if (!good) throw usage(`${kind} is no name of what to revoke`)
}

export function kindOf(target: RevocationTarget): RevocationKind {
  return kinds.find(kind => kind in target) ?? 'all'
}

/** Names of people may be of any length and are hashed; the others fit a key as they are. */
export function keyOf(target: RevocationTarget): Buffer {
  return Buffer.concat([Buffer.from(letters[kindOf(target)]), nameInKey(target)])
}

function nameInKey(target: RevocationTarget): Buffer {
  if ('session' in target) return target.session
  if ('lineage' in target) return target.lineage
  if ('certificate' in target) return target.certificate
  if ('serverName' in target) {
    return Buffer.from(target.serverName.toLowerCase()).subarray(0, 254)
  }
  if ('user' in target) return createHash('sha256').update(target.user).digest()
  return Buffer.alloc(0)
}

/**
 * What may be shown of a target: users and server names as they are, the digest of a
 * certificate, and of a session or lineage, whose id resumes it, a fingerprint. Undefined for
 * `all`.
 */
export function shownName(target: RevocationTarget): string | undefined {
  if ('session' in target) return idFingerprint(target.session)
  if ('lineage' in target) return idFingerprint(target.lineage)
  if ('certificate' in target) return target.certificate.toString('hex')
  if ('serverName' in target) return target.serverName.toLowerCase()
  return 'user' in target ? target.user : undefined
}

/** Start of the SHA-256 of a session id or lineage: tells two apart and resumes neither. */
export function idFingerprint(id: Buffer): string {
  return createHash('sha256').update(id).digest('hex').slice(0, 16)
}

/** The target as its own kind would give it, from what JSON makes of it. */
export function targetFrom(kind: string, name: unknown): RevocationTarget {
  const bytes = kind === 'session' || kind === 'lineage' || kind === 'certificate'
  const read = { [kind]: bytes ? bytesOf(String(name)) : name }
  checkTarget(read)
  return read
}

/** Of its own: a revocation is kept for long, and with it the 8 KiB that these were cut from. */
function bytesOf(hex: string): Buffer {
  const bytes = Buffer.from(hex, 'hex')
  return Buffer.alloc(bytes.length, bytes)
}

function usage(message: string): HandfastError {
  return new HandfastError('ERR_HANDFAST_USAGE', message)
}
