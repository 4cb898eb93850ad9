import type { Clock } from '../../clock.ts'
import { type TableId, tables } from '../../record/key.ts'
import type { CacheRecord } from '../../record/record.ts'
import { supersedes } from '../../record/supersedes.ts'
import { compareVersions, type Version } from '../../record/version.ts'
import type {
  RecordTable,
  ScanCursor,
  ScanStep,
  TableMemory,
  TableStats,
} from '../record-table.ts'
import type { Shelf } from './shelf.ts'

/** How long a look at what is on the shelf is believed, in milliseconds. */
const lookInterval = 1_000

/** A table whose TLS sessions lie on the shelf of the host, where all its processes see them. */
export class ShelvedTable implements RecordTable {
  #shelf: Shelf | undefined
  readonly #table: RecordTable
  readonly #clock: Clock
  /** What is on the shelf up to this version is gone. */
  #purged: Version | undefined
  /** Sessions, or that they are deleted, are in the table too, where the shelf took them not. */
  #hasSpilled = false
  #bytes = 0
  #bytesAt = Number.NEGATIVE_INFINITY
  #records = 0
  #recordsAt = Number.NEGATIVE_INFINITY

  /** `table` holds all that is not on the shelf, and what the shelf has no room for. */
  constructor(table: RecordTable, clock: Clock) {
    this.#table = table
    this.#clock = clock
  }

  /** From now on sessions lie there. */
  use(shelf: Shelf): void {
    this.#shelf?.close()
    this.#shelf = shelf
  }

  get(table: TableId, key: Uint8Array): Buffer | undefined {
    if (table !== tables.session) return this.#table.get(table, key)
    const record = this.read(table, key)
    return record?.tombstone === false ? record.value : undefined
  }

  read(table: TableId, key: Uint8Array): CacheRecord | undefined {
    if (table !== tables.session) return this.#table.read(table, key)
    const shelved = this.#shelf?.read(table, key)
    const there = shelved && !this.#isPurged(shelved) ? shelved : undefined
    if (!this.#hasSpilled) return there
    const here = this.#table.read(table, key)
    return there && !(here && supersedes(here, there)) ? there : here
  }

  put(record: CacheRecord): boolean {
    if (record.table !== tables.session) return this.#table.put(record)
    const taken = this.#shelf?.put(record) ?? 'full'
    if (taken !== 'full') return taken
    this.#hasSpilled = true
    return this.#table.put(record)
  }

  purge(table?: TableId, upTo?: Version): void {
    this.#table.purge(table, upTo)
    if (table !== undefined && table !== tables.session) return
    if (upTo === undefined) this.#shelf?.clear()
    else this.#purged = upTo
  }

  /** First the shelf, then the table. */
  scan(cursor: ScanCursor | undefined, limit: number, isBorrowed = false): ScanStep {
    if (cursor !== undefined && !(cursor instanceof ShelfCursor)) {
      return this.#table.scan(cursor, limit, isBorrowed)
    }
    if (this.#shelf === undefined) return this.#table.scan(undefined, limit, isBorrowed)
    const { records, next } = this.#shelf.scan(cursor?.bucket ?? 0, limit)
    const live = records.filter(record => !this.#isPurged(record))
    if (next !== undefined) return { records: live, next: new ShelfCursor(next) }
    const rest = this.#table.scan(undefined, limit, isBorrowed)
    return { records: [...live, ...rest.records], next: rest.next }
  }

  stats(): TableStats {
    const stats = this.#table.stats()
    const shelf = this.#shelf
    if (shelf === undefined) return stats
    const now = this.#clock.monotonic()
    if (now - this.#recordsAt >= lookInterval) {
      this.#records = shelf.count()
      this.#recordsAt = now
    }
    const { evicted, corrupt } = shelf.counts
    return {
      ...stats,
      ...this.memory(),
      records: stats.records + this.#records,
      evicted: stats.evicted + evicted,
      corrupt: stats.corrupt + corrupt,
    }
  }

  memory(): TableMemory {
    const { bytes, maxBytes } = this.#table.memory()
    const shelf = this.#shelf
    if (shelf === undefined) return { bytes, maxBytes }
    const now = this.#clock.monotonic()
    if (now - this.#bytesAt >= lookInterval) {
      this.#bytes = shelf.bytes
      this.#bytesAt = now
    }
    return { bytes: bytes + this.#bytes, maxBytes: maxBytes + shelf.maxBytes }
  }

  close(): void {
    this.#shelf?.close()
    this.#table.close()
  }

  #isPurged({ version }: CacheRecord): boolean {
    return this.#purged !== undefined && compareVersions(version, this.#purged) <= 0
  }
}

class ShelfCursor {
  readonly bucket: number

  constructor(bucket: number) {
    this.bucket = bucket
  }
}
