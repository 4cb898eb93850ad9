import { BoundedMap } from '../../bounded-map.ts'
import { TokenBucket } from '../../limit/token-bucket.ts'
import { ownedTables } from '../../record/key.ts'
import type { CacheRecord } from '../../record/record.ts'
import type { Replica } from '../transport.ts'
import type { Ranking } from './topology.ts'

/** Members that come and go together are looked at together; ms. */
const settleTime = 200
/** Records looked at in one step, and the pause after it, ms: a tenth of a core. */
const stepLength = 256
const stepPause = 10
/** Records a second that one member copies to where they belong now, and at once after a pause. */
export const moveRate = 10_000
const moveBurst = 1_000
/** Between two looks at what is here, ms, when nobody comes or goes. */
const lookAgain = 60_000
/** Members that are away, of which is remembered since when. */
const mostLost = 1_024

/** Members that can be reached, by name, with the number of their life. */
export type View = ReadonlyMap<string, number>

export interface MovesParts {
  /** Who of some owners, and of this member where it owns something, comes first for a key. */
  among(ids: Iterable<string>): Ranking
  readonly self: string
  /** Members that own a key. */
  copies(): number
  /**
   * A record that none of its owners has: whether this member is to give it, if another may have
   * it as well.
   */
  gives(record: CacheRecord): boolean
  readonly replica: Pick<Replica, 'scan'>
  /** False when the member has enough to do: it is tried again. */
  give(to: string, record: CacheRecord): boolean
  /** The member has been given all of ours that it owns. */
  finished(to: string): void
}

export interface Loss {
  readonly life: number
  /** From that version on it may lack what it owns. */
  readonly since: number
  /** ... and from that on it lacks some that we were to give it, which nobody else knows. */
  readonly owed: number
}

interface Walk {
  readonly to: View
  readonly before: Ranking
  readonly after: Ranking
  /**
   * Those of which it is not certain that they hold what they would own by `before`, and since
   * which version: 0 for a life that has just begun.
   */
  readonly fresh: ReadonlyMap<string, number>
  readonly owed: ReadonlyMap<string, number>
  /** Writes from then on may have lost a copy with the member that made them. */
  readonly unsureSince: number
  /** Nobody came and nobody went: only counted. */
  readonly isLook: boolean
  readonly rest: CacheRecord[]
  cursor: object | undefined
  isOver: boolean
  owned: number
}

/**
 * Copies records to the members that own them since others came or went: a walk over the own
 * table from one view of the farm to the next. One holder sees to each record, the first of its
 * owners before that still has it; where none has, whoever holds it does.
 */
export class Moves {
  readonly #parts: MovesParts
  readonly #bucket = new TokenBucket(moveRate, moveBurst)
  /** Members that were lost. */
  readonly #lost = new BoundedMap<string, Loss & { isNew: boolean }>(mostLost)
  /** Members that served before we knew of them. */
  readonly #metLate = new Map<string, Pick<Loss, 'life' | 'owed'>>()
  /** What all that is here was last copied for. */
  #settled: View = new Map()
  #next: View = new Map()
  #walk: Walk | undefined
  #dueAt = Infinity
  #owned = 0
  /** Came since the last walk began. */
  #cameSince = 0
  #walks = 0

  constructor(parts: MovesParts) {
    this.#parts = parts
  }

  get deadline(): number {
    return this.#dueAt
  }

  /**
   * Records here that this member owns: those that it had at its last look, and what came since.
   * Of what ended since it learns by the next look, within a minute.
   */
  get owned(): number {
    return this.#owned + this.#cameSince
  }

  get walks(): number {
    return this.#walks
  }

  /** Of all that is here nothing need be copied: everybody has it. */
  rest(view: View): void {
    this.#settled = view
    this.#next = view
    this.#walk = undefined
    this.#dueAt = Infinity
    this.#lost.clear()
    this.#metLate.clear()
    this.#owned = 0
    this.#cameSince = 0
  }

  /** Records came that this member owns. */
  came(count: number): void {
    this.#cameSince += count
  }

