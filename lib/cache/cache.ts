import type { Clock } from '../clock.ts'
import { HandfastError } from '../errors.ts'
import type { Transport, WriteLevel, WriteReach } from '../farm/transport.ts'
import type { HybridClock } from '../record/hybrid-clock.ts'
import { type TableId, tables } from '../record/key.ts'
import { type CacheRecord, checkRecordSize } from '../record/record.ts'
import type { RecordTable, ScanCursor, ScanStep } from '../table/record-table.ts'
import { isKept, PurgeMarks, purgeable, purgeMark } from './purge-marks.ts'
import { reachOf } from './reach.ts'

/** How long a tombstone outlives the record that it deletes: room for skewed clocks. */
const tombstoneSlack = 2_000
/** Of a record that is not here. A member that has it and was away for longer brings it back. */
const shortestTombstone = 3_600_000

export interface CacheOptions {
  readonly table: RecordTable
  readonly transport: Transport
  readonly versions: HybridClock
  readonly clock: Clock
}

export interface Found {
  readonly value: Buffer
  /** Wall time in milliseconds at which the record is gone. */
  readonly expiresAt: number
  /** Where it was found: this member's table, another member, a repository. */
  readonly source: 'local' | 'peer' | 'repository'
}

export interface WriteOptions {
  /** Milliseconds until the record is gone. */
  readonly ttl: number
  /** Default `one`. */
  readonly level?: WriteLevel
  /** Longest wait for the level, in milliseconds. Default 1000. */
  readonly budget?: number
}

/**
 * The verbs of row A11 (get, add, update, delete, purge) over the tiers: this member's table
 * first, then the farm. Keys and values that are passed in are copied; they may be reused.
 */
export class Cache {
  readonly #table: RecordTable
  readonly #transport: Transport
  readonly #versions: HybridClock
  readonly #clock: Clock
  readonly #purges: PurgeMarks
  /** Lookups under way in the farm, so that many askers cost one question. */
  readonly #flights = new Map<string, Flight>()
  #closed = false

  constructor(options: CacheOptions) {
    this.#table = options.table
    this.#transport = options.transport
    this.#versions = options.versions
    this.#clock = options.clock
    this.#purges = new PurgeMarks(options.table)
  }

  /** What this member's own table has. */
  getLocal(table: TableId, key: Buffer): Found | undefined {
    const record = this.#table.read(table, key)
    if (record === undefined || record.tombstone) return undefined
    return { value: record.value, expiresAt: record.expiresAt, source: 'local' }
  }

  /** True when the key was deleted here and the tombstone is still there: nobody need be asked. */
  isDeleted(table: TableId, key: Buffer): boolean {
    return this.#table.read(table, key)?.tombstone === true
  }

