import { HandfastError } from '../../lib/errors.ts'
import type { CacheRecord } from '../../lib/record/record.ts'
import type { RecordSealer } from '../../lib/record/record-sealer.ts'
import type { Command, Reply } from './client.ts'
import type { Masters } from './masters.ts'
import { OwnWrites } from './own-writes.ts'
import type { PartKeys } from './places.ts'
import { markLength } from './scripts.ts'

/** Of a call while records are fetched, ms. */
const patience = 5_000
/** Records asked for at once, of up to 64 KiB each. */
const atOnce = 64
/** Calls for one walk over a part; more than that is no part. */
const mostSteps = 1_000_000

export interface PartParts {
  readonly keys: PartKeys
  readonly masters: Masters
  readonly sealer: RecordSealer
  apply(record: CacheRecord): boolean
  /** A record that is not one of this farm's, or was altered. */
  onForeign(): void
}

/** An entry of the log. */
interface Entry {
  readonly id: string
  readonly generation: string
  readonly number: number
  readonly name: Buffer
  /** The sealed record, or the beginning of a long one. */
  readonly noted: Buffer
}

/**
 * What this host knows of one part: up to which entry of the log it has heard all. Where entries
 * are missing all records are read; where the log is not the one that was heard of, as after a
 * restart without a disk or when a replica took over that had less, or where a write of this host
 * is not in it, the others are told that some may be lost.
 */
export class Part {
  readonly keys: PartKeys
  readonly own: OwnWrites = new OwnWrites()
  readonly #parts: PartParts
  #last: Entry | undefined
  #isWhole = false

  constructor(parts: PartParts) {
    this.keys = parts.keys
    this.#parts = parts
  }

  /** True when all is here up to the last entry that was heard. */
  get isWhole(): boolean {
    return this.#isWhole
  }

  /** There was no log, and so most likely nothing else. */
  get isEmpty(): boolean {
    return this.#last === undefined
  }

  /** Entries behind this one are to be read. */
  get heardUpTo(): string {
    return this.#last?.id ?? '0-0'
  }

  /**
   * Compares what was heard with what the log says now, and reads all records where that is not
   * enough. True when Redis may have lost some. Rejects as Masters.call does, and with
   * ERR_HANDFAST_PROTOCOL where the answer is none.
   */
  async check(): Promise<boolean> {
    const { log } = this.keys
    const last = this.#last
    if (last === undefined) return this.#isWhole ? false : await this.#readAll()
    const [same] = entriesOf(await this.#ask(['XRANGE', log, last.id, last.id]))
    if (same !== undefined && markOf(same).equals(markOf(last)))
      return this.#isWhole ? false : await this.#readAll()
    const [first] = entriesOf(await this.#ask(['XRANGE', log, '-', '+', 'COUNT', '1']))
    const { generation, number } = first ?? {}
    const wasCutOff = generation === last.generation && (number ?? 0) > last.number
    const isMissing = await this.#readAll()
    return isMissing || !wasCutOff
  }

  /** Takes the answer of XREAD for this log. Where entries are missing, it is not whole. */
  async take(reply: Reply): Promise<void> {
    const long: Buffer[] = []
    let foreign = 0
    for (const entry of entriesOf(reply)) {
      const last = this.#last
      const follows =
        entry.number === (last?.number ?? 0) + 1 &&
        (last === undefined || entry.generation === last.generation)
      if (!follows) {
        this.#isWhole = false
        break
      }
      this.#last = entry
      this.own.heard(entry.name, entry.noted)
      if (entry.noted.length === markLength) long.push(entry.name)
      else if (!this.#open(entry.name, entry.noted)) foreign += 1
    }
    for (let at = 0; at < long.length; at += atOnce) {
      const names = long.slice(at, at + atOnce)
      const records = await this.#ask(['HMGET', this.keys.records, ...names])
      for (const [index, record] of listOf(records).entries()) {
        if (Buffer.isBuffer(record)) this.#open(names[index] as Buffer, record)
      }
    }
    if (foreign > atOnce) throw malformed('a log full of records of others')
  }

  /** True when a write of ours is not there. */
  async #readAll(): Promise<boolean> {
    const { log, records } = this.keys
    const look = this.own.look()
    this.#isWhole = false
    // First the end: what is written while the records are read comes behind it.
    const end = entriesOf(await this.#ask(['XREVRANGE', log, '+', '-', 'COUNT', '1']))[0]
    let cursor: string = '0'
    for (let step = 0; step < mostSteps; step += 1) {
      const answer = await this.#ask(['HSCAN', records, cursor, 'COUNT', String(atOnce)])
      const [next, found] = listOf(answer)
      const pairs = listOf(found)
      for (let at = 0; at + 1 < pairs.length; at += 2) {
        const [name, record] = [pairs[at], pairs[at + 1]]
        if (Buffer.isBuffer(name) && Buffer.isBuffer(record)) this.#open(name, record)
      }
      cursor = String(next)
      if (!/^\d{1,20}$/.test(cursor)) throw malformed('no cursor')
      if (cursor === '0') {
        this.#last = end
        this.#isWhole = true
        return this.own.misses(look)
      }
    }
    throw malformed('a walk without an end')
  }

  #open(name: Buffer, sealed: Buffer): boolean {
    const { sealer, apply, onForeign } = this.#parts
    this.own.heard(name, sealed)
    const record = sealer.open(name, sealed)
    if (record === undefined) onForeign()
    else apply(record)
    return record !== undefined
  }

  #ask(command: Command): Promise<Reply> {
    const terms = { budget: patience, isPatient: true }
    return this.#parts.masters.call(this.keys.log, command, terms)
  }
}

/** [[id, ['n', name, 'v', noted]], ...] */
function entriesOf(reply: Reply): Entry[] {
  return listOf(reply).map(item => {
    const [id, fields] = listOf(item)
    const [, generation, number] = /^(\d{1,20})-(\d{1,20})$/.exec(String(id)) ?? []
    if (generation === undefined) throw malformed('an entry of the log')
    const [, name, , noted] = listOf(fields)
    return {
      id: String(id),
      generation,
      number: Number(number),
      // Of somebody else: it is counted as such, and must not keep us from what follows it.
      name: Buffer.isBuffer(name) ? name : nothing,
      noted: Buffer.isBuffer(noted) ? noted : nothing,
    }
  })
}

function markOf({ name, noted }: Entry): Buffer {
  return Buffer.concat([name, noted.subarray(0, markLength)])
}

function listOf(reply: Reply | undefined): readonly Reply[] {
  if (Array.isArray(reply)) return reply
  if (reply === null) return []
  throw malformed('no list')
}

function malformed(what: string): HandfastError {
  return new HandfastError('ERR_HANDFAST_PROTOCOL', `Redis answers what is none: ${what}`)
}

const nothing = Buffer.alloc(0)
