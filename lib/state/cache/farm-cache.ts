import type { Cache } from '../../cache/cache.ts'
import { tables } from '../../record/key.ts'
import { latestEnd, maxValueLength } from '../../record/record.ts'
import type { Version } from '../../record/version.ts'
import { type Cached, type DataCache, floorMemory, longestMemory } from './data-cache.ts'

/**
 * The data cache of a server in a farm: records of the farm, which every member has.
 *
 *      0           6              12
 *      +-----------+--------------+---------
 *      | as of, ms | ends at, ms  | value        key: name of the table, NUL, key
 *      +-----------+--------------+---------
 *
 * A floor is an empty record. The record's version is made of the database's and of nothing
 * else, so that the farm's rule, the larger version wins, is ours; of one version the larger
 * bytes win, and that is a value before a floor, and the later `as of`.
 */
const headLength = 12

/** The largest value that fits. */
export const maxCachedLength: number = maxValueLength - headLength

export interface FarmCacheParts {
  readonly cache: Cache
  /** The farm's time. */
  readonly now: () => number
}

export class FarmCache implements DataCache {
  readonly #cache: Cache
  readonly now: () => number

  constructor({ cache, now }: FarmCacheParts) {
    this.#cache = cache
    this.now = now
  }

  read(table: string, key: string): Cached | undefined {
    const record = this.#cache.read(tables.data, keyOf(table, key))
    if (record === undefined || record.tombstone) return undefined
    const { value } = record
    const version = numberOf(record.version)
    if (value.length < headLength) {
      return { version, value: undefined, expiresAt: undefined, asOf: 0 }
    }
    const ends = value.readUIntBE(6, 6)
    return {
      version,
      value: value.subarray(headLength),
      expiresAt: ends === latestEnd ? undefined : ends,
      asOf: value.readUIntBE(0, 6),
    }
  }

  async put(
    table: string,
    key: string,
    cached: Cached,
    budget: number,
  ): Promise<boolean> {
    const record = { ...this.#recordOf(table, key, cached), tombstone: false }
    try {
      return await this.#cache.write(record, { level: 'all', budget })
    } catch {
      // The farm is closing. It is in the database all the same.
      return false
    }
  }

  keep(table: string, key: string, cached: Cached): void {
    this.#cache.apply({ ...this.#recordOf(table, key, cached), tombstone: false })
  }

  watch(changed: (table: string, key: string, version: bigint) => void): () => void {
    return this.#cache.watch(tables.data, ({ key, version }) => {
      const [table = '', name = ''] = key.toString('utf8').split('\0')
      changed(table, name, numberOf(version))
    })
  }

  isCurrent(): boolean {
    return this.#cache.isCurrent()
  }

  close(): void {}

  #recordOf(table: string, key: string, { version, value, expiresAt, asOf }: Cached) {
    const known =
      value === undefined || value.length > maxCachedLength ? undefined : value
    return {
      table: tables.data,
      key: keyOf(table, key),
      value: known === undefined ? nothing : bytesOf(known, asOf, expiresAt),
      version: versionOf(version),
      expiresAt: Math.floor(
        this.now() + (known === undefined ? floorMemory : longestMemory),
      ),
    }
  }
}

const nothing = Buffer.alloc(0)

function keyOf(table: string, key: string): Buffer {
  return Buffer.from(`${table}\0${key}`)
}

function bytesOf(value: Buffer, asOf: number, expiresAt: number | undefined): Buffer {
  const bytes = Buffer.allocUnsafe(headLength + value.length)
  bytes.writeUIntBE(Math.floor(asOf), 0, 6)
  bytes.writeUIntBE(Math.min(expiresAt ?? latestEnd, latestEnd), 6, 6)
  value.copy(bytes, headLength)
  return bytes
}

/**
 * 63 bits over all three numbers, the first of which stays far below any time that a clock
 * shows: the farm's clock must not follow it.
 */
export function versionOf(version: bigint): Version {
  return {
    ms: Number(version >> 32n),
    logical: Number((version >> 16n) & 0xffffn),
    node: Number(version & 0xffffn),
  }
}

function numberOf({ ms, logical, node }: Version): bigint {
  return (BigInt(ms) << 32n) | BigInt(logical * 0x10000 + node)
}