  /** Those who own something; `anew`: look again, be they the same. */
  changed(view: View, now: number, anew = true): void {
    if (!anew && sameView(view, this.#next) && !this.#isOwed) return
    this.#next = view
    // A walk goes on to its end, or in a farm that is never quiet none ever would.
    if (this.#walk === undefined) this.#dueAt = Math.min(this.#dueAt, now + settleTime)
  }

  /** A connection with the member ended. */
  lost(id: string, loss: Loss): void {
    const before = this.#lost.get(id)
    const isSame = before?.life === loss.life
    this.#lost.set(id, {
      isNew: true,
      life: loss.life,
      since: isSame ? Math.min(before.since, loss.since) : loss.since,
      owed: isSame ? Math.min(before.owed, loss.owed) : loss.owed,
    })
  }

  /**
   * A member was met that served before: the others took it for an owner when we did not, and so
   * nobody but us knows what we wrote meanwhile and it lacks.
   */
  metLate(id: string, late: Pick<Loss, 'life' | 'owed'>): void {
    this.#metLate.set(id, late)
  }

  /** A copy for the member was dropped: of what was written from that version on it may lack some. */
  owed(id: string, owing: { life: number; since: number }, now: number): void {
    this.lost(id, { ...owing, owed: owing.since })
    if (this.#walk === undefined) this.#dueAt = Math.min(this.#dueAt, now + settleTime)
  }

  tick(now: number): void {
    if (now < this.#dueAt) return
    this.#walk ??= this.#begin()
    const walk = this.#walk
    if (!this.#step(walk, now)) {
      this.#dueAt = now + stepPause
      return
    }
    this.#walk = undefined
    this.#walks += 1
    this.#owned = walk.owned
    this.#settled = walk.to
    for (const id of walk.fresh.keys()) this.#parts.finished(id)
    this.#dueAt = now + (sameView(walk.to, this.#next) && !this.#isOwed ? lookAgain : 0)
  }

  /** Somebody came back that is in the view, and may lack something. */
  get #isOwed(): boolean {
    for (const [id, { life }] of this.#lost) if (this.#next.get(id) === life) return true
    return false
  }

  #begin(): Walk {
    const { among } = this.#parts
    // What it has counted so far stands until this walk is over.
    this.#owned += this.#cameSince
    this.#cameSince = 0
    const to = this.#next
    const fresh = new Map<string, number>()
    const owed = new Map<string, number>()
    const before = new Set<string>()
    let unsureSince = Infinity
    for (const id of this.#settled.keys()) before.add(id)
    // One may have come and gone since the last walk, and have been given what it owned.
    for (const [id, loss] of this.#lost) {
      if (!loss.isNew || to.get(id) === loss.life) continue
      loss.isNew = false
      unsureSince = Math.min(unsureSince, loss.since)
    }
    for (const [id, life] of to) {
      const lost = this.#lost.get(id)
      const isSame = this.#settled.get(id) === life
      if (lost?.life === life) {
        fresh.set(id, lost.since)
        owed.set(id, lost.owed)
        before.add(id)
      } else if (!isSame) {
        const late = this.#metLate.get(id)
        fresh.set(id, 0)
        if (late?.life === life) owed.set(id, late.owed)
      }
      this.#lost.delete(id)
    }
    this.#metLate.clear()
    return {
      to,
      before: among(before),
      after: among(to.keys()),
      fresh,
      owed,
      unsureSince,
      isLook: fresh.size === 0 && unsureSince === Infinity && sameView(this.#settled, to),
      rest: [],
      cursor: undefined,
      isOver: false,
      owned: 0,
    }
  }

  /** True when the walk is over. */
  #step(walk: Walk, now: number): boolean {
    if (walk.rest.length === 0 && !walk.isOver) {
      const { records, next } = this.#parts.replica.scan(walk.cursor, stepLength)
      for (const record of records)
        if (ownedTables.has(record.table) && !record.tombstone) walk.rest.push(record)
      walk.cursor = next
      walk.isOver = next === undefined
    }
    let done = 0
    for (const record of walk.rest) {
      if (!this.#place(walk, record, now)) break
      done += 1
    }
    walk.rest.splice(0, done)
    return walk.isOver && walk.rest.length === 0
  }

  /** False when it must wait. */
  #place(walk: Walk, record: CacheRecord, now: number): boolean {
    const { self, copies, give } = this.#parts
    const { table, key } = record
    const owners = walk.after.first(table, key, copies())
    const isOwned = owners.includes(self)
    if (!walk.isLook) {
      const lacking = this.#lacking(walk, record, owners)
      if (lacking.length > 0 && !this.#bucket.take(now)) return false
      for (const id of lacking) if (!give(id, record)) return false
    }
    if (isOwned) walk.owned += 1
    return true
  }

  /** Of the owners, those that this member is to give it to. */
  #lacking(walk: Walk, record: CacheRecord, owners: readonly string[]): string[] {
    const { self, copies, gives } = this.#parts
    const { table, key, version } = record
    const before = walk.before.first(table, key, copies())
    const mayLack = (id: string) => version.ms >= (walk.fresh.get(id) ?? Infinity)
    const isUnsure = version.ms >= walk.unsureSince
    const lacking = owners.filter(
      id => id !== self && (isUnsure || mayLack(id) || !before.includes(id)),
    )
    if (lacking.length === 0 || isUnsure) return lacking
    const holder = before.find(id => id === self || (walk.to.has(id) && !mayLack(id)))
    if (holder === undefined) return gives(record) ? lacking : []
    if (holder === self) return lacking
    return lacking.filter(id => version.ms >= (walk.owed.get(id) ?? Infinity))
  }
}

function sameView(a: View, b: View): boolean {
  if (a.size !== b.size) return false
  for (const [id, life] of a) if (b.get(id) !== life) return false
  return true
}
