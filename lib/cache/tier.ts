import type { AbsentMember } from '../farm/transport.ts'
import type { TableId } from '../record/key.ts'
import type { CacheRecord } from '../record/record.ts'

/**
 * How many others must have applied a write before it counts as done. `local`: nobody.
 * `one`: one other member. `all`: every member that can be reached.
 */
export type WriteLevel = 'local' | 'one' | 'all'

/** Where a lookup found a record: this member's own table, or a tier. */
export type Source = 'local' | 'peer'

/**
 * A place for records beyond this member's own table: the other members; later a hub of the
 * host, a repository, a disk. What is on this machine and answers without waiting is a
 * RecordTable instead, for the handshake can't wait.
 *
 * A tier may lose what it keeps, answer late or not at all: a miss costs a full handshake or a
 * log-in, nothing more. What it must not do is say that a write was applied when it was not: on
 * that rests every revocation.
 */
export interface Tier {
  readonly source: Exclude<Source, 'local'>
  /**
   * The record under the key, tombstone or not; undefined where there is none, or no answer
   * within `budget` ms. Its bytes are the caller's. Lossy. Never rejects.
   */
  get(table: TableId, key: Buffer, budget: number): Promise<CacheRecord | undefined>
  /**
   * Keeps a record that is in the table here already. True when as many as `level` asks have
   * applied it, watchers included; where the level has no meaning, at once. False after `budget`
   * ms. May forget the record later. Never rejects.
   */
  put(record: CacheRecord, level: WriteLevel, budget: number): Promise<boolean>
  /**
   * From now on `Cache.apply` is told what others write, which the tier was given when it was
   * made. Resolves when what had been written before is applied too, as far as anybody could
   * be reached. Not lossy: what was missed meanwhile, by a link that was cut, comes later.
   * Rejects when the tier refuses this member.
   */
  watch(): Promise<void>
  /** Whom a `put` does not wait for, because nothing reaches them now. */
  absent(): readonly AbsentMember[]
  /**
   * True when all that others had written is here, but for what is on its way. May be false for
   * no reason; must not be true while a revocation could be unheard.
   */
  isCurrent(): boolean
  /** Ends waits, with what a miss or a failure answers. */
  close(): Promise<void>
}

/** Keeps nothing and misses nobody. */
export const noTier: Tier = {
  source: 'peer',
  get: async () => undefined,
  put: async () => true,
  watch: async () => {},
  absent: () => [],
  isCurrent: () => true,
  close: async () => {},
}
