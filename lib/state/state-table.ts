import { setTimeout as pause } from 'node:timers/promises'
import { HandfastError } from '../errors.ts'
import { shown } from '../shown.ts'
import type { Cached, DataCache } from './cache/data-cache.ts'
import type { Freshness } from './cache/freshness.ts'
import { maxVersion, type ScanPage, type Stored } from './database.ts'
import type { GuardedDatabase } from './guarded-database.ts'
import { Names } from './names.ts'
import { longestTtl, type TableSettings } from './options.ts'
import type { StateSealer } from './sealer.ts'
import type { StateCounters } from './state-counters.ts'
import { Turns } from './turns.ts'
import { decodeValue, encodeValue } from './value-codec.ts'

/** Times that a change is tried while others are faster. */
const mostTries = 20
/** Before the next try, ms: at random up to this, twice that the next time, and so on. */
const firstPause = 2
const longestPause = 200
/** Loads, while what was loaded is outdated before it is here. */
const mostLoads = 5
const scanStep = 100

export interface StateEntry<T> {
  /** The caller's own: it may be changed. */
  readonly value: T
  /** Larger with each change; good for `ifVersion`. */
  readonly version: bigint
  /** Wall time in ms; undefined: it stays. */
  readonly expiresAt: number | undefined
  /** The database does not answer: this may not be the newest. */
  readonly stale: boolean
}

export interface StoredEntry<T> extends StateEntry<T> {
  readonly key: string
}

export interface Written {
  readonly version: bigint
  /**
   * Every member of the farm that can be reached knows of it. false: it is stored, but one did
   * not say so in time, and may show the value before it for a moment.
   */
  readonly everywhere: boolean
}

export interface GetOptions {
  /** Look in the database, whatever is cached. Default false. */
  readonly fresh?: boolean | undefined
}

export interface PutOptions {
  /** Milliseconds until it is gone. Default: the table's. */
  readonly ttl?: number | undefined
}

export interface SetOptions extends PutOptions {
  /**
   * Only where the version is this one, or, for `'absent'`, where nothing is; else it rejects with
   * ERR_HANDFAST_CONFLICT. Default: whatever is there.
   */
  readonly ifVersion?: bigint | 'absent' | undefined
}

export interface TableParts {
  readonly name: string
  readonly settings: TableSettings
  readonly database: GuardedDatabase
  readonly cache: DataCache
  readonly freshness: Freshness
  /** None: values lie in clear. */
  readonly sealer: StateSealer | undefined
  readonly counters: StateCounters
  /** Wall time in ms, for the ends of entries. */
  readonly wall: () => number
  readonly farmBudget: number
  readonly turnBudget: number
  /** Called with what can't be read. */
  readonly onFault: (error: unknown, table: string) => void
}

/** What a load found; the value as in the cache. */
type Found = Cached & { readonly value: Buffer }

interface Flight {
  readonly found: Promise<Found | undefined>
  /** It began then. */
  readonly asOf: number
  /** What is older than this is not the newest. */
  floor: bigint
}

/**
 * A table of application state. Reads come from the data cache of this server, or from the
 * database when that has nothing or may not be trusted; a write goes to the database first, and is
 * acknowledged when it is there. A key has 1 to 200 bytes of text; what stands before a `/` in
 * it is the session that the entry belongs to.
 *
 * Rejects with ERR_HANDFAST_DATABASE where the database can't be asked: nothing was changed. After
 * ERR_HANDFAST_OUTCOME_UNKNOWN a change may have been made.
 */
export class StateTable<T = unknown> {
  readonly #parts: TableParts
  readonly #cacheTtl: number
  readonly #names: Names
  /** By the name in the database. */
  readonly #flights = new Map<string, Flight>()
  readonly #turns: Turns

  /** @internal */
  constructor(parts: TableParts) {
    this.#parts = parts
    const { name, settings, freshness, turnBudget, sealer } = parts
    this.#cacheTtl = settings.cacheTtl ?? (freshness.isTold ? 60_000 : 0)
    this.#turns = new Turns(turnBudget)
    this.#names = new Names(name, sealer)
  }

  get name(): string {
    return this.#parts.name
  }

