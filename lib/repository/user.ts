import { type CacheRecord, recordLength } from '../record/record.ts'
import { malformed } from '../wire/frame-bytes.ts'
import { type Done, frames, readNumber, writeDone, writeRecords } from './frames.ts'
import type { Link } from './link.ts'

/** Writes of one user that are under way; beyond, it has to wait. */
const mostOpen = 4_096
/** Bytes of records in one frame. */
const frameBytes = 256 * 1024

export type Settle = (applied: boolean) => void

interface Wait {
  readonly number: number
  readonly settle: Settle
}

/** A process that has shown the key, seen by the keeper. */
export class User {
  readonly link: Link
  readonly pid: number
  readonly ring: number | undefined
  hasLeft = false
  /** Writes under way. */
  open = 0
  /** Questions under way. */
  asked = 0
  #told = 0
  #applied = 0
  #records: CacheRecord[] = []
  #done: Done[] = []
  /** By the number that it must have applied; the smallest first. */
  #waits: Wait[] = []

  constructor(link: Link, pid: number, ring: number | undefined) {
    this.link = link
    this.pid = pid
    this.ring = ring
  }

  /** Sends a record; `settle` is called when the user has applied it, and not before. */
  tell(record: CacheRecord, settle?: Settle): void {
    if (this.#records.length === 0) setImmediate(this.#flushRecords)
    this.#records.push(record)
    this.#told += 1
    if (settle !== undefined) this.#waits.push({ number: this.#told, settle })
  }

  /** When all that it was told so far is applied. */
  onceApplied(settle: Settle): void {
    if (this.#applied === this.#told) settle(true)
    else this.#waits.push({ number: this.#told, settle })
  }

  /** Those that are still waited for; from now on they are the caller's to settle. */
  takeWaits(): Settle[] {
    const waits = this.#waits.map(({ settle }) => settle)
    this.#waits = []
    return waits
  }

  onApplied(body: Buffer): void {
    const number = readNumber(body)
    if (number > this.#told || number < this.#applied) throw malformed('applied')
    this.#applied = number
    while (this.#waits[0] !== undefined && this.#waits[0].number <= number) {
      this.#waits.shift()?.settle(true)
    }
  }

  begin(): void {
    this.open += 1
    if (this.open === mostOpen) this.link.pause()
  }

  done(number: number, reached: boolean): void {
    this.open -= 1
    if (this.open === mostOpen - 1) this.link.resume()
    if (this.#done.length === 0) setImmediate(this.#flushDone)
    this.#done.push({ number, reached })
  }

  readonly #flushRecords = (): void => {
    const records = this.#records
    this.#records = []
    let last = this.#told - records.length
    let batch: CacheRecord[] = []
    let bytes = 0
    for (const record of records) {
      batch.push(record)
      bytes += recordLength(record)
      last += 1
      if (bytes < frameBytes && last < this.#told) continue
      this.link.send(frames.records, writeRecords({ last, records: batch }))
      batch = []
      bytes = 0
    }
  }

  readonly #flushDone = (): void => {
    this.link.send(frames.done, writeDone(this.#done))
    this.#done = []
  }
}
