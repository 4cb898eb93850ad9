import { createHash } from 'node:crypto'
import type { Cache } from '../cache/cache.ts'
import type { Clock } from '../clock.ts'
import { HandfastError } from '../errors.ts'
import type { HybridClock } from '../record/hybrid-clock.ts'
import { tables } from '../record/key.ts'
import type { SessionTerms } from './session-record.ts'

/** Whose sessions end. Exactly one of these. */
export type RevocationTarget =
  | { readonly session: Buffer }
  | { readonly lineage: Buffer }
  | { readonly user: string }
  /** Cut SHA-256 of the client's certificate, as `certificateDigest` makes it. */
  | { readonly certificate: Buffer }
  | { readonly serverName: string }
  | { readonly all: true }

export interface Revocation {
  readonly target: RevocationTarget
  /** Time in ms on the farm's clock: handshakes up to it are revoked, later ones are not. */
  readonly at: number
  readonly reason: string
  /** Open connections under it are closed too. */
  readonly close: boolean
}

export interface RevokeOptions {
  readonly reason?: string
  /**
   * Close the open connections of whom it names. Default: yes, but not for `serverName` and
   * `all`, where every client would come back for a full handshake in the same second.
   */
  readonly close?: boolean
}

export interface RevocationOutcome {
  readonly at: number
  /** Every reachable member has applied it. */
  readonly everywhere: boolean
}

export interface RevocationsOptions {
  readonly cache: Cache
  readonly clock: Clock
  readonly versions: HybridClock
  /** How long a chain of resumptions may last: a revocation is kept for longer. Ms. */
  readonly lineageTimeout: number
  /** Longest wait for the other members. Default 500 ms. */
  readonly budget?: number
  /** The user who is logged in under a lineage, if any. */
  readonly subjectOf?: (lineage: Buffer) => string | undefined
}

const longestReason = 500

/** Members' clocks may differ by this much; a revocation outlives what it revokes. */
const clockSkew = 5 * 60_000

/**
 * What has been revoked, in the virtual table `revocation`. Key: one letter for the kind, then
 * the name; value: JSON of {@link Revocation}. The time of a revocation comes from the hybrid
 * clock, which is ahead of every session seen here, so that no member's slow clock saves one.
 */
export class Revocations {
  readonly #options: RevocationsOptions
  readonly #listeners = new Set<(revocation: Revocation) => void>()
  /** Most farms revoke nothing for weeks: then no handshake need look. */
  #any = false

  constructor(options: RevocationsOptions) {
    this.#options = options
  }

  /** Takes effect here at once, and resolves when the others have it or the budget is up. */
  async revoke(
    target: RevocationTarget,
    how: RevokeOptions = {},
  ): Promise<RevocationOutcome> {
    checkTarget(target)
    const { cache, versions, lineageTimeout, budget = 500 } = this.#options
    const { reason = '', close = !('all' in target || 'serverName' in target) } = how
    const at = versions.tick().ms
    this.#any = true
    const revocation = { target, at, reason: reason.slice(0, longestReason), close }
    const options = { ttl: lineageTimeout + clockSkew, level: 'all', budget } as const
    const value = Buffer.from(toJson(revocation))
    const writes = [cache.add(tables.revocation, keyOf(target), value, options)]
    if ('session' in target) {
      writes.push(cache.delete(tables.session, target.session, { level: 'all', budget }))
    }
    this.#tell(revocation)
    const reached = await Promise.all(writes)
    return { at, everywhere: reached.every(yes => yes) }
  }

