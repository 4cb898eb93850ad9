import type { Cache, Found } from '../../cache/cache.ts'
import { tables } from '../../record/key.ts'
import type { FullCause } from '../handshake.ts'
import { isSessionOf } from './session-der.ts'
import {
  decodeSessionRecord,
  encodeSessionRecord,
  type FoundSession,
  type SessionRecord,
} from './session-record.ts'

export type Lookup = FoundSession | Extract<FullCause, 'unknown' | 'timeout' | 'corrupt'>

/** The virtual table `session`, read and written as session records. */
export class SessionStore {
  readonly #cache: Cache

  constructor(cache: Cache) {
    this.#cache = cache
  }

  /** From this member's table alone: no waiting. */
  findLocal(id: Buffer): Lookup {
    const found = this.#cache.getLocal(tables.session, id)
    if (found === undefined) return 'unknown'
    return foundIn(found, id)
  }

  /** Nobody need be asked for this one: it was deleted. */
  isDeleted(id: Buffer): boolean {
    return this.#cache.isDeleted(tables.session, id)
  }

  /** From the farm too, for at most `budget` milliseconds. */
  async find(id: Buffer, budget: number): Promise<Lookup> {
    const found = await this.#cache.find(tables.session, id, budget)
    if (found === undefined || found === 'timeout') return found ?? 'unknown'
    return foundIn(found, id)
  }

  /**
   * Stores the session; true when another member has it too, or there is no other. Rejects
   * when it is too large for a record, or the cache is closed.
   */
  async add(
    id: Buffer,
    record: SessionRecord,
    ttl: number,
    budget: number,
  ): Promise<boolean> {
    return await this.#cache.add(tables.session, id, encodeSessionRecord(record), {
      ttl,
      level: 'one',
      budget,
    })
  }
}

/**
 * OpenSSL takes whatever it is given for the session that it asked for, and a wrong one ends
 * the connection: the bytes themselves must name the id.
 */
function foundIn({ value, source }: Found, id: Buffer): Lookup {
  const record = decodeSessionRecord(value)
  if (record === undefined || !isSessionOf(record.session, id)) {
    return 'corrupt'
  }
  return { id, record, source }
}
