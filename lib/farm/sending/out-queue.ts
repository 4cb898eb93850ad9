import { type CacheRecord, recordLength, writeRecord } from '../../record/record.ts'
import { compareVersions } from '../../record/version.ts'
import { fragmentRecord } from '../../wire/datagram-batch.ts'

/** A write that somebody waits for; what it is, only its owner knows. */
export interface QueuedWrite<Wait> {
  readonly record: CacheRecord
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
  record: CacheRecord
  ackRequested: boolean
  readonly waits: Wait[]
  readonly name: string
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
    const most = Math.min(this.#perDatagram, this.#length)
    return this.#bytes >= this.#room || this.size >= most
  }

  /** The write that had to make room, if one had. */
  push(write: QueuedWrite<Wait>): Entry<Wait>['waits'] | undefined {
    const { record } = write
    const name = nameOf(record)
    const waiting = this.#names.get(name)
    if (waiting !== undefined) {
      this.#coalesce(waiting, write)
      return undefined
    }
    const dropped = this.size >= this.#length ? this.#shift() : undefined
    const entry: Entry<Wait> = {
      record,
      ackRequested: write.ackRequested,
      waits: write.wait === undefined ? [] : [write.wait],
      name,
    }
    this.#entries.push(entry)
    this.#bytes += recordLength(record)
    this.#names.set(name, entry)
    return dropped?.waits
  }

  /** What goes into the next datagram, or into several when one record does not fit. */
  take(): Batch<Wait> | undefined {
    const first = this.#entries[this.#head]
    if (first === undefined) return undefined
    if (recordLength(first.record) > this.#room) {
      this.#shift()
      return {
        bodies: fragmentRecord(first.record, this.#room),
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
      if (offset + recordLength(next.record) > this.#room) break
      this.#shift()
      offset = writeRecord(next.record, body, offset)
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
    if (compareVersions(write.record.version, waiting.record.version) >= 0) {
      this.#bytes += recordLength(write.record) - recordLength(waiting.record)
      waiting.record = write.record
    }
    waiting.ackRequested ||= write.ackRequested
    if (write.wait !== undefined) waiting.waits.push(write.wait)
  }

  #shift(): Entry<Wait> | undefined {
    const entry = this.#entries[this.#head]
    if (entry === undefined) return undefined
    this.#entries[this.#head] = undefined
    this.#head += 1
    this.#bytes -= recordLength(entry.record)
    if (this.#names.get(entry.name) === entry) this.#names.delete(entry.name)
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
