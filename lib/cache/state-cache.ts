import { HandfastError } from '../errors.ts'
import type { WriteReach } from '../farm/transport.ts'
import { type TableId, tables } from '../record/key.ts'
import { shown } from '../shown.ts'
import type { Cache, Found, WriteOptions, WriteTerms } from './cache.ts'

/** Tables with lower numbers are the farm's own, but for `tables.state`. */
const firstFree = 16

/**
 * State of one's own beside the sessions, on every member: in `tables.state`, or in virtual
 * tables with numbers from 16 on. Rejects with ERR_HANDFAST_USAGE for any other table, with a
 * RangeError for a key that has not 1 to 255 bytes or a value of more than 64 KiB, and with
 * ERR_HANDFAST_CLOSED once the farm is closed. Keys and values that are passed in are copied.
 */
export class StateCache {
  readonly #cache: Cache

  /** @internal */
  constructor(cache: Cache) {
    this.#cache = cache
  }

  /** From this member, or within `budget` ms (default 50) from another one; a miss is undefined. */
  async get(table: TableId, key: Buffer, budget?: number): Promise<Found | undefined> {
    return await this.#cache.get(free(table), key, budget)
  }

  /** Writes the record, over an older one too. True when the level was reached in time. */
  async add(
    table: TableId,
    key: Buffer,
    value: Buffer,
    options: WriteOptions,
  ): Promise<boolean> {
    return await this.#cache.add(free(table), key, value, options)
  }

  /** Writes over an existing record only. False when there was none or the level was missed. */
  async update(
    table: TableId,
    key: Buffer,
    value: Buffer,
    options: WriteOptions,
  ): Promise<boolean> {
    return await this.#cache.update(free(table), key, value, options)
  }

  /** Deletes farm-wide, for good: no member that was away brings it back. Default level `all`. */
  async delete(table: TableId, key: Buffer, terms?: WriteTerms): Promise<boolean> {
    return await this.#cache.delete(free(table), key, terms)
  }

  /**
   * Empties one table farm-wide: a member that was away brings nothing back. Says which members
   * have not done so within `budget` ms (default 1000).
   */
  async purge(table: TableId, budget?: number): Promise<WriteReach> {
    return await this.#cache.purge(free(table), budget)
  }
}

function free(table: TableId): TableId {
  const isFree = Number.isInteger(table) && table >= firstFree && table <= 255
  if (isFree || table === tables.state) return table
  const use = `use tables.state, or tableId() of ${firstFree} to 255`
  throw new HandfastError(
    'ERR_HANDFAST_USAGE',
    `table ${shown(table)} is not for state: ${use}`,
  )
}
