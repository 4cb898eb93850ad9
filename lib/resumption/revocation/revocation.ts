import type { Cache } from '../../cache/cache.ts'
import type { Clock } from '../../clock.ts'
import type { WriteReach } from '../../farm/transport.ts'
import { type HybridClock, maxClockDifference } from '../../record/hybrid-clock.ts'
import { tables } from '../../record/key.ts'
import type { CacheRecord } from '../../record/record.ts'
import { tellAll } from '../../tell-all.ts'
import type { ChainTerms, RevocableTerms } from '../session/session-record.ts'
import { RevocationIndex } from './revocation-index.ts'
import {
  checkReason,
  decodeRevocation,
  encodeRevocation,
  type Revocation,
} from './revocation-record.ts'
import {
  checkTarget,
  keyOf,
  kindOf,
  type RevocationKind,
  type RevocationTarget,
  shownName,
} from './revocation-target.ts'

export interface RevokeOptions {
  /** Kept with the revocation: one line of at most 500 characters. */
  readonly reason?: string
  /**
   * Close the open connections of whom it names. Default: yes, but not for `serverName` and
   * `all`, where every client would come back for a full handshake in the same second. Of `all`
   * only what was let in as somebody is closed then: requests, streams and WebSockets.
   */
  readonly close?: boolean
}

/** Who has applied it: all, all that can be reached, or not even those in time. */
export interface RevocationOutcome extends WriteReach {
  /** Time in ms: what was made up to it is revoked. */
  readonly at: number
}

/** A revocation as it may be shown: no id in it resumes anything. */
export interface ListedRevocation {
  readonly kind: RevocationKind
  /**
   * The user or server name; the digest of a certificate; of a session or lineage the first
   * 16 hex digits of the SHA-256 of its id. Undefined for `all`.
   */
  readonly name: string | undefined
  /** Time in ms: what was made up to it is revoked. */
  readonly at: number
  /** Time in ms at which there is nothing left that it could end. */
  readonly until: number
  readonly reason: string
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

/** No target has this letter. */
const floorKey = Buffer.from('floor')

/**
 * What has been revoked, in the virtual table `revocation`. The time of a revocation comes
 * from the hybrid clock, which is ahead of every session seen here, so that no member's slow
 * clock saves one.
 */
export class Revocations {
  readonly #options: RevocationsOptions
  readonly #listeners = new Set<(revocation: Revocation) => void>()
  /** Most farms revoke nothing for weeks: then no handshake need look any further. */
  readonly #index: RevocationIndex
  readonly #unwatch: () => void

  constructor(
    options: RevocationsOptions,
    index: RevocationIndex = new RevocationIndex(),
  ) {
    this.#options = options
    this.#index = index
    const { cache } = options
    cache.keep(tables.revocation)
    this.#unwatch = cache.watch(tables.revocation, record => this.#notice(record))
  }

  /** Takes effect here at once, and resolves when the others have it or the budget is up. */
  async revoke(
    target: RevocationTarget,
    how: RevokeOptions = {},
  ): Promise<RevocationOutcome> {
    checkTarget(target)
    const { reason = '', close = !('all' in target || 'serverName' in target) } = how
    const users = how.close === undefined && 'all' in target
    checkReason(reason)
    const { cache, versions, lineageTimeout, budget = 500 } = this.#options
    const { ms: at } = versions.tick()
    const revocation = { target, at, reason, close, ...(users ? { users } : {}) }
    // It outlives what it revokes, by whatever clock.
    const ttl = lineageTimeout + maxClockDifference
    const value = encodeRevocation(revocation)
    const terms = { level: 'all', budget } as const
    const reach = await cache.reach(() => {
      const revoked = cache.add(tables.revocation, keyOf(target), value, {
        ttl,
        ...terms,
      })
      if (!('session' in target)) return [revoked]
      return [revoked, cache.delete(tables.session, target.session, terms)]
    })
    return { at, ...reach }
  }

