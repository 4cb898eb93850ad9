import { type TableId, tables } from '../record/key.ts'
import type { CacheRecord } from '../record/record.ts'
import { compareVersions, type Version } from '../record/version.ts'
import type { RecordTable } from '../table/record-table.ts'

/** A record that is to live for longer, on a member that was away for as long, comes back. */
const markLife = 366 * 24 * 3_600_000

/** What `purge` without a table empties. */
export const purgeable: readonly TableId[] = Object.values(tables).filter(
  table => !isKept(table),
)

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
  readonly #marks = new Map<TableId, CacheRecord>()

  constructor(table: RecordTable) {
    this.#table = table
  }

  /** Empties the table up to what the mark says. True when that changed anything here. */
  take(mark: CacheRecord): boolean {
    const emptied = mark.key[0] as TableId
    if (mark.tombstone || mark.key.length !== 1 || isKept(emptied)) return false
    const known = this.#marks.get(emptied)
    if (known !== undefined && compareVersions(mark.version, known.version) <= 0) {
      return this.#restore(known)
    }
    // The bytes may be the network's.
    const kept = { ...mark, key: Buffer.from(mark.key), value: nothing }
    this.#marks.set(emptied, kept)
    this.#table.purge(emptied, mark.version)
    this.#table.put(kept)
    return true
  }

  /** Whether the record was written before its table was emptied. */
  covers({ table, version }: CacheRecord): boolean {
    const mark = this.#marks.get(table)
    if (mark === undefined || compareVersions(version, mark.version) > 0) return false
    // Whoever sent it has not seen the mark, and is to find it here.
    this.#restore(mark)
    return true
  }

  /** Gives the table back what it has dropped, before others are shown what is in it. */
  restore(): void {
    for (const mark of this.#marks.values()) this.#restore(mark)
  }

  /** A full table drops marks like any record. True when this one had to be put back. */
  #restore(mark: CacheRecord): boolean {
    return this.#table.read(mark.table, mark.key) === undefined && this.#table.put(mark)
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
export function isKept(table: TableId): boolean {
  return table === tables.revocation || table === tables.farm || table === tables.purge
}

const nothing = Buffer.alloc(0)
