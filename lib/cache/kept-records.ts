import type { Clock } from '../clock.ts'
import type { TableId } from '../record/key.ts'
import { type CacheRecord, recordLength } from '../record/record.ts'
import { supersedes } from '../record/supersedes.ts'
import type { RecordTable } from '../table/record-table.ts'

/** Bytes of one virtual table that are kept: room for some 100,000 revocations. */
const mostBytes = 48 * 1024 * 1024
/** What a record costs in a Map beyond its own bytes, about. */
const overhead = 256

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
  readonly #shelves: (Shelf | undefined)[] = []

  constructor(table: RecordTable, clock: Clock, most: number = mostBytes) {
    this.#table = table
    this.#clock = clock
    this.#most = most
  }

  /** From now on the records of a virtual table are kept, or those with a key that is wanted. */
  keep(table: TableId, wants: (key: Buffer) => boolean = () => true): void {
    this.#shelves[table] ??= { wants, records: new Map(), bytes: 0, sweepAt: 1_000 }
  }

  /** Whether a record of this key belongs here. */
  wants(table: TableId, key: Buffer): boolean {
    return this.#shelves[table]?.wants(key) === true
  }

  get(table: TableId, key: Buffer): CacheRecord | undefined {
    const record = this.#shelves[table]?.records.get(key.toString('latin1'))
    return record !== undefined && record.expiresAt > this.#clock.now()
      ? record
      : undefined
  }

  /** True unless it, or a newer one, is here or was left to the table. */
  put(record: CacheRecord): boolean {
    const { table, key } = record
    const shelf = this.#shelves[table]
    if (shelf === undefined) return false
    const old = this.get(table, key) ?? this.#table.read(table, key)
    if (old !== undefined && !supersedes(record, old)) return false
    // The bytes may be the network's.
    const kept = { ...record, key: Buffer.from(key), value: Buffer.from(record.value) }
    const name = key.toString('latin1')
    // Behind all others: the order is that of their coming.
    drop(shelf, name)
    shelf.records.set(name, kept)
    shelf.bytes += costOf(kept)
    if (shelf.records.size > shelf.sweepAt) this.#sweep(shelf)
    for (const [oldest, left] of shelf.records) {
      if (shelf.bytes <= this.#most) break
      drop(shelf, oldest)
      this.#table.put(left)
    }
    return true
  }

  /** A walk over all of them, which goes on well while they change. */
  *all(): Generator<CacheRecord, undefined> {
    for (const shelf of this.#shelves) {
      if (shelf === undefined) continue
      for (const record of shelf.records.values()) {
        if (record.expiresAt > this.#clock.now()) yield record
      }
    }
  }

  #sweep(shelf: Shelf): void {
    const now = this.#clock.now()
    for (const [name, { expiresAt }] of shelf.records) {
      if (expiresAt <= now) drop(shelf, name)
    }
    shelf.sweepAt = Math.max(1_000, 2 * shelf.records.size)
  }
}

interface Shelf {
  readonly wants: (key: Buffer) => boolean
  readonly records: Map<string, CacheRecord>
  bytes: number
  sweepAt: number
}

function drop(shelf: Shelf, name: string): void {
  const record = shelf.records.get(name)
  if (record === undefined) return
  shelf.records.delete(name)
  shelf.bytes -= costOf(record)
}

function costOf(record: CacheRecord): number {
  return recordLength(record) + overhead
}