  /** Undefined where there is none, or it has ended. */
  async get(key: string, options?: GetOptions): Promise<StateEntry<T> | undefined> {
    const { cache, counters, name: table } = this.#parts
    const name = this.#names.of(key)
    const isFresh = options?.fresh === true
    if (!isFresh) {
      const cached = cache.read(table, name)
      if (isValue(cached) && this.#mayShow(key, name, cached)) {
        counters.hits += 1
        return entryOf<T>(cached, false)
      }
    }
    counters.misses += 1
    try {
      const found = await this.#load(key, name, isFresh)
      return found && entryOf<T>(found, false)
    } catch (error) {
      const left = cache.read(table, name)
      if (isFresh || !isDown(error) || !isValue(left) || this.#hasEnded(left)) throw error
      counters.stale += 1
      return entryOf<T>(left, true)
    }
  }

  /**
   * Stores a value. Without `ifVersion` over whatever is there: who may lose a change of somebody
   * else's by that uses `update`.
   */
  async set(key: string, value: T, options: SetOptions = {}): Promise<Written> {
    const { ifVersion, ttl } = options
    const name = this.#names.of(key)
    const bytes = this.#encoded(value)
    const expiresAt = this.#endOf(ttl)
    if (ifVersion === undefined) {
      return await this.#turns.take(name, () =>
        this.#retried(key, name, expected =>
          this.#store(key, name, expected, bytes, expiresAt),
        ),
      )
    }
    const expected = ifVersion === 'absent' ? undefined : ifVersion
    // Whoever has a version from a client has it as it came.
    const canBe = expected === undefined || (expected > 0n && expected <= maxVersion)
    const written = canBe && (await this.#store(key, name, expected, bytes, expiresAt))
    if (written) return written
    throw this.#conflict('it is another version by now')
  }

