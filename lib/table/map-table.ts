import type { Clock } from '../clock.ts'
import { type TableId, tableId } from '../record/key.ts'
import { type CacheRecord, checkRecordSize, recordLength } from '../record/record.ts'
import type { RecordTable, ScanCursor, ScanStep, TableStats } from './record-table.ts'
import { supersedes } from './supersedes.ts'

/** What a record costs in a Map beyond its bytes; measured with 1M records. */
const mapOverhead = 225

export interface MapTableOptions {
  readonly clock: Clock
  /** Default 256 MiB. */
  readonly maxBytes?: number
}

/**
 * A record table on a plain Map: the model that the off-heap table is tested against.
 * Oldest written goes first when it is full.
 */
export class MapTable implements RecordTable {
  readonly #clock: Clock
  readonly #maxBytes: number
  readonly #records = new Map<string, CacheRecord>()
  #bytes = 0
  #evicted = 0
  #expired = 0

  constructor(options: MapTableOptions) {
    this.#clock = options.clock
    this.#maxBytes = options.maxBytes ?? 256 * 1024 * 1024
  }

  get(table: TableId, key: Uint8Array): Buffer | undefined {
    const record = this.read(table, key)
    return record === undefined || record.tombstone ? undefined : record.value
  }

  read(table: TableId, key: Uint8Array): CacheRecord | undefined {
    const name = nameOf(table, key)
    const record = this.#records.get(name)
    if (record === undefined) return undefined
    if (record.expiresAt > this.#clock.now()) return record
    this.#drop(name, record)
    this.#expired += 1
    return undefined
  }

  put(record: CacheRecord): boolean {
    checkRecordSize(record.key.length, record.value.length)
    const name = nameOf(record.table, record.key)
    const old = this.read(record.table, record.key)
    if (old !== undefined) {
      if (!supersedes(record, old)) return false
      this.#drop(name, old)
    }
    const kept = {
      ...record,
      key: Buffer.from(record.key),
      value: Buffer.from(record.value),
    }
    this.#records.set(name, kept)
    this.#bytes += recordLength(kept) + mapOverhead
    this.#evict()
    return true
  }

  update(record: CacheRecord): boolean {
    if (this.get(record.table, record.key) === undefined) return false
    return this.put(record)
  }

  touch(table: TableId, key: Uint8Array, expiresAt: number): boolean {
    const record = this.read(table, key)
    if (record === undefined || record.tombstone) return false
    this.#records.set(nameOf(table, key), { ...record, expiresAt })
    return true
  }

  purge(table?: TableId): void {
    for (const [name, record] of this.#records) {
      if (table === undefined || record.table === table) this.#drop(name, record)
    }
  }

  scan(cursor: ScanCursor | undefined, limit: number): ScanStep {
    const walk = (cursor as MapCursor | undefined)?.walk ?? this.#records.values()
    const records: CacheRecord[] = []
    while (records.length < limit) {
      const step = walk.next()
      if (step.done === true) return { records, next: undefined }
      if (step.value.expiresAt > this.#clock.now()) records.push(step.value)
    }
    return { records, next: { walk } satisfies MapCursor }
  }

  stats(): TableStats {
    return {
      records: this.#records.size,
      bytes: this.#bytes,
      maxBytes: this.#maxBytes,
      evicted: this.#evicted,
      expired: this.#expired,
      corrupt: 0,
    }
  }

  close(): void {
    this.#records.clear()
    this.#bytes = 0
  }

  #evict(): void {
    for (const [name, record] of this.#records) {
      if (this.#bytes <= this.#maxBytes) return
      this.#drop(name, record)
      this.#evicted += 1
    }
  }

  #drop(name: string, record: CacheRecord): void {
    this.#records.delete(name)
    this.#bytes -= recordLength(record) + mapOverhead
  }
}

interface MapCursor {
  readonly walk: Iterator<CacheRecord>
}

function nameOf(table: TableId, key: Uint8Array): string {
  return String.fromCharCode(tableId(table)) + Buffer.from(key).toString('latin1')
}