  /** Those that still end something, the newest first, in the same order on every member. */
  list(): ListedRevocation[] {
    return this.#index
      .live(this.#options.clock.now())
      .flatMap(({ revocation, until }) => {
        if (revocation === undefined) return []
        const { target, at, reason } = revocation
        return { kind: kindOf(target), name: shownName(target), at, until, reason }
      })
      .sort(newestFirst)
  }

  /** How many still end something, by what they name. */
  counts(): { readonly [kind in RevocationKind]?: number } {
    const counts: { [kind in RevocationKind]?: number } = {}
    for (const { revocation } of this.#index.live(this.#options.clock.now())) {
      if (revocation === undefined) continue
      const kind = kindOf(revocation.target)
      counts[kind] = (counts[kind] ?? 0) + 1
    }
    return counts
  }

  /** Asked before a session is offered to TLS: looks at what this member knows only. */
  isRevoked(session: RevocableTerms, id: Buffer): boolean {
    if (this.#index.isEmpty) return false
    const { originalAt, certificate, clientAuthorized } = session
    if (clientAuthorized && this.#since({ certificate }) >= originalAt) return true
    return this.#isChainRevoked(session) || this.#since({ session: id }) >= 0
  }

  /**
   * The same of a sealed ticket that is still closed. `certificate`: the start of the digest of
   * one that may be in it; that of another may begin so too, and then both end.
   */
  isTicketRevoked(chain: ChainTerms, certificate: Buffer | undefined): boolean {
    if (this.#index.isEmpty) return false
    const since =
      certificate === undefined ? -1 : this.#index.certificatesSince(certificate)
    return since >= chain.originalAt || this.#isChainRevoked(chain)
  }

  /** Whether a log-in of this time, under this lineage if any, is void. */
  voidsLogin(user: string, at: number, lineage: Buffer | undefined): boolean {
    if (this.#index.isEmpty) return false
    if (this.#index.floor >= at) return true
    if (this.#since({ user }) >= at || this.#since({ all: true }) >= at) return true
    return lineage !== undefined && this.#since({ lineage }) >= 0
  }

  /** Calls back for every revocation, wherever it was made. Returns the way to stop it. */
  onRevoke(listener: (revocation: Revocation) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  close(): void {
    this.#unwatch()
  }

  /** Made here or by another member; it is in the cache. */
  #notice({ key, value, version, expiresAt, tombstone }: CacheRecord): void {
    // What was revoked stays so: there is no way back.
    if (tombstone) return
    if (key.equals(floorKey)) {
      this.#index.raise(version.ms)
      return
    }
    const revocation = decodeRevocation(value)
    const now = this.#options.clock.now()
    const { floor } = this.#index
    this.#index.add(key, { revocation, until: expiresAt }, now)
    if (this.#index.floor > floor) this.#tellFloor(now)
    if (revocation === undefined) return
    tellAll(this.#listeners, revocation)
  }

  /**
   * Those who join must hear of it: the revocations that it stands for may be kept nowhere any
   * more. Of two floors the higher one stays, since that is the version.
   */
  #tellFloor(now: number): void {
    const { cache, versions, lineageTimeout } = this.#options
    const record = {
      table: tables.revocation,
      key: floorKey,
      value: Buffer.from('{}'),
      version: { ms: Math.floor(this.#index.floor), logical: 0, node: versions.node },
      expiresAt: Math.floor(now + lineageTimeout + maxClockDifference),
      tombstone: false,
    }
    // Refused by a cache that is closed.
    cache.write(record, { level: 'local' }).catch(() => {})
  }

  #isChainRevoked({ originalAt, lineage, serverName }: ChainTerms): boolean {
    if (this.#index.floor >= originalAt) return true
    if (this.#since({ all: true }) >= originalAt) return true
    if (this.#since({ serverName }) >= originalAt) return true
    if (this.#since({ lineage }) >= 0) return true
    const user = this.#options.subjectOf?.(lineage)
    return user !== undefined && this.#since({ user }) >= originalAt
  }

  /** The latest time up to which the target is revoked; -1 when it is not. */
  #since(target: RevocationTarget): number {
    const { clock } = this.#options
    const key = keyOf(target)
    const known = this.#index.get(key, clock.now())
    return known === undefined ? -1 : timeOf(known.revocation)
  }
}

function newestFirst(a: ListedRevocation, b: ListedRevocation): number {
  if (a.at !== b.at) return b.at - a.at
  return `${a.kind} ${a.name}` < `${b.kind} ${b.name}` ? -1 : 1
}

/** One that can't be read counts for ever. */
function timeOf(revocation: Revocation | undefined): number {
  return revocation?.at ?? Number.POSITIVE_INFINITY
}
