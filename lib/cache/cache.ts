import type { Clock } from '../clock.ts'
import { HandfastError } from '../errors.ts'
import type { Replica, WriteReach } from '../farm/transport.ts'
import type { HybridClock } from '../record/hybrid-clock.ts'
import { type TableId, tables } from '../record/key.ts'
import { type CacheRecord, checkRecordSize, latestEnd } from '../record/record.ts'
import { shown } from '../shown.ts'
import type { RecordTable, ScanCursor, ScanStep } from '../table/record-table.ts'
import { tellAll } from '../tell-all.ts'
import { KeptRecords } from './kept-records.ts'
import { mayBePurged, PurgeMarks, purgeMark } from './purge-marks.ts'
import { reachOf } from './reach.ts'
import type { Source, WriteLevel } from './tier.ts'
import { Tiers } from './tiers.ts'

/** How long a tombstone outlives the record that it deletes: room for skewed clocks. */
const tombstoneSlack = 2_000
/** Of a record that is not here. A member that has it and was away for longer brings it back. */
const shortestTombstone = 3_600_000

/**
 * Timers count whole milliseconds, from when the turn of the event loop began in which they were
 * set: so much too early they may fire, ms.
 */
const timerSlack = 5

export interface CacheOptions {
  readonly table: RecordTable
  readonly versions: HybridClock
  readonly clock: Clock
}

export interface Found {
  readonly value: Buffer
  /** Wall time in milliseconds at which the record is gone. */
  readonly expiresAt: number
  /** Where it was found: in this member's table, or in a tier beyond it. */
  readonly source: Source
}

export interface WriteTerms {
  /** Default `one`; of a deletion `all`. */
  readonly level?: WriteLevel
  /** Longest wait for the level, in milliseconds. Default 1000. */
  readonly budget?: number
}

export interface WriteOptions extends WriteTerms {
  /** Milliseconds until the record is gone; `Infinity` for some thousands of years. */
  readonly ttl: number
}

/**
 * Is told of a record that changed what is here. Its bytes may be the network's: copy what is
 * to be kept. What it throws keeps the record from being acknowledged.
 */
export type Watcher = (record: CacheRecord) => void

/**
 * The verbs of row A11 (get, add, update, delete, purge) over this member's table first, then
 * the tiers beyond it. Keys and values that are passed in are copied; they may be reused.
 *
 * A record comes in by one door, whoever wrote it and however it came (written here, told by
 * another member, found in a tier), and whoever watches its table is told before anybody is
 * told that it has been applied.
 */
export class Cache implements Replica {
  /** What lies beyond the table; to be extended before the cache is opened. */
  readonly tiers: Tiers
  readonly #table: RecordTable
  readonly #versions: HybridClock
  readonly #clock: Clock
  readonly #kept: KeptRecords
  readonly #purges: PurgeMarks
  /** By number of the virtual table. */
  readonly #watchers: (Watcher[] | undefined)[] = []
  #closed = false

  constructor({ table, versions, clock }: CacheOptions) {
    this.#table = table
    this.#versions = versions
    this.#clock = clock
    this.#kept = new KeptRecords(table, clock)
    this.#purges = new PurgeMarks(table, this.#kept)
    this.tiers = new Tiers({ clock, apply: record => this.take(record) })
  }

  /**
   * No full table loses records of this virtual table, or those with a key that is wanted. For
   * few and small ones that matter. To be called before there are any.
   */
  keep(table: TableId, wants?: (key: Buffer) => boolean): void {
    this.#kept.keep(table, wants)
  }

  /** Tells of all that changes in a virtual table. Returns the way to stop it. */
  watch(table: TableId, watcher: Watcher): () => void {
    // Copied at each change, for it may change while they are told.
    this.#watchers[table] = [...(this.#watchers[table] ?? []), watcher]
    return () => {
      this.#watchers[table] = this.#watchers[table]?.filter(other => other !== watcher)
    }
  }

  /** Resolves when what others hold is here, as far as they can be reached; see Tier.watch. */
  async open(): Promise<void> {
    try {
      await this.tiers.watch()
    } catch (error) {
      await this.close()
      throw error
    }
  }

