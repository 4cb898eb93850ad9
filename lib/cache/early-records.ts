import { type TableId, tables } from '../record/key.ts'
import type { CacheRecord } from '../record/record.ts'
import { supersedes } from '../record/supersedes.ts'
import type { Version } from '../record/version.ts'

/** More than a farm keeps revoked; beyond, a host lacks some until it is started again. */
const mostRecords = 200_000

/** Without these it is not known what was revoked. */
const telling: ReadonlySet<TableId> = new Set([tables.revocation, tables.purge])

/**
 * Records that come from the future, by the clock here, set aside until that is there: where this
 * host was started with a clock that is behind, they are what it must know once the clock is set
 * right, and before it believes anything else.
 */
export class EarlyRecords {
  readonly #most: number
  readonly #records = new Map<string, CacheRecord>()
  /** The same, the first that is due at the end; undefined when some came. */
  #order: CacheRecord[] | undefined = []
  #tells = 0
  #isOverfull = false

  constructor(most: number = mostRecords) {
    this.#most = most
  }

  get size(): number {
    return this.#records.size
  }

  /** Some are missing here that say what was revoked. */
  get lacksRevoked(): boolean {
    return this.#tells > 0 || this.#isOverfull
  }

  /** Its bytes are copied. */
  add(record: CacheRecord): void {
    const name = nameOf(record)
    const old = this.#records.get(name)
    if (old !== undefined && !supersedes(record, old)) return
    if (old === undefined && this.#records.size >= this.#most) {
      this.#isOverfull = true
      return
    }
    if (old === undefined && telling.has(record.table)) this.#tells += 1
    const { key, value } = record
    const copy = { ...record, key: Buffer.from(key), value: Buffer.from(value) }
    this.#records.set(name, copy)
    this.#order = undefined
  }

  /** Takes out those that are not from the future any more, those that tell what was revoked first. */
  take(accepts: (version: Version) => boolean): CacheRecord[] {
    this.#order ??= [...this.#records.values()].sort(latestFirst)
    const revoked: CacheRecord[] = []
    const others: CacheRecord[] = []
    for (;;) {
      const record = this.#order.at(-1)
      if (record === undefined || !accepts(record.version)) break
      this.#order.pop()
      this.#records.delete(nameOf(record))
      if (!telling.has(record.table)) others.push(record)
      else {
        this.#tells -= 1
        revoked.push(record)
      }
    }
    return [...revoked, ...others]
  }
}

function latestFirst(a: CacheRecord, b: CacheRecord): number {
  return b.version.ms - a.version.ms
}

function nameOf({ table, key }: CacheRecord): string {
  return `${table}:${Buffer.from(key).toString('latin1')}`
}
