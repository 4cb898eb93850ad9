import { type TableId, tables } from '../record/key.ts'
import type { CacheRecord } from '../record/record.ts'
import { compareVersions, type Version } from '../record/version.ts'
import type { RecordTable } from '../table/record-table.ts'
import type { KeptRecords } from './kept-records.ts'

/** A record that is to live for longer, on a member that was away for as long, comes back. */
const markLife = 366 * 24 * 3_600_000

/**
 * A purge is a record of its own, a mark: what the virtual table held up to the mark's version
 * is gone, on every member, whichever of the two comes first. So a member that was away, or
 * one whose writes were under way, brings nothing back, as with a tombstone for a single key.
 *
 *      table    key                          value
 *      purge    1 byte: the table emptied    none
 */
export class PurgeMarks {
  readonly #table: RecordTable
  readonly #kept: KeptRecords
  /** Up to which version each table has been emptied. */
  readonly #versions = new Map<TableId, Version>()

  constructor(table: RecordTable, kept: KeptRecords) {
    this.#table = table
    this.#kept = kept
    kept.keep(tables.purge)
  }

  /** Empties the table up to what the mark says. True when that is news here. */
  take(mark: CacheRecord): boolean {
    const emptied = mark.key[0] as TableId
    if (mark.tombstone || mark.key.length !== 1 || !mayBePurged(emptied)) return false
    const known = this.#versions.get(emptied)
    if (known !== undefined && compareVersions(mark.version, known) <= 0) return false
    this.#versions.set(emptied, mark.version)
    this.#kept.put({ ...mark, value: nothing })
    this.#table.purge(emptied, mark.version)
    return true
  }

  /** Whether the record was written before its table was emptied. */
  covers({ table, version }: CacheRecord): boolean {
    const known = this.#versions.get(table)
    return known !== undefined && compareVersions(version, known) <= 0
  }
}

export function purgeMark(emptied: TableId, version: Version, now: number): CacheRecord {
  return {
    table: tables.purge,
    key: Buffer.from([emptied]),
    value: nothing,
    version,
    expiresAt: Math.floor(now) + markLife,
    tombstone: false,
  }
}

/** Revocations and the keys of the farm must outlast whatever is emptied for good reasons. */
export function mayBePurged(table: TableId): boolean {
  return table !== tables.revocation && table !== tables.farm && table !== tables.purge
}

const nothing = Buffer.alloc(0)
