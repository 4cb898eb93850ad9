import type { Clock } from '../clock.ts'
import type { AbsentMember, FoundRecord, Replica, WriteLevel } from '../farm/transport.ts'
import type { Log } from '../log.ts'
import type { TableId } from '../record/key.ts'
import type { CacheRecord } from '../record/record.ts'
import type { RecordSealer } from '../record/record-sealer.ts'

export type { FoundRecord, WriteLevel } from '../farm/transport.ts'

/**
 * Where a lookup found a record: this member's own table, another member, one that is a
 * repository, or a tier by its name (`redis`, `disk`).
 */
export type Source = 'local' | 'peer' | 'repository' | (string & {})

/**
 * A place for records beyond this member's own table: the other members, a server that several
 * hosts share, a disk. What is on this machine and answers without waiting is a RecordTable
 * instead, for the handshake can't wait.
 *
 * A tier may lose what it keeps, answer late or not at all: a miss costs a full handshake or a
 * log-in, nothing more. What it must not do is say that a write was applied when it was not: on
 * that rests every revocation. `GuardedTier` sees to time limits, failures and figures.
 */
export interface Tier {
  /** Name in metrics and in `Handshake.resumed`: a lower-case word. Not `local`. */
  readonly source: Source
  /** Longest wait of a lookup for this tier, ms. Default: its share of what is left. */
  readonly budget?: number | undefined
  /**
   * Nobody but this host sees it, as a disk. It is given all that comes to this host, whoever
   * wrote it, and its `watch` brings that back. Default: others see it, too, and it is given what
   * this host writes.
   */
  readonly isOwn?: boolean | undefined
  /**
   * Whether `put` at this level waits for something here. A disk waits for `all` alone: then the
   * record is on it. A server that hosts share for `one` and `repositories`, and for `all` only
   * where it can tell that every other member has applied it. False where there is nobody now.
   */
  answers(level: WriteLevel): boolean
  /**
   * The record under the key, tombstone or not; undefined where there is none, or no answer
   * within `budget` ms. Its bytes are the caller's. Lossy. What it rejects with is counted, and
   * a miss.
   */
  get(table: TableId, key: Buffer, budget: number): Promise<FoundRecord | undefined>
  /**
   * Keeps a record that is in the table here already, unless it has a newer one. Of two with one
   * version the later stays, and whoever watches is told of both. True when it is kept, and as
   * many as `level` asks have applied it, watchers included; false when these have not within
   * `budget` ms. May forget the record later. Rejects when it could not be kept: it is counted,
   * and what matters is put again.
   */
  put(record: CacheRecord, level: WriteLevel, budget: number): Promise<boolean>
  /**
   * From now on the replica that the tier was given when it was made is told what others write.
   * Resolves when what had been written before is applied too, as far as anybody could be
   * reached; TLS sessions may come later, or when they are asked for. Not lossy: what was missed
   * meanwhile, by a link that was cut, comes later. Rejects when the tier refuses this member.
   */
  watch(): Promise<void>
  /** It may lack what is here and matters: it is to be given that again. Default: it never does. */
  lost?(): void
  /** Whom a `put` does not wait for, because nothing reaches them now. */
  absent(): readonly AbsentMember[]
  /**
   * True when all that others had written is here, but for what is on its way. May be false for
   * no reason; must not be true while a revocation could be unheard. Nobody else writes to a
   * disk: that has always told all.
   */
  isCurrent(): boolean
  /**
   * True when it has a clock of its own, and has found the time here to agree with it. Then what
   * comes from the future was written with a clock that is wrong. Default: it has none.
   */
  readonly isTimeRight?: boolean | undefined
  /** It has told what was revoked, and that can't be taken yet. Default: never. */
  readonly withholds?: boolean | undefined
  /** More figures for the metrics, names are stable. Default: none. */
  stats?(): { readonly [name: string]: number }
  /** Ends waits, with what a miss or a failure answers. */
  close(): Promise<void>
}

/** What a tier is given when the farm is made. */
export interface TierParts {
  /** The farm's time. */
  readonly clock: Clock
  readonly log: Log
  readonly farmName: string
  /** Name of this host, lasting where the options name it. */
  readonly memberId: string
  /** Bytes that this host has for records. */
  readonly memory: number
  /** Seals and opens records that are kept outside of the farm. */
  readonly sealer: RecordSealer
  /** `apply` takes what others wrote or the disk had; `scan` walks over what is here. */
  readonly replica: Replica
  /** It may have lost what it kept, as a server without a disk that was started anew. */
  lost(): void
}

/** What a plugin makes of its options, for `createFarm({ tiers: [...] })`. */
export type TierMaker = (parts: TierParts) => Tier

/** Keeps nothing and misses nobody. */
export const noTier: Tier = {
  source: 'peer',
  answers: () => true,
  get: async () => undefined,
  put: async () => true,
  watch: async () => {},
  absent: () => [],
  isCurrent: () => true,
  close: async () => {},
}
