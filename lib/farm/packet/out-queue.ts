import { compareVersions } from '../../record/version.ts'
import {
  type BatchItem,
  fragmentRecord,
  isPurge,
  itemLength,
  writeItem,
} from '../../wire/datagram-batch.ts'

/** A write that somebody waits for; what it is, only its owner knows. */
export interface QueuedWrite<Wait> {
  readonly item: BatchItem
  /** Everybody who hears it is asked to acknowledge it. */
  readonly ackRequested: boolean
  readonly wait: Wait | undefined
}

export interface Batch<Wait> {
  /** One DATA body, or the FRAGMENT bodies of one record. */
  readonly bodies: Buffer[]
  readonly fragments: boolean
  readonly ackRequested: boolean
  readonly waits: Wait[]
  readonly records: number
}

interface Entry<Wait> {
  item: BatchItem
  ackRequested: boolean
  readonly waits: Wait[]
  readonly name: string | undefined
}

/**
 * Records that wait to be sent (the seed's output queue). A second write to a key takes the
 * place of the first, so that back-pressure costs memory for keys, not for writes.
 */
export class OutQueue<Wait> {
  readonly #length: number
  readonly #room: number
  readonly #perDatagram: number
  #entries: (Entry<Wait> | undefined)[] = []
  #head = 0
  #bytes = 0
  readonly #names = new Map<string, Entry<Wait>>()
  #coalesced = 0

  /** `room`: bytes of a body. */
  constructor(limits: { length: number; room: number; perDatagram: number }) {
    this.#length = limits.length
    this.#room = limits.room
    this.#perDatagram = limits.perDatagram
  }

  get size(): number {
    return this.#entries.length - this.#head
  }

  get coalesced(): number {
    return this.#coalesced
  }

  /** True when waiting longer would not fill the next datagram any better. */
  get full(): boolean {
    return this.#bytes >= this.#room || this.size >= this.#perDatagram
  }

  /** The write that had to make room, if one had. */
  push(write: QueuedWrite<Wait>): Entry<Wait>['waits'] | undefined {
    const { item } = write
    const name = isPurge(item) ? undefined : nameOf(item)
    const waiting = name === undefined ? undefined : this.#names.get(name)
    if (waiting !== undefined) {
      this.#coalesce(waiting, write)
      return undefined
    }
    const dropped = this.size >= this.#length ? this.#shift() : undefined
    const entry: Entry<Wait> = {
      item,
      ackRequested: write.ackRequested,
      waits: write.wait === undefined ? [] : [write.wait],
      name,
    }
    this.#entries.push(entry)
    this.#bytes += itemLength(item)
    // A record that is written after a purge must not move to a place before it.
    if (name === undefined) this.#names.clear()
    else this.#names.set(name, entry)
    return dropped?.waits
  }

  /** What goes into the next datagram, or into several when one record does not fit. */
  take(): Batch<Wait> | undefined {
    const first = this.#entries[this.#head]
    if (first === undefined) return undefined
    if (!isPurge(first.item) && itemLength(first.item) > this.#room) {
      this.#shift()
      return {
        bodies: fragmentRecord(first.item, this.#room),
        fragments: true,
        ackRequested: first.ackRequested,
        waits: first.waits,
        records: 1,
      }
    }
    const body = Buffer.allocUnsafe(Math.min(this.#room, this.#bytes))
    const waits: Wait[] = []
    let ackRequested = false
    let offset = 0
    let records = 0
    for (let next = this.#entries[this.#head]; next !== undefined; ) {
      if (offset + itemLength(next.item) > this.#room) break
      this.#shift()
      offset = writeItem(next.item, body, offset)
      ackRequested ||= next.ackRequested
      for (const wait of next.waits) waits.push(wait)
      records += 1
      if (records >= this.#perDatagram) break
      next = this.#entries[this.#head]
    }
    return {
      bodies: [body.subarray(0, offset)],
      fragments: false,
      ackRequested,
      waits,
      records,
    }
  }

  /** Everything that waits, given up. */
  clear(): Wait[] {
    const waits = this.#entries.slice(this.#head).flatMap(entry => entry?.waits ?? [])
    this.#entries = []
    this.#head = 0
    this.#bytes = 0
    this.#names.clear()
    return waits
  }

  #coalesce(waiting: Entry<Wait>, write: QueuedWrite<Wait>): void {
    this.#coalesced += 1
    if (!isPurge(waiting.item) && !isPurge(write.item)) {
      if (compareVersions(write.item.version, waiting.item.version) >= 0) {
        this.#bytes += itemLength(write.item) - itemLength(waiting.item)
        waiting.item = write.item
      }
    }
    waiting.ackRequested ||= write.ackRequested
    if (write.wait !== undefined) waiting.waits.push(write.wait)
  }

  #shift(): Entry<Wait> | undefined {
    const entry = this.#entries[this.#head]
    if (entry === undefined) return undefined
    this.#entries[this.#head] = undefined
    this.#head += 1
    this.#bytes -= itemLength(entry.item)
    if (entry.name !== undefined && this.#names.get(entry.name) === entry)
      this.#names.delete(entry.name)
    if (this.#head > 1_024 && this.#head * 2 > this.#entries.length) {
      this.#entries = this.#entries.slice(this.#head)
      this.#head = 0
    }
    if (this.#head === this.#entries.length) {
      this.#entries.length = 0
      this.#head = 0
    }
    return entry
  }
}

function nameOf(record: { table: number; key: Buffer }): string {
  return String.fromCharCode(record.table) + record.key.toString('latin1')
}
