import type { Clock } from '../clock.ts'
import type { TableId } from '../record/key.ts'
import { type CacheRecord, recordHeaderLength } from '../record/record.ts'
import { supersedes } from '../record/supersedes.ts'
import type { RecordTable } from '../table/record-table.ts'

/** Bytes of one virtual table that are kept: room for some 100,000 revocations. */
const mostBytes = 48 * 1024 * 1024
/** What a record costs in a Map beyond its own bytes, about. */
const overhead = 256
/**
 * Of the bound; what makes room for many at a time. The start of a Map that was dropped from
 * there is searched anew for the oldest that is left.
 */
const roomMade = 1 / 64

/**
 * Records that no full table may lose: a flood of sessions must not bring back one that was
 * revoked, nor bring down the keys of the farm. They are in the memory of this process and not
 * in the table. There is a bound all the same, or members gone mad could fill the memory:
 * beyond it the oldest are left to the table, which may drop them.
 */
export class KeptRecords {
  readonly #table: RecordTable
  readonly #clock: Clock
  readonly #most: number
  /** By number of the virtual table. */
  readonly #tables: (KeptTable | undefined)[] = []

  constructor(table: RecordTable, clock: Clock, most: number = mostBytes) {
    this.#table = table
    this.#clock = clock
    this.#most = most
  }

  /**
   * From now on the records of a virtual table are kept, or those with a key that is wanted, by
   * this caller or an earlier one.
   */
  keep(table: TableId, wants: (key: Buffer) => boolean = () => true): void {
    const known = this.#tables[table]
    const either = known && ((key: Buffer) => known.wants(key) || wants(key))
    this.#tables[table] = {
      records: new Map(),
      bytes: 0,
      sweepAt: 1_000,
      ...known,
      wants: either ?? wants,
    }
  }

  /** Whether a record of this key belongs here. */
  wants(table: TableId, key: Buffer): boolean {
    return this.#tables[table]?.wants(key) === true
  }

  get(table: TableId, key: Buffer): CacheRecord | undefined {
    const records = this.#tables[table]?.records
    if (records === undefined) return undefined
    const name = key.toString('latin1')
    const kept = records.get(name)
    return kept !== undefined && kept.expiresAt > this.#clock.now()
      ? recordOf(name, kept)
      : undefined
  }

  /** True unless it, or a newer one, is here or was left to the table. */
  put(record: CacheRecord): boolean {
    const { table, key } = record
    const held = this.#tables[table]
    if (held === undefined) return false
    const inTable = this.#table.read(table, key)
    const old = this.get(table, key) ?? inTable
    if (old !== undefined && !supersedes(record, old)) return false
    // A walk over both shows a key once, or the digests of two members would differ for good.
    if (inTable !== undefined) this.#table.put({ ...record, expiresAt: 0 })
    const name = key.toString('latin1')
    const { version, expiresAt, tombstone } = record
    const value = record.value.toString('latin1')
    // Behind all others: the order is that of their coming.
    drop(held, name)
    held.records.set(name, { table, value, version, expiresAt, tombstone })
    held.bytes += costOf(name, value)
    if (held.records.size > held.sweepAt) this.#sweep(held)
    if (held.bytes > this.#most) this.#makeRoom(held)
    return true
  }

  /** A walk over all of them, which goes on well while they change. */
  *all(): Generator<CacheRecord, undefined> {
    for (const held of this.#tables) {
      if (held === undefined) continue
      for (const [name, kept] of held.records) {
        if (kept.expiresAt > this.#clock.now()) yield recordOf(name, kept)
      }
    }
  }

  #makeRoom(held: KeptTable): void {
    for (const [oldest, left] of held.records) {
      if (held.bytes <= this.#most * (1 - roomMade)) break
      drop(held, oldest)
      this.#table.put(recordOf(oldest, left))
    }
  }

  #sweep(held: KeptTable): void {
    const now = this.#clock.now()
    for (const [name, { expiresAt }] of held.records) {
      if (expiresAt <= now) drop(held, name)
    }
    held.sweepAt = Math.max(1_000, 2 * held.records.size)
  }
}

interface KeptTable {
  readonly wants: (key: Buffer) => boolean
  /** By key. */
  readonly records: Map<string, Kept>
  bytes: number
  sweepAt: number
}

/** Bytes are kept as text: a short Buffer holds on to the 8 KiB that it was cut from. */
type Kept = Omit<CacheRecord, 'key' | 'value'> & { readonly value: string }

function recordOf(name: string, kept: Kept): CacheRecord {
  return {
    ...kept,
    key: Buffer.from(name, 'latin1'),
    value: Buffer.from(kept.value, 'latin1'),
  }
}

function drop(held: KeptTable, name: string): void {
  const kept = held.records.get(name)
  if (kept === undefined) return
  held.records.delete(name)
  held.bytes -= costOf(name, kept.value)
}

function costOf(name: string, value: string): number {
  return recordHeaderLength + name.length + value.length + overhead
}
