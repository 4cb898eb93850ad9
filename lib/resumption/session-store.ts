import type { Cache } from '../cache/cache.ts'
import { tables } from '../record/key.ts'
import type { FullCause } from './handshake.ts'
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
    const record = decodeSessionRecord(found.value)
    return record === undefined ? 'corrupt' : { record, source: found.source }
  }

  /** Nobody need be asked for this one: it was deleted. */
  isDeleted(id: Buffer): boolean {
    return this.#cache.isDeleted(tables.session, id)
  }

  /** From the farm too, for at most `budget` milliseconds. */
  async find(id: Buffer, budget: number): Promise<Lookup> {
    const began = performance.now()
    const found = await this.#cache.get(tables.session, id, budget)
    if (found === undefined) {
      return performance.now() - began >= budget ? 'timeout' : 'unknown'
    }
    const record = decodeSessionRecord(found.value)
    return record === undefined ? 'corrupt' : { record, source: found.source }
  }

  /** Stores the session; true when another member has it too, or there is no other. */
  add(id: Buffer, record: SessionRecord, ttl: number, budget: number): Promise<boolean> {
    return this.#cache.add(tables.session, id, encodeSessionRecord(record), {
      ttl,
      level: 'one',
      budget,
    })
  }
}
