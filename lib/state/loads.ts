import { HandfastError } from '../errors.ts'
import {
  type Cached,
  type CachedValue,
  type DataCache,
  floorAt,
  isValue,
} from './cache/data-cache.ts'
import type { Freshness } from './cache/freshness.ts'
import type { Stored } from './database.ts'
import type { GuardedDatabase } from './guarded-database.ts'
import type { StateSealer } from './sealer.ts'
import type { StateCounters } from './state-counters.ts'

/** Loads, while what was loaded is outdated before it is here. */
const mostLoads = 5

export interface LoadsParts {
  readonly table: string
  readonly database: GuardedDatabase
  readonly cache: DataCache
  readonly freshness: Freshness
  readonly sealer: StateSealer | undefined
  readonly counters: StateCounters
  /** Milliseconds. */
  readonly cacheTtl: number
  readonly farmBudget: number
}

interface Flight {
  readonly found: Promise<CachedValue | undefined>
  /** It began then. */
  readonly asOf: number
  /** What is older than this is not the newest. */
  floor: bigint
}

/** What may be shown of a table from the cache, and what has to come from the database. */
export class Loads {
  readonly #parts: LoadsParts
  /** By the name in the database. */
  readonly #flights = new Map<string, Flight>()

  constructor(parts: LoadsParts) {
    this.#parts = parts
  }

  mayShow(key: string, name: string, cached: Cached): boolean {
    const { freshness, cacheTtl } = this.#parts
    if (this.hasEnded(cached)) return false
    return freshness.trusts(this.#flushName(name), key, cached, cacheTtl)
  }

  hasEnded({ expiresAt }: Cached): boolean {
    return expiresAt !== undefined && expiresAt <= this.#parts.cache.now()
  }

  /** What is cached of it is loaded before it is shown again. */
  flush(name: string): void {
    this.#parts.freshness.flush(this.#flushName(name))
  }

  /** Whoever asks from now on does not get what is on its way. */
  leave(name: string): void {
    this.#flights.delete(name)
  }

  /** Somebody else says that values below `floor` are not the newest. */
  outdated(name: string, floor: bigint): void {
    const flight = this.#flights.get(name)
    if (flight === undefined || floor <= flight.floor) return
    flight.floor = floor
    this.leave(name)
  }

  /**
   * What the database has. Many at a time cost one question, where what others write is told; else
   * an answer may be older than a write that was acknowledged before the second one asked.
   */
  load(key: string, name: string, alone: boolean): Promise<CachedValue | undefined> {
    const { freshness, cacheTtl } = this.#parts
    const isShared = !alone && cacheTtl > 0
    const flying = isShared ? this.#flights.get(name) : undefined
    if (flying && !freshness.isFlushed(this.#flushName(name), key, flying.asOf)) {
      return flying.found
    }
    const flight: {
      found?: Promise<CachedValue | undefined>
      asOf: number
      floor: bigint
    } = {
      asOf: freshness.stamp(),
      floor: 0n,
    }
    flight.found = this.#fly(key, name, () => flight.floor).finally(() => {
      if (this.#flights.get(name) === flight) this.#flights.delete(name)
    })
    if (isShared) this.#flights.set(name, flight as Flight)
    return flight.found
  }

  async #fly(
    key: string,
    name: string,
    floor: () => bigint,
  ): Promise<CachedValue | undefined> {
    const { database, cache, freshness, table, counters, farmBudget } = this.#parts
    for (let load = 0; load < mostLoads; load += 1) {
      counters.loads += 1
      const asOf = freshness.stamp()
      const before = cache.read(table, name)
      const stored = await database.get(table, name)
      if (stored === undefined) {
        const known = cache.read(table, name)
        if (!isValue(known)) return undefined
        // It came while we looked: written since, or a load that is late, of what was deleted.
        if (known.version !== before?.version) continue
        cache.keep(table, name, floorAt(known.version + 1n, asOf))
        return undefined
      }
      const found = { ...this.#opened(key, name, stored), asOf }
      await cache.put(table, name, found, farmBudget)
      const known = cache.read(table, name)
      if (known !== undefined && known.version > found.version) {
        // It was there before: the database went back behind what it had told, to a backup.
        if (known.version === before?.version) return found
        if (isValue(known)) return known
      } else if (found.version >= floor()) return found
    }
    throw new HandfastError(
      'ERR_HANDFAST_DATABASE',
      'what was loaded was outdated again and again',
    )
  }

  #opened(key: string, name: string, stored: Stored): Omit<CachedValue, 'asOf'> {
    const { sealer, table } = this.#parts
    const { version, expiresAt } = stored
    if (sealer === undefined) return { value: stored.value, version, expiresAt }
    const opened = sealer.open(table, name, stored.value)
    if (opened.key !== key) throw new HandfastError('ERR_HANDFAST_PROTOCOL', 'two keys')
    return { value: opened.value, version, expiresAt }
  }

  #flushName(name: string): string {
    return `${this.#parts.table}\0${name}`
  }
}
