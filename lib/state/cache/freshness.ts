import { BoundedMap } from '../../bounded-map.ts'
import type { Database } from '../database.ts'
import type { Cached, DataCache } from './data-cache.ts'

/**
 * Sessions and keys that are known one by one. Anybody can make up more: of all that is older than
 * the oldest one that was forgotten nothing is known, and it is loaded anew.
 */
const mostFlushed = 50_000
/** Milliseconds, and exact in a number: a time for each flush, and one for what comes after it. */
const moment = 1 / 512

export interface FreshnessParts {
  readonly cache: DataCache
  readonly database: Database
}

/**
 * Whether a value from the data cache may be shown. What that means depends on who else may write
 * and who tells of it:
 *
 * - nobody else has the database open: a cached value is the newest;
 * - a farm: a write is acknowledged when every member that can be reached has it, so a cached
 *   value is the newest while this member is current. Cut off from the others, it shows none
 *   until it has looked in the database;
 * - a database that tells of changes: a cached value is the newest but for what is on its way.
 *   While the connection that tells is down, none is shown without a look;
 * - neither: a cached value is at most `cacheTtl` old.
 *
 * In all of them it is no older than `cacheTtl`, for a writer that tells nobody.
 */
export class Freshness {
  readonly #cache: DataCache
  readonly #isExclusive: boolean
  readonly #flushed = new BoundedMap<string, number>(mostFlushed, at => {
    this.#since = Math.max(this.#since, at)
  })
  /** What was the newest only before is to be loaded anew. */
  #since = 0
  #lastFlush = 0
  #hears = true
  readonly #stopWatching: () => void

  constructor(
    { cache, database }: FreshnessParts,
    changed: (table: string, key: string, floor: bigint) => void,
  ) {
    this.#cache = cache
    this.#isExclusive = database.reach === 'process'
    if (database.watch === undefined || this.#isExclusive) {
      this.isTold = this.#isExclusive || cache.isCurrent() !== undefined
      this.#stopWatching = () => {}
      return
    }
    this.isTold = true
    this.#hears = false
    this.#stopWatching = database.watch({
      changed,
      shortened: (table, key) => this.flush(`${table}\0${key}`),
      deaf: () => {
        this.#hears = false
      },
      heard: () => {
        this.#hears = true
        this.#since = this.#flushTime()
      },
    })
  }

  /** Somebody tells of what others write, or nobody else does. */
  readonly isTold: boolean

  get isExclusive(): boolean {
    return this.#isExclusive
  }

  /** `name`: see flush. `cacheTtl` in ms. */
  trusts(name: string, key: string, cached: Cached, cacheTtl: number): boolean {
    const { asOf } = cached
    if (this.isFlushed(name, key, asOf)) return false
    if (this.#isExclusive) return true
    if (!this.#hears || this.#cache.isCurrent() === false) return false
    // Without a time there is no trust: `asOf` may be a millisecond ahead.
    return cacheTtl > 0 && asOf + cacheTtl > this.#cache.now()
  }

  /** What was the newest as of then is to be loaded anew. */
  isFlushed(name: string, key: string, asOf: number): boolean {
    if (asOf <= this.#since && this.#since > 0) return true
    return this.#flushed.size > 0 && asOf <= this.#flushedAt(name, key)
  }

  /**
   * What is cached now is loaded anew before it is shown: of a session, or of a single key, by
   * the name of its table, NUL, and its own name in the database.
   */
  flush(name: string): void {
    this.#flushed.set(name, this.#flushTime())
  }

  /** As of when something is the newest that is asked for from now on, ms. */
  stamp(): number {
    return Math.max(this.#cache.now(), this.#lastFlush + moment)
  }

  close(): void {
    this.#stopWatching()
  }

  /** Behind all that was asked for before, and before all that is asked for now. */
  #flushTime(): number {
    this.#lastFlush = this.stamp()
    return this.#lastFlush
  }

  #flushedAt(name: string, key: string): number {
    let at = Math.max(this.#flushed.get(name) ?? 0, this.#flushed.get(key) ?? 0)
    // An ID may have a slash of its own.
    for (let end = key.indexOf('/'); end >= 0; end = key.indexOf('/', end + 1)) {
      at = Math.max(at, this.#flushed.get(key.slice(0, end)) ?? 0)
    }
    return at
  }
}
