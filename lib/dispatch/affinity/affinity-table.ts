import { createHash } from 'node:crypto'
import { BoundedMap } from '../../bounded-map.ts'
import type { Cache, Found } from '../../cache/cache.ts'
import { systemClock } from '../../clock.ts'
import { TokenBucket } from '../../limit/token-bucket.ts'
import { tables } from '../../record/key.ts'

/** Questions to other members: a client can make up names that nobody has heard of. */
const asks = { perSecond: 200, atOnce: 200 }
/** Longest wait for another member, in milliseconds; then the client counts as new. */
const lookupBudget = 50

/**
 * Which backend holds which client, for all proxies of a farm. What is lost costs a client its
 * place, so nothing here makes anybody wait for long, and a table that fails is an empty one.
 */
export interface AffinityTable {
  /** Cookies and the names of backends are made with it: the same on every proxy of the farm. */
  readonly key: Buffer
  /** Nobody has been noted for as long as an entry lives, so there is nothing to look for. */
  readonly empty: boolean
  /** What this member knows. */
  local(name: string): Noted | undefined
  /** The same of the farm. Never rejects. */
  find(name: string): Promise<Noted | undefined>
  /** From now on this backend, for so many milliseconds. Nobody waits for it. */
  note(name: string, backend: string, ttl: number): void
}

export interface Noted {
  readonly backend: string
  /** Wall time in milliseconds. */
  readonly endsAt: number
}

/** In the virtual table `backend` of the farm's cache. Names lie there hashed. */
export class FarmAffinity implements AffinityTable {
  readonly key: Buffer
  readonly #cache: Cache
  readonly #asks = new TokenBucket(asks.perSecond, asks.atOnce)
  #lastEnd = 0

  constructor(cache: Cache, key: Buffer) {
    this.key = key
    this.#cache = cache
    cache.watch(tables.backend, ({ expiresAt }) => {
      this.#lastEnd = Math.max(this.#lastEnd, expiresAt)
    })
  }

  get empty(): boolean {
    return this.#lastEnd < systemClock.now()
  }

  local(name: string): Noted | undefined {
    return notedIn(this.#cache.getLocal(tables.backend, keyOf(name)))
  }

  async find(name: string): Promise<Noted | undefined> {
    const here = this.local(name)
    if (here !== undefined || !this.#asks.take(systemClock.monotonic())) return here
    try {
      return notedIn(await this.#cache.get(tables.backend, keyOf(name), lookupBudget))
    } catch {
      return undefined
    }
  }

  note(name: string, backend: string, ttl: number): void {
    try {
      const value = Buffer.from(backend, 'latin1')
      this.#cache
        .add(tables.backend, keyOf(name), value, { ttl, level: 'local' })
        .catch(() => {})
    } catch {
      // The farm is closed: the last requests are under way.
    }
  }
}

/** Of one process without a farm: the newest so many. */
export class LocalAffinity implements AffinityTable {
  readonly key: Buffer
  readonly #places: BoundedMap<string, Noted>

  constructor(key: Buffer, most = 100_000) {
    this.key = key
    this.#places = new BoundedMap(most)
  }

  get empty(): boolean {
    return this.#places.size === 0
  }

  local(name: string): Noted | undefined {
    const place = this.#places.get(name)
    return place && place.endsAt > systemClock.now() ? place : undefined
  }

  async find(name: string): Promise<Noted | undefined> {
    return this.local(name)
  }

  note(name: string, backend: string, ttl: number): void {
    this.#places.set(name, { backend, endsAt: systemClock.now() + ttl })
  }
}

function notedIn(found: Found | undefined): Noted | undefined {
  return found && { backend: found.value.toString('latin1'), endsAt: found.expiresAt }
}

/** Tagged, so that it is no key of anything else in that table. */
function keyOf(name: string): Buffer {
  return createHash('sha256').update(`affinity\0${name}`).digest().subarray(0, 16)
}
