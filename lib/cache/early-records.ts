import { type TableId, tables } from '../record/key.ts'
import type { CacheRecord } from '../record/record.ts'
import { supersedes } from '../record/supersedes.ts'
import type { Version } from '../record/version.ts'

/** More than a farm keeps revoked; beyond, a host lacks some until it is started again. */
const mostRecords = 200_000

const telling: ReadonlySet<TableId> = new Set([tables.revocation, tables.purge])

/** Without it it is not known what was revoked. */
export function tellsRevoked({ table }: Pick<CacheRecord, 'table'>): boolean {
  return telling.has(table)
}

/**
 * Records that come from the future, by the clock here, set aside until that is there: where this
 * host was started with a clock that is behind, they are what it must know once the clock is set
 * right, and before it believes anything else.
 */
export class EarlyRecords {
  readonly #revoked = new Due()
  readonly #others = new Due()
  readonly #most: number
  #isOverfull = false

  constructor(most: number = mostRecords) {
    this.#most = most
  }

  get size(): number {
    return this.#revoked.size + this.#others.size
  }

  /** Some are missing here that say what was revoked. */
  get lacksRevoked(): boolean {
    return this.#revoked.size > 0 || this.#isOverfull
  }

  /** Its bytes are copied. False when there is no room, which is never forgotten. */
  add(record: CacheRecord): boolean {
    const due = tellsRevoked(record) ? this.#revoked : this.#others
    if (this.size >= this.#most && !due.has(record)) {
      this.#isOverfull = true
      return false
    }
    due.add(record)
    return true
  }

  /**
   * Takes out those that are not from the future any more, those that tell what was revoked first.
   * `allOrNone`: no others before all of these are out, for they may be of what was revoked.
   */
  take(accepts: (version: Version) => boolean, allOrNone: boolean): CacheRecord[] {
    const revoked = this.#revoked.take(accepts)
    if (allOrNone && this.lacksRevoked) return revoked
    return [...revoked, ...this.#others.take(accepts)]
  }
}

/** Records by when they are due, of each name the newest. */
class Due {
  readonly #records = new Map<string, CacheRecord>()
  /** Latest first; undefined when some came. */
  #order: CacheRecord[] | undefined = []
  /** Not later than the first that is due. */
  #first: Version | undefined

  get size(): number {
    return this.#records.size
  }

  has(record: CacheRecord): boolean {
    return this.#records.has(nameOf(record))
  }

  add(record: CacheRecord): void {
    const name = nameOf(record)
    const old = this.#records.get(name)
    if (old !== undefined && !supersedes(record, old)) return
    const { key, value, version } = record
    const copy = { ...record, key: Buffer.from(key), value: Buffer.from(value) }
    this.#records.set(name, copy)
    this.#order = undefined
    if (this.#first === undefined || version.ms < this.#first.ms) this.#first = version
  }

  take(accepts: (version: Version) => boolean): CacheRecord[] {
    const taken: CacheRecord[] = []
    // Asked for with each lookup: while none is due nothing is to be put in order.
    if (this.#first === undefined || !accepts(this.#first)) return taken
    this.#order ??= [...this.#records.values()].sort(latestFirst)
    for (;;) {
      const record = this.#order.at(-1)
      this.#first = record?.version
      if (record === undefined || !accepts(record.version)) return taken
      this.#order.pop()
      this.#records.delete(nameOf(record))
      taken.push(record)
    }
  }
}

function latestFirst(a: CacheRecord, b: CacheRecord): number {
  return b.version.ms - a.version.ms
}

function nameOf({ table, key }: CacheRecord): string {
  return `${table}:${Buffer.from(key).toString('latin1')}`
}
