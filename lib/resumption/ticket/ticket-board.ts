import type { Cache } from '../../cache/cache.ts'
import type { WriteLevel } from '../../cache/tier.ts'
import { tables } from '../../record/key.ts'
import { isTicketRecordKey } from './ticket-record.ts'

/** Where members post what they know of ticket keys, for each other to read. */
export interface TicketBoard {
  /** What this member holds under the key. */
  read(key: Buffer): Buffer | undefined
  /** Asks the other members, for at most `budget` ms; an answer can be read. Never rejects. */
  ask(key: Buffer, budget: number): Promise<void>
  /**
   * Puts the value up on every member. Of two values under a key the one with the larger
   * weight stays, then the larger bytes; whoever wrote it, and whenever. Never rejects; true
   * when `level` was reached.
   */
  post(key: Buffer, value: Buffer, terms: PostTerms): Promise<boolean>
  /** Calls back when anything changes, whoever posted it. Returns the way to stop it. */
  watch(listener: () => void): () => void
}

export interface PostTerms {
  readonly weight: number
  /** Wall time in ms. */
  readonly expiresAt: number
  /** A wall time that has passed on every member, the same for all values under the key. */
  readonly datedAt: number
  readonly level: WriteLevel
}

/**
 * The board in the virtual table `farm`. The cache's own writes carry the time at which they
 * were written, and a member whose clock is ahead would win over, or be refused by, all others.
 * Here the version says how much the record knows instead, so that clocks have no part in it.
 */
export function ticketBoard(cache: Cache): TicketBoard {
  cache.keep(tables.farm, isTicketRecordKey)
  return {
    read: key => cache.getLocal(tables.farm, key)?.value,
    ask: async (key, budget) => {
      await cache.get(tables.farm, key, budget).catch(() => undefined)
    },
    post: async (key, value, { weight, expiresAt, datedAt, level }) => {
      const record = {
        table: tables.farm,
        key,
        value,
        version: { ms: Math.max(0, Math.floor(datedAt)), logical: weight, node: 0 },
        expiresAt: Math.ceil(expiresAt),
        tombstone: false,
      }
      try {
        return await cache.write(record, { level, budget: postBudget })
      } catch {
        return false
      }
    },
    watch: listener =>
      cache.watch(tables.farm, ({ key }) => {
        if (isTicketRecordKey(key)) listener()
      }),
  }
}

/** As long as a revocation may take. */
const postBudget = 500