  /**
   * The own table, then the other members, for at most `budget` milliseconds (default 50).
   * What a member answers is kept here too.
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
    const { answer, endsAt } = this.#ask(table, key, budget)
    const record = await answer
    if (record !== undefined) this.apply(record)
    // A delete may have overtaken the answer: the table decides, not the answer.
    const kept = this.getLocal(table, key)
    if (kept !== undefined) return { ...kept, source: 'peer' }
    // Timers count whole milliseconds, and may fire within the last one.
    return this.#clock.monotonic() >= endsAt - 1 ? 'timeout' : undefined
  }

  /** Writes the record, over an older one too. True when the level was reached in time. */
  add(
    table: TableId,
    key: Buffer,
    value: Buffer,
    options: WriteOptions,
  ): Promise<boolean> {
    this.#checkOpen()
    const record = this.#record(table, key, value, options.ttl)
    this.#table.put(record)
    return this.#publish(record, options)
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
    if (!this.#table.update(record)) return false
    return this.#publish(record, options)
  }

  /**
   * Deletes farm-wide: leaves a tombstone that outlives the record, so that a late replica
   * can't bring it back. True when the level was reached.
   */
  delete(
    table: TableId,
    key: Buffer,
    options: { level?: WriteLevel; budget?: number } = {},
  ): Promise<boolean> {
    this.#checkOpen()
    checkRecordSize(key.length, 0)
    checkNoMark(table)
    const now = this.#clock.now()
    const old = this.#table.read(table, key)
    const record: CacheRecord = {
      table,
      key: Buffer.from(key),
      value: Buffer.alloc(0),
      version: this.#versions.tick(),
      expiresAt: Math.max(
        (old?.expiresAt ?? 0) + tombstoneSlack,
        now + shortestTombstone,
      ),
      tombstone: true,
    }
    this.#table.put(record)
    return this.#publish(record, { level: 'all', ...options })
  }

  /**
   * Empties one virtual table, or those of sessions, log-ins, state and connections, farm-wide:
   * a member that was away brings nothing back. Says which members have not done so within
   * `budget` ms. Throws ERR_HANDFAST_USAGE for revocations and the farm's own table.
   */
  async purge(table?: TableId, budget = 1_000): Promise<WriteReach> {
    this.#checkOpen()
    if (table !== undefined && isKept(table)) {
      throw new HandfastError('ERR_HANDFAST_USAGE', `table ${table} can't be purged`)
    }
    const emptied = table === undefined ? purgeable : [table]
    return await this.reach(() =>
      emptied.map(id => {
        const mark = purgeMark(id, this.#versions.tick(), this.#clock.now())
        this.#purges.take(mark)
        return this.#publish(mark, { level: 'all', budget })
      }),
    )
  }

  /** Makes writes at level `all`, and says which members they did not come to. */
  reach(writes: () => readonly Promise<boolean>[]): Promise<WriteReach> {
    return reachOf(this.#transport, writes)
  }

  /** A bounded step of a walk over what is here, for another member; see RecordTable.scan. */
  scan(cursor: ScanCursor | undefined, limit: number): ScanStep {
    if (cursor === undefined) this.#purges.restore()
    return this.#table.scan(cursor, limit)
  }

  /** Takes a record that another member wrote. True when it changed the table. */
  apply(record: CacheRecord): boolean {
    if (record.expiresAt <= this.#clock.now()) return false
    if (!this.#versions.witness(record.version)) return false
    if (record.table === tables.purge) return this.#purges.take(record)
    return !this.#purges.covers(record) && this.#table.put(record)
  }

  close(): void {
    this.#closed = true
  }

  #ask(table: TableId, key: Buffer, budget: number): Flight {
    const name = `${table}:${key.toString('latin1')}`
    const endsAt = this.#clock.monotonic() + budget
    const flying = this.#flights.get(name)
    // One that may outlast this asker's patience is of no use to it.
    if (flying !== undefined && flying.endsAt <= endsAt) return flying
    const answer = this.#transport.fetch(table, Buffer.from(key), budget)
    const flight = { answer, endsAt }
    this.#flights.set(name, flight)
    const landed = () => {
      if (this.#flights.get(name) === flight) this.#flights.delete(name)
    }
    answer.then(landed, landed)
    return flight
  }

  #record(table: TableId, key: Buffer, value: Buffer, ttl: number): CacheRecord {
    checkRecordSize(key.length, value.length)
    checkNoMark(table)
    if (!(ttl > 0)) throw new RangeError(`ttl must be more than 0 ms, got ${ttl}`)
    return {
      table,
      key: Buffer.from(key),
      value: Buffer.from(value),
      version: this.#versions.tick(),
      expiresAt: Math.floor(this.#clock.now() + ttl),
      tombstone: false,
    }
  }

  #publish(
    record: CacheRecord,
    { level = 'one', budget = 1_000 }: { level?: WriteLevel; budget?: number },
  ): Promise<boolean> {
    return this.#transport.publish(record, level, budget)
  }

  #checkOpen(): void {
    if (this.#closed)
      throw new HandfastError('ERR_HANDFAST_CLOSED', 'the cache is closed')
  }
}

/** A purge is made by `purge` alone: elsewhere its record would mean what it says, not here. */
function checkNoMark(table: TableId): void {
  if (table === tables.purge)
    throw new HandfastError('ERR_HANDFAST_USAGE', `table ${table} can't be written to`)
}

interface Flight {
  readonly answer: Promise<CacheRecord | undefined>
  readonly endsAt: number
}