  /** What this member's own table has. */
  getLocal(table: TableId, key: Buffer): Found | undefined {
    const record = this.read(table, key)
    if (record === undefined || record.tombstone) return undefined
    return { value: record.value, expiresAt: record.expiresAt, source: 'local' }
  }

  /** True when the key was deleted here and the tombstone is still there: nobody need be asked. */
  isDeleted(table: TableId, key: Buffer): boolean {
    return this.read(table, key)?.tombstone === true
  }

  /** The whole record that is here, a tombstone too. */
  read(table: TableId, key: Buffer): CacheRecord | undefined {
    return this.#kept.get(table, key) ?? this.#table.read(table, key)
  }

  /**
   * The own table, then the tiers, for at most `budget` milliseconds (default 50). What is found
   * is kept here too.
   */
  async get(table: TableId, key: Buffer, budget = 50): Promise<Found | undefined> {
    const found = await this.find(table, key, budget)
    return found === 'timeout' ? undefined : found
  }

  /** Like `get`, and says so when a miss is one for want of time. */
  async find(
    table: TableId,
    key: Buffer,
    budget: number,
  ): Promise<Found | 'timeout' | undefined> {
    this.#checkOpen()
    const local = this.getLocal(table, key)
    if (local !== undefined || budget <= 0 || this.isDeleted(table, key)) return local
    const { landed, endsAt } = this.tiers.ask(table, key, budget)
    const source = (await landed)?.source
    // A delete may have overtaken the answer: the table decides, not the answer.
    const found = this.getLocal(table, key)
    if (found !== undefined) return { ...found, source: source ?? 'local' }
    const slack = Math.min(timerSlack, budget / 4)
    return this.#clock.monotonic() >= endsAt - slack ? 'timeout' : undefined
  }

  /** Writes the record, over an older one too. True when the level was reached in time. */
  add(
    table: TableId,
    key: Buffer,
    value: Buffer,
    options: WriteOptions,
  ): Promise<boolean> {
    this.#checkOpen()
    return this.#write(this.#record(table, key, value, options.ttl), options)
  }

  /** Writes over an existing record only. False when there was none or the level was missed. */
  async update(
    table: TableId,
    key: Buffer,
    value: Buffer,
    options: WriteOptions,
  ): Promise<boolean> {
    this.#checkOpen()
    const record = this.#record(table, key, value, options.ttl)
    if (this.getLocal(table, key) === undefined) return false
    return this.#write(record, options)
  }

  /**
   * Deletes farm-wide: leaves a tombstone that outlives the record, so that a late replica
   * can't bring it back. True when the level was reached.
   */
  delete(table: TableId, key: Buffer, terms: WriteTerms = {}): Promise<boolean> {
    this.#checkOpen()
    checkRecordSize(key.length, 0)
    checkNoMark(table)
    const now = this.#clock.now()
    const old = this.read(table, key)
    const record: CacheRecord = {
      table,
      key: Buffer.from(key),
      value: Buffer.alloc(0),
      version: this.#versions.tick(),
      expiresAt: endAt(
        Math.max((old?.expiresAt ?? 0) + tombstoneSlack, now + shortestTombstone),
      ),
      tombstone: true,
    }
    return this.#write(record, { level: 'all', ...terms })
  }

