import type { TableId } from '../record/key.ts'
import type { CacheRecord } from '../record/record.ts'
import type { Version } from '../record/version.ts'

/**
 * The one physical table under all virtual tables (row A9, A10). Calls are synchronous.
 *
 * Writes are last-write-wins by version, tombstones included, so that a late replica never
 * brings a deleted record back. On equal versions the tombstone wins, then the larger bytes.
 */
export interface RecordTable {
  /**
   * The live value, or undefined when there is none: never written, deleted, expired, evicted
   * or corrupt. The answer may be a view into the table, good until the next write: copy what
   * outlives the current tick, and what is to be written back.
   */
  get(table: TableId, key: Uint8Array): Buffer | undefined
  /** The whole record, tombstones and their versions too; bytes are the caller's own copies. */
  read(table: TableId, key: Uint8Array): CacheRecord | undefined
  /**
   * Stores the record unless a newer one is there. True when the table changed. A record that
   * has expired already is not stored, but drops an older one. Throws a RangeError for a key or
   * value beyond the limits of lib/record, and for nothing else: a full table evicts.
   */
  put(record: CacheRecord): boolean
  /**
   * Drops everything, or one virtual table, or what is in it up to and including a version:
   * no tombstones are left, and the memory of the records is given back at once (that of the
   * index only when everything is dropped, that of a segment which holds newer ones as well
   * only with these).
   */
  purge(table?: TableId, upTo?: Version): void
  /**
   * A bounded step of a walk over all records, tombstones included: about `limit` records,
   * and the cursor of the next step; undefined when the walk is over. Each record that was
   * there at the start is seen at least once, no older than it was then, whatever is written
   * meanwhile. Records may be seen twice, and a step may be empty though the walk goes on.
   * `isBorrowed`: keys and values may be views of the table, good until the next write, for who
   * writes them down at once; else they are the caller's own copies, which cost as much again.
   */
  scan(cursor: ScanCursor | undefined, limit: number, isBorrowed?: boolean): ScanStep
  stats(): TableStats
  /** Of the stats what costs nothing to know. */
  memory(): TableMemory
  close(): void
}

/** Where a walk stands. Opaque; good for the table that gave it. */
export type ScanCursor = object

export interface ScanStep {
  readonly records: CacheRecord[]
  readonly next: ScanCursor | undefined
}

export interface TableMemory {
  /** Bytes held, index included. */
  readonly bytes: number
  readonly maxBytes: number
}

export interface TableStats extends TableMemory {
  /** Live records and tombstones, as a count; may include expired ones not yet reclaimed. */
  readonly records: number
  /** Since start. */
  readonly evicted: number
  readonly expired: number
  readonly corrupt: number
}
