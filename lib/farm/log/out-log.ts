import { type CacheRecord, encodeRecord } from '../../record/record.ts'
import { writeRecords } from '../../wire/frame-log.ts'

export interface OutLogOptions {
  /** Default 16 MiB. */
  readonly maxBytes?: number | undefined
  /** Default 65,536. */
  readonly maxEntries?: number | undefined
}

/** What one `records` frame carries at most, but for a single entry that is larger. */
const batchBytes = 64 * 1024

/**
 * The latest part of what this member wrote, encoded once for all its links. A link has only
 * a cursor into it, so a slow or absent member costs no memory: when its cursor has fallen
 * off the tail it is told so and takes a snapshot instead.
 */
export class OutLog {
  readonly #maxBytes: number
  readonly #ring: (Buffer | undefined)[]
  #head = 0
  #tail = 1
  #bytes = 0
  #latest: { from: number; batch: Batch } | undefined

  constructor(options: OutLogOptions = {}) {
    this.#maxBytes = options.maxBytes ?? 16 * 1024 * 1024
    this.#ring = new Array(options.maxEntries ?? 65_536).fill(undefined)
  }

  /** Number of the newest entry; 0 when nothing was ever written. */
  get head(): number {
    return this.#head
  }

  /** Number of the oldest entry that is still here; head + 1 when there is none. */
  get tail(): number {
    return this.#tail
  }

  get bytes(): number {
    return this.#bytes
  }

  /** Adds a record, drops old ones that have no room, and answers the entry's number. */
  append(record: CacheRecord): number {
    const bytes = encodeRecord(record)
    if (this.#head - this.#tail + 1 === this.#ring.length) this.#drop()
    this.#head += 1
    this.#ring[this.#head % this.#ring.length] = bytes
    this.#bytes += bytes.length
    while (this.#bytes > this.#maxBytes && this.#tail < this.#head) this.#drop()
    return this.#head
  }

  /** A `records` body that starts with entry `from`; undefined at the end of the log. */
  batch(from: number): Batch | undefined {
    if (from > this.#head || from < this.#tail) return undefined
    // Links that keep up stand at the same entry, so the last batch serves nearly all of them.
    if (this.#latest?.from === from && this.#isFull(this.#latest.batch)) {
      return this.#latest.batch
    }
    const entries: Buffer[] = []
    let size = 0
    let next = from
    for (; next <= this.#head; next++) {
      const entry = this.#ring[next % this.#ring.length] as Buffer
      if (entries.length > 0 && size + entry.length > batchBytes) break
      entries.push(entry)
      size += entry.length
    }
    const batch = { body: writeRecords(from, entries), next, head: this.#head }
    this.#latest = { from, batch }
    return batch
  }

  /** Still what a new batch would be: nothing was added, or nothing more fits. */
  #isFull(batch: Batch): boolean {
    return batch.head === this.#head || batch.next <= batch.head
  }

  #drop(): void {
    const slot = this.#tail % this.#ring.length
    this.#bytes -= this.#ring[slot]?.length ?? 0
    this.#ring[slot] = undefined
    this.#tail += 1
  }
}

export interface Batch {
  readonly body: Buffer
  /** The entry behind the batch. */
  readonly next: number
  /** Head of the log when the batch was made. */
  readonly head: number
}