  /**
   * Changes a value by what is there, undefined for nothing. Where somebody else, on any server,
   * was faster, `change` is called again with what is there then; after 20 times it rejects with
   * ERR_HANDFAST_CONFLICT. Resolves with what is there afterwards. When `change` answers
   * undefined, nothing is changed.
   */
  async update(
    key: string,
    change: (value: T | undefined) => T | undefined | Promise<T | undefined>,
    options: PutOptions = {},
  ): Promise<StateEntry<T> | undefined> {
    const name = this.#names.of(key)
    const { entry } = await this.#turns.take(name, () =>
      this.#retried(key, name, async (expected, found) => {
        const value = await change(found && (decodeValue(found.value) as T))
        // Who changes nothing has looked at what was there then, and that is all.
        if (value === undefined) return { entry: found && entryOf<T>(found, false) }
        const bytes = this.#encoded(value)
        const expiresAt = this.#endOf(options.ttl)
        const written = await this.#store(key, name, expected, bytes, expiresAt)
        if (written === undefined) return undefined
        const { version } = written
        const own = decodeValue(bytes) as T
        return { entry: { value: own, version, expiresAt, stale: false } }
      }),
    )
    return entry
  }

  /** Takes an entry away. True when there was one. */
  delete(key: string): Promise<boolean> {
    return this.#remove(this.#names.of(key))
  }

  /** Gives an entry another `ttl` from now, in ms. True when it was there. */
  async touch(
    key: string,
    ttl: number | undefined = this.#parts.settings.ttl,
  ): Promise<boolean> {
    const { database, cache, name: table, farmBudget } = this.#parts
    const name = this.#names.of(key)
    const expiresAt = this.#endOf(ttl)
    const before = cache.read(table, name)
    const asOf = this.#parts.freshness.stamp()
    const move = await database.expire(table, name, expiresAt)
    const known = cache.read(table, name)
    const isSame = isValue(known) && known.version === before?.version
    if (move === undefined) {
      if (isSame) cache.keep(table, name, floorAt(known.version + 1n, asOf))
      return false
    }
    const moved = isSame ? { ...known, expiresAt, asOf: known.asOf + 1 } : undefined
    // Others go by the end that they know, and look in the database then: one that is earlier
    // they have to be told.
    if (move === 'later') {
      if (moved !== undefined) cache.keep(table, name, moved)
    } else if (moved !== undefined) await cache.put(table, name, moved, farmBudget)
    else await this.#load(key, name, true).catch(() => {})
    return true
  }

  /**
   * All that is in the database, in no order. What is changed meanwhile may be told or not; where
   * many entries are taken out of a Redis meanwhile, one may be told twice.
   */
  async *entries(): AsyncGenerator<StoredEntry<T>, void, undefined> {
    const { name: table, sealer, onFault } = this.#parts
    for await (const page of this.#pages()) {
      for (const { key: name, value: stored, version, expiresAt } of page) {
        try {
          const { key, value } = sealer?.open(table, name, stored) ?? {
            key: name,
            value: stored,
          }
          yield { key, value: decodeValue(value) as T, version, expiresAt, stale: false }
        } catch (error) {
          if (!isUnreadable(error)) throw error
          onFault(error, table)
        }
      }
    }
  }

  /** Deletes all entries, those that can't be read too. Answers how many there were. */
  async clear(): Promise<number> {
    let count = 0
    for await (const page of this.#pages()) {
      const removed = await Promise.all(page.map(({ key: name }) => this.#remove(name)))
      count += removed.filter(Boolean).length
    }
    return count
  }

  /** What is cached here of this key is loaded from the database before it is shown again. */
  flush(key: string): void {
    this.#parts.freshness.flush(this.#flushName(this.#names.of(key)))
  }

  /**
   * Somebody else says that values below `floor` are not the newest.
   * @internal
   */
  outdated(name: string, floor: bigint): void {
    const flight = this.#flights.get(name)
    if (flight === undefined || floor <= flight.floor) return
    flight.floor = floor
    this.#flights.delete(name)
  }

  async *#pages(): AsyncGenerator<ScanPage['entries'], void, undefined> {
    const { database, name: table } = this.#parts
    let cursor: string | undefined
    do {
      const page = await database.scan(table, cursor, scanStep)
      yield page.entries
      cursor = page.next
    } while (cursor !== undefined)
  }

  #mayShow(key: string, name: string, cached: Cached): boolean {
    const { freshness } = this.#parts
    if (this.#hasEnded(cached)) return false
    const flushName = this.#flushName(name)
    return freshness.trusts(flushName, key, cached, this.#cacheTtl)
  }

  #hasEnded({ expiresAt }: Cached): boolean {
    return expiresAt !== undefined && expiresAt <= this.#parts.cache.now()
  }

  #flushName(name: string): string {
    return `${this.#parts.name}\0${name}`
  }

  /**
   * What the database has. Many at a time cost one question, where what others write is told; else
   * an answer may be older than a write that was acknowledged before the second one asked.
   */
  #load(key: string, name: string, alone: boolean): Promise<Found | undefined> {
    const isShared = !alone && this.#cacheTtl > 0
    const flying = isShared ? this.#flights.get(name) : undefined
    const { freshness } = this.#parts
    if (flying && !freshness.isFlushed(this.#flushName(name), key, flying.asOf)) {
      return flying.found
    }
    const flight: { found?: Promise<Found | undefined>; asOf: number; floor: bigint } = {
      asOf: freshness.stamp(),
      floor: 0n,
    }
    flight.found = this.#fly(key, name, () => flight.floor).finally(() => {
      if (this.#flights.get(name) === flight) this.#flights.delete(name)
    })
    if (isShared) this.#flights.set(name, flight as Flight)
    return flight.found
  }

  async #fly(key: string, name: string, floor: () => bigint): Promise<Found | undefined> {
    const { database, cache, name: table, counters, farmBudget } = this.#parts
    for (let load = 0; load < mostLoads; load += 1) {
      counters.loads += 1
      const asOf = this.#parts.freshness.stamp()
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

  #opened(key: string, name: string, stored: Stored): Omit<Found, 'asOf'> {
    const { sealer, name: table } = this.#parts
    const { version, expiresAt } = stored
    if (sealer === undefined) return { value: stored.value, version, expiresAt }
    const opened = sealer.open(table, name, stored.value)
    if (opened.key !== key) throw new HandfastError('ERR_HANDFAST_PROTOCOL', 'two keys')
    return { value: opened.value, version, expiresAt }
  }

  /** Undefined where the version is another one. */
  async #store(
    key: string,
    name: string,
    expected: bigint | undefined,
    bytes: Buffer,
    expiresAt: number | undefined,
  ): Promise<Written | undefined> {
    const { database, cache, name: table, sealer, counters, farmBudget } = this.#parts
    const value = sealer?.seal(table, name, key, bytes) ?? bytes
    const asOf = this.#parts.freshness.stamp()
    counters.writes += 1
    const stored = (version: bigint) =>
      cache.put(table, name, { version, value: bytes, expiresAt, asOf }, farmBudget)
    const version = await this.#unsure(name, () =>
      database.compareAndSet(table, name, expected, value, expiresAt, late => {
        if (late !== undefined) void stored(late)
      }),
    )
    if (version === undefined) return undefined
    return { version, everywhere: await stored(version) }
  }

  async #remove(name: string): Promise<boolean> {
    const { database, cache, name: table, counters } = this.#parts
    counters.writes += 1
    const known = cache.read(table, name)
    const version = await this.#unsure(name, () =>
      database.delete(table, name, late => void this.#gone(name, late)),
    )
    await this.#gone(name, version ?? known?.version)
    return version !== undefined
  }

  #gone(name: string, version: bigint | undefined): Promise<boolean> {
    const { cache, name: table, farmBudget } = this.#parts
    if (version === undefined) return Promise.resolve(true)
    return cache.put(table, name, floorAt(version + 1n, cache.now()), farmBudget)
  }

  /** A change of which nobody knows what became: what is cached is to be looked up. */
  async #unsure<R>(name: string, change: () => Promise<R>): Promise<R> {
    try {
      return await change()
    } catch (error) {
      const { freshness, counters } = this.#parts
      counters.failedWrites += 1
      if (codeOf(error) === 'ERR_HANDFAST_OUTCOME_UNKNOWN') {
        freshness.flush(this.#flushName(name))
      }
      throw error
    } finally {
      // Who asks from now on is not told what was there before.
      this.#flights.delete(name)
    }
  }

  /** Tries until nobody was faster: first with what is cached, then with what is there. */
  async #retried<R>(
    key: string,
    name: string,
    attempt: (
      version: bigint | undefined,
      found: Found | undefined,
    ) => Promise<R | undefined>,
  ): Promise<R> {
    const { cache, name: table, counters } = this.#parts
    const cached = cache.read(table, name)
    let found: Found | undefined =
      isValue(cached) && this.#mayShow(key, name, cached)
        ? cached
        : await this.#load(key, name, false)
    for (let tries = 1; ; tries += 1) {
      const answer = await attempt(found?.version, found)
      if (answer !== undefined) return answer
      counters.conflicts += 1
      if (tries === mostTries) {
        throw this.#conflict(`somebody else changed it ${mostTries} times meanwhile`)
      }
      await pause(Math.random() * Math.min(longestPause, firstPause * 2 ** tries))
      found = await this.#load(key, name, true)
    }
  }

  #encoded(value: T): Buffer {
    const { as, maxBytes } = this.#parts.settings
    const bytes = encodeValue(value, as)
    if (bytes.length - 1 <= maxBytes) return bytes
    throw new HandfastError(
      'ERR_HANDFAST_USAGE',
      `a value of table ${this.name} has at most ${maxBytes} bytes (option maxBytes), ` +
        `got ${bytes.length - 1}`,
    )
  }

  #endOf(ttl: number | undefined = this.#parts.settings.ttl): number | undefined {
    if (ttl === undefined || ttl === Number.POSITIVE_INFINITY) return undefined
    if (typeof ttl === 'number' && ttl > 0 && ttl <= longestTtl) {
      return Math.floor(this.#parts.wall() + ttl)
    }
    throw new HandfastError(
      'ERR_HANDFAST_USAGE',
      `ttl must be more than 0 ms and at most 100 years, got ${shown(ttl)}`,
    )
  }

  #conflict(why: string): HandfastError {
    return new HandfastError(
      'ERR_HANDFAST_CONFLICT',
      `nothing was changed in table ${this.name}: ${why}`,
    )
  }
}

function floorAt(version: bigint, asOf: number): Cached {
  return { version, value: undefined, expiresAt: undefined, asOf }
}

function isValue(cached: Cached | undefined): cached is Found {
  return cached?.value !== undefined
}

function entryOf<T>({ value, version, expiresAt }: Found, stale: boolean): StateEntry<T> {
  return { value: decodeValue(value) as T, version, expiresAt, stale }
}

function codeOf(error: unknown): string | undefined {
  return error instanceof HandfastError ? error.code : undefined
}

function isDown(error: unknown): boolean {
  return codeOf(error) === 'ERR_HANDFAST_DATABASE'
}

function isUnreadable(error: unknown): boolean {
  return codeOf(error) === 'ERR_HANDFAST_PROTOCOL'
}