  /** Asked before a session is offered to TLS: looks at this member's table only. */
  isRevoked(record: SessionTerms, id: Buffer): boolean {
    if (!this.#any) return false
    const { originalAt, lineage, serverName, certificate, clientAuthorized } = record
    if (this.#since({ all: true }) >= originalAt) return true
    if (this.#since({ serverName }) >= originalAt) return true
    if (this.#since({ lineage }) >= 0 || this.#since({ session: id }) >= 0) return true
    if (clientAuthorized && this.#since({ certificate }) >= originalAt) return true
    const user = this.#options.subjectOf?.(lineage)
    return user !== undefined && this.#since({ user }) >= originalAt
  }

  /** Whether a log-in of this time, under this lineage if any, is void. */
  voidsLogin(user: string, at: number, lineage: Buffer | undefined): boolean {
    if (!this.#any) return false
    if (this.#since({ user }) >= at || this.#since({ all: true }) >= at) return true
    return lineage !== undefined && this.#since({ lineage }) >= 0
  }

  /** Takes note of a revocation that another member made; the record is in the table. */
  notice(value: Buffer): void {
    this.#any = true
    const revocation = fromJson(value)
    if (revocation !== undefined) this.#tell(revocation)
  }

  /** Calls back for every revocation, wherever it was made. Returns the way to stop it. */
  onRevoke(listener: (revocation: Revocation) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  #tell(revocation: Revocation): void {
    for (const listener of this.#listeners) listener(revocation)
  }

  #since(target: RevocationTarget): number {
    const found = this.#options.cache.getLocal(tables.revocation, keyOf(target))
    if (found === undefined) return -1
    return fromJson(found.value)?.at ?? Number.POSITIVE_INFINITY
  }
}

const kinds = {
  session: 's',
  lineage: 'l',
  user: 'u',
  certificate: 'c',
  serverName: 'n',
  all: 'a',
} as const

/** A target that is misspelt must not come out as another, least of all as `all`. */
function checkTarget(target: object): asserts target is RevocationTarget {
  const [entry, ...more] = Object.entries(target ?? {})
  const [kind = '', name] = entry ?? []
  if (more.length > 0 || !Object.hasOwn(kinds, kind)) {
    throw usage(`name exactly one of ${Object.keys(kinds).join(', ')} to revoke`)
  }
  const good =
    kind === 'all'
      ? name === true
      : kind === 'user' || kind === 'serverName'
        ? typeof name === 'string' && name !== ''
        : Buffer.isBuffer(name) && name.length > 0
  if (!good) throw usage(`${kind} is no name of what to revoke`)
}

function usage(message: string): HandfastError {
  return new HandfastError('ERR_HANDFAST_USAGE', message)
}

/** Names of people may be of any length and are hashed; the others fit a key as they are. */
function keyOf(target: RevocationTarget): Buffer {
  if ('session' in target) return key(kinds.session, target.session)
  if ('lineage' in target) return key(kinds.lineage, target.lineage)
  if ('certificate' in target) return key(kinds.certificate, target.certificate)
  if ('serverName' in target) {
    return key(
      kinds.serverName,
      Buffer.from(target.serverName.toLowerCase().slice(0, 253)),
    )
  }
  if ('user' in target) {
    return key(kinds.user, createHash('sha256').update(target.user).digest())
  }
  return key(kinds.all, Buffer.alloc(0))
}

function key(kind: string, name: Buffer): Buffer {
  return Buffer.concat([Buffer.from(kind), name])
}

function toJson({ target, ...rest }: Revocation): string {
  const named = Object.entries(target).map(([kind, name]) => [
    kind,
    Buffer.isBuffer(name) ? name.toString('hex') : name,
  ])
  return JSON.stringify({ target: Object.fromEntries(named), ...rest })
}

/** Unreadable: undefined, and then it counts as revoked for ever. */
function fromJson(value: Buffer): Revocation | undefined {
  try {
    const { target, at, reason, close } = JSON.parse(value.toString())
    const [[kind, name]] = Object.entries(target) as [[string, unknown]]
    if (!Number.isFinite(at) || !Object.hasOwn(kinds, kind)) return undefined
    const bytes = kind === 'session' || kind === 'lineage' || kind === 'certificate'
    const read = { [kind]: bytes ? Buffer.from(String(name), 'hex') : name }
    checkTarget(read)
    return {
      target: read,
      at,
      reason: String(reason ?? ''),
      close: close === true,
    }
  } catch {
    return undefined
  }
}