  /**
   * Empties one virtual table farm-wide: a member that was away brings nothing back. Says which
   * members have not done so within `budget` ms. Rejects with ERR_HANDFAST_USAGE for
   * revocations and the farm's own table.
   */
  async purge(table: TableId, budget = 1_000): Promise<WriteReach> {
    this.#checkOpen()
    if (!mayBePurged(table)) {
      throw new HandfastError('ERR_HANDFAST_USAGE', `table ${table} can't be purged`)
    }
    const mark = purgeMark(table, this.#versions.tick(), this.#clock.now())
    return await this.reach(() => [this.#write(mark, { level: 'all', budget })])
  }

  /**
   * Writes a record whose version is its writer's choice. It goes on to the others even where it
   * is no news here. True when the level was reached.
   */
  write(record: CacheRecord, terms: WriteTerms = {}): Promise<boolean> {
    this.#checkOpen()
    this.apply(record)
    return this.#publish(record, terms)
  }

  /** Makes writes at level `all`, and says which members they did not come to. */
  reach(writes: () => readonly Promise<boolean>[]): Promise<WriteReach> {
    return reachOf(() => this.tiers.absent(), writes)
  }

  /** True when what others have revoked is known here, but for what is on its way. */
  isCurrent(): boolean {
    return this.tiers.isCurrent()
  }

  /**
   * A bounded step of a walk over what is here, for another member; see RecordTable.scan. `table`:
   * the part of it that matters to the other one.
   */
  scan(
    cursor: ScanCursor | undefined,
    limit: number,
    isBorrowed = false,
    table: RecordTable = this.#table,
  ): ScanStep {
    const walk = (cursor as Walk | undefined) ?? { kept: this.#kept.all() }
    const records: CacheRecord[] = []
    while (records.length < limit) {
      const { done, value } = walk.kept.next()
      if (done === true) {
        const step = table.scan(walk.next, limit - records.length, isBorrowed)
        const next = step.next && { kept: walk.kept, next: step.next }
        return {
          records: records.length === 0 ? step.records : [...records, ...step.records],
          next,
        }
      }
      records.push(value)
    }
    return { records, next: walk }
  }

  /**
   * Takes a record that another member wrote, unless it comes from the future. True when it
   * changed what is here.
   */
  apply(record: CacheRecord): boolean {
    return this.#versions.accepts(record.version) && this.take(record)
  }

  /**
   * Takes one that this host has accepted already: from another process of it, or from a tier.
   * How far ahead it is must not be asked once more, or a host whose clock was turned back
   * would not believe itself. True when it changed what is here.
   */
  take(record: CacheRecord): boolean {
    if (record.expiresAt <= this.#clock.now()) return false
    this.#versions.see(record.version)
    return this.#enter(record)
  }

  /** Closes the tiers too, but not the table. */
  async close(): Promise<void> {
    this.#closed = true
    await this.tiers.close()
  }

  /** The door. */
  #enter(record: CacheRecord): boolean {
    const { table, key } = record
    const changed =
      table === tables.purge
        ? this.#purges.take(record)
        : !this.#purges.covers(record) &&
          (this.#kept.wants(table, key) ? this.#kept : this.#table).put(record)
    const watchers = this.#watchers[table]
    if (changed && watchers !== undefined) tellAll(watchers, record)
    return changed
  }

  #write(record: CacheRecord, terms: WriteTerms): Promise<boolean> {
    let reached: Promise<boolean>
    try {
      this.#enter(record)
    } finally {
      // What a watcher throws is thrown here, and keeps nothing from the others.
      reached = this.#publish(record, terms)
    }
    return reached
  }

  #publish(
    record: CacheRecord,
    { level = 'one', budget = 1_000 }: WriteTerms,
  ): Promise<boolean> {
    return this.tiers.put(record, level, budget)
  }

  #record(table: TableId, key: Buffer, value: Buffer, ttl: number): CacheRecord {
    checkRecordSize(key.length, value.length)
    checkNoMark(table)
    if (typeof ttl !== 'number' || !(ttl > 0)) {
      throw new RangeError(`ttl must be more than 0 ms, got ${shown(ttl)}`)
    }
    return {
      table,
      key: Buffer.from(key),
      value: Buffer.from(value),
      version: this.#versions.tick(),
      expiresAt: endAt(this.#clock.now() + ttl),
      tombstone: false,
    }
  }

  #checkOpen(): void {
    if (this.#closed)
      throw new HandfastError('ERR_HANDFAST_CLOSED', 'the cache is closed')
  }
}

function endAt(time: number): number {
  return Math.floor(Math.min(time, latestEnd))
}

/** First what is kept, then the table. */
interface Walk {
  readonly kept: Generator<CacheRecord, undefined>
  readonly next?: ScanCursor
}

/** A purge is made by `purge` alone: elsewhere its record would mean what it says, not here. */
function checkNoMark(table: TableId): void {
  if (table === tables.purge)
    throw new HandfastError('ERR_HANDFAST_USAGE', `table ${table} can't be written to`)
}
