import type { TableId } from '../record/key.ts'
import type { CacheRecord } from '../record/record.ts'

/**
 * How members of a farm talk. Two words are kept apart: a *packet* is best effort, a *stream*
 * is reliable and ordered. Whatever carries the records, a transport promises what stands here.
 *
 * One other member has three words. A *member* is whom people know: its name, address and state
 * (link/member-directory.ts). A *life* is one start of a member, with a number of its own
 * (link/life.ts). A *peer* is what the engine keeps of one life: what came from it, and what is
 * owed to it (engine/peer.ts).
 */
export interface Transport {
  /**
   * Joins the farm: resolves once this member holds what the farm held when it came (row A13:
   * a new member is brought up to date before it serves), or once it is clear that no member
   * can be reached or gives anything; then `isCurrent` stays false until one has. Rejects with ERR_HANDFAST_JOIN when the farm refuses it.
   */
  start(): Promise<void>
  /**
   * Sends a record that this member wrote (and has already applied) to the others. Resolves
   * when as many members as `level` asks have it *in their table*: at once for `local`. One
   * that got it and could not take it does not count. Never
   * rejects for a slow or absent member and never waits longer than `budget` milliseconds;
   * the answer says whether the level was reached.
   */
  publish(record: CacheRecord, level: WriteLevel, budget: number): Promise<boolean>
  /**
   * Asks the other members for a record that is not here. The first live answer within
   * `budget` milliseconds; undefined when nobody has it or the time is up. Never rejects.
   */
  fetch(table: TableId, key: Buffer, budget: number): Promise<FoundRecord | undefined>
  /** Members known now, this one first. */
  members(): Member[]
  /** Members that `publish` does not wait for, because nothing reaches them now. */
  absent(): AbsentMember[]
  /**
   * True when this member has all that every member it knows of had written when the latest
   * link with it came up, and none of them is silent. What another revokes is then known here,
   * but for what is on its way. A member that took its leave does not count.
   */
  isCurrent(): boolean
  /**
   * From now on `changed` is called after whatever may have changed what `members` or
   * `isCurrent` say; it must be quick and must not throw. Answers how to end that.
   */
  watch(changed: () => void): () => void
  /** Figures for metrics; names are stable. */
  stats(): TransportStats
  /** Says good-bye, ends every connection and timer. */
  close(): Promise<void>
}

/**
 * How many members must have a write in their table before it counts as done.
 * `local`: this one. `one`: one other member, where there is one. `repositories`: every reachable repository
 * (same as `one` where the farm has none). `all`: every reachable member.
 */
export type WriteLevel = 'local' | 'one' | 'repositories' | 'all'

/** What a transport needs from the member it runs in. */
export interface Replica {
  /** Takes a record from another member. True when it changed the table. */
  apply(record: CacheRecord): boolean
  /** The record under the key, tombstone or not, if it is here. */
  read(table: TableId, key: Buffer): CacheRecord | undefined
  /** A bounded step of a walk over all records; see RecordTable.scan. */
  scan(
    cursor: object | undefined,
    limit: number,
    isBorrowed?: boolean,
  ): { records: CacheRecord[]; next: object | undefined }
  /**
   * False while somebody behind this replica may lack what it has: another process of the host.
   * Nothing is acknowledged then.
   */
  isSettled?(): boolean
  /** What must have a record before it is acknowledged, as a disk. Default: nothing. */
  readonly backing?: Backing | undefined
}

/** Records on their way to where they outlive the process, numbered as they were applied. */
export interface Backing {
  /** The last one. */
  readonly given: number
  /** All up to this one are there, or it was given up for them. */
  readonly stored: number
}

/** A record, and which of the places that were asked had it. Default: the one that was asked. */
export interface FoundRecord extends CacheRecord {
  readonly source?: string | undefined
}

export interface Member {
  /** Name of the member, unique in the farm: from the options or made up at start. */
  readonly id: string
  /** Draws a new number at each start. */
  readonly incarnation: number
  /** `host:port` under which others reach it, undefined for a member nobody can dial. */
  readonly address: string | undefined
  /**
   * `left`: it took its leave. `gone`: it was lost without. `refused`: it or we won't talk to
   * the other, see `reason`.
   */
  readonly state: 'joining' | 'ready' | 'suspect' | 'gone' | 'left' | 'refused'
  readonly self: boolean
  /** It keeps records for all, and serves no clients. Default false. */
  readonly repository?: boolean | undefined
  /** In words, why it is refused. */
  readonly reason?: string | undefined
}

/** A member that may serve somewhere and can't be told anything. */
export interface AbsentMember {
  /** Undefined for an address of the options at which nobody was ever met. */
  readonly id: string | undefined
  /** `host:port`, or the name that has none. */
  readonly address: string | undefined
  /** Milliseconds for which it has been away. */
  readonly away: number
}

/** How far a write came that is for every member. */
export interface WriteReach {
  /** All members have it in their tables: `reachable`, and nobody is missing. */
  readonly everywhere: boolean
  /** Every member that can be reached said in time that it has it. */
  readonly reachable: boolean
  /** Members that can't be reached now; they hear of it when they come back. */
  readonly missing: readonly AbsentMember[]
}

export interface TransportStats {
  readonly [name: string]: number
}

/** A farm of one: nobody to tell, nobody to ask. */
export const noTransport: Transport = {
  start: async () => {},
  publish: async () => true,
  fetch: async () => undefined,
  members: () => [],
  absent: () => [],
  isCurrent: () => true,
  watch: () => () => {},
  stats: () => ({}),
  close: async () => {},
}
