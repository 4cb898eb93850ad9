import { setTimeout as pause } from 'node:timers/promises'
import { HandfastError } from '../errors.ts'
import { shown } from '../shown.ts'
import { type CachedValue, type DataCache, floorAt, isValue } from './cache/data-cache.ts'
import type { Freshness } from './cache/freshness.ts'
import { maxVersion, type ScanPage } from './database.ts'
import type { GuardedDatabase } from './guarded-database.ts'
import { Loads } from './loads.ts'
import { Names } from './names.ts'
import { longestTtl, type TableSettings } from './options.ts'
import type { StateSealer } from './sealer.ts'
import type { StateCounters } from './state-counters.ts'
import type {
  GetOptions,
  PutOptions,
  SetOptions,
  StateEntry,
  StoredEntry,
  Written,
} from './state-entry.ts'
import { Turns } from './turns.ts'
import { decodeValue, encodeValue } from './value-codec.ts'

/** Times that a change is tried while others are faster. */
const mostTries = 20
/** Before the next try, ms: at random up to this, twice that the next time, and so on. */
const firstPause = 2
const longestPause = 200
const scanStep = 100

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
  readonly #names: Names
  readonly #loads: Loads
  readonly #turns: Turns

  /** @internal */
  constructor(parts: TableParts) {
    this.#parts = parts
    const { name, settings, freshness, turnBudget, sealer } = parts
    const cacheTtl = settings.cacheTtl ?? (freshness.isTold ? 60_000 : 0)
    this.#turns = new Turns(turnBudget)
    this.#names = new Names(name, sealer)
    this.#loads = new Loads({ ...parts, table: name, cacheTtl })
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
      if (isValue(cached) && this.#loads.mayShow(key, name, cached)) {
        counters.hits += 1
        return entryOf<T>(cached, false)
      }
    }
    counters.misses += 1
    try {
      const found = await this.#loads.load(key, name, isFresh)
      return found && entryOf<T>(found, false)
    } catch (error) {
      const left = cache.read(table, name)
      if (isFresh || !isDown(error) || !isValue(left) || this.#loads.hasEnded(left))
        throw error
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
    else await this.#loads.load(key, name, true).catch(() => {})
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
    this.#loads.flush(this.#names.of(key))
  }

  /**
   * Somebody else says that values below `floor` are not the newest.
   * @internal
   */
  outdated(name: string, floor: bigint): void {
    this.#loads.outdated(name, floor)
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
      this.#parts.counters.failedWrites += 1
      if (codeOf(error) === 'ERR_HANDFAST_OUTCOME_UNKNOWN') this.#loads.flush(name)
      throw error
    } finally {
      // Who asks from now on is not told what was there before.
      this.#loads.leave(name)
    }
  }

  /** Tries until nobody was faster: first with what is cached, then with what is there. */
  async #retried<R>(
    key: string,
    name: string,
    attempt: (
      version: bigint | undefined,
      found: CachedValue | undefined,
    ) => Promise<R | undefined>,
  ): Promise<R> {
    const { cache, name: table, counters } = this.#parts
    const cached = cache.read(table, name)
    let found: CachedValue | undefined =
      isValue(cached) && this.#loads.mayShow(key, name, cached)
        ? cached
        : await this.#loads.load(key, name, false)
    for (let tries = 1; ; tries += 1) {
      const answer = await attempt(found?.version, found)
      if (answer !== undefined) return answer
      counters.conflicts += 1
      if (tries === mostTries) {
        throw this.#conflict(`somebody else changed it ${mostTries} times meanwhile`)
      }
      await pause(Math.random() * Math.min(longestPause, firstPause * 2 ** tries))
      found = await this.#loads.load(key, name, true)
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

function entryOf<T>(
  { value, version, expiresAt }: CachedValue,
  stale: boolean,
): StateEntry<T> {
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
