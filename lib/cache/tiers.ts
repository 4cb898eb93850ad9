import type { Clock } from '../clock.ts'
import { HandfastError } from '../errors.ts'
import type { AbsentMember, Replica, WriteLevel } from '../farm/transport.ts'
import { type TableId, tables } from '../record/key.ts'
import type { CacheRecord } from '../record/record.ts'
import { shown } from '../shown.ts'
import { DiskBacking } from './disk-backing.ts'
import { type Flight, Lookup } from './lookup.ts'
import type { FoundRecord, Tier } from './tier.ts'

export interface TiersParts {
  readonly clock: Clock
  /** Takes what a tier has. True when it was news. */
  apply(record: CacheRecord): boolean
}

/** A disk that takes longer is one that does not keep what it is given, ms. */
const diskPatience = 10_000

const sourceForm = /^[a-z][a-z0-9-]{0,31}$/

/** All that lies beyond this member's own table, the nearest first. */
export class Tiers {
  readonly #tiers: Tier[] = []
  readonly #lookup: Lookup
  /** Of what others have written. */
  readonly #backing = new DiskBacking()

  constructor({ clock, apply }: TiersParts) {
    this.#lookup = new Lookup({ clock, tiers: this.#tiers, apply })
  }

  /** Adds a tier that is farther away than those before. */
  extend(tier: Tier): void {
    const { source } = tier
    const isFree = !this.#tiers.some(other => other.source === source)
    if (source === 'local' || !sourceForm.test(source) || !isFree) {
      throw new HandfastError(
        'ERR_HANDFAST_CONFIG',
        `a tier needs a name of its own, a lower-case word: got ${shown(source)}`,
      )
    }
    this.#tiers.push(tier)
  }

  /** There is none but that of the members. */
  get isLast(): boolean {
    return this.#tiers.length <= 1
  }

  /** Hosts share one, be they linked or not. */
  get isShared(): boolean {
    return this.#tiers.some(({ source, isOwn }) => source !== 'peer' && isOwn !== true)
  }

  /** What was revoked is known to lie on a disk here, and is not known. */
  get withholds(): boolean {
    return this.#tiers.some(({ withholds }) => withholds === true)
  }

  /** Looks for a record, for at most `budget` ms. Many askers of one key cost one question. */
  ask(table: TableId, key: Buffer, budget: number): Flight {
    return this.#lookup.ask(table, key, budget)
  }

  /** See Tier.get. Never rejects. */
  get(table: TableId, key: Buffer, budget: number): Promise<FoundRecord | undefined> {
    return this.ask(table, key, budget).landed
  }

  /**
   * Gives each tier what this host has written. True when as many as `level` asks have applied
   * it in time:
   *
   * - `local`: nobody is waited for.
   * - `one`: a place that another host can see has it, whichever is first.
   * - `repositories`: each tier that is one, or has some; where none is, as `one`.
   * - `all`: each tier that can tell what all hosts have applied, and each that is a repository.
   *   False where hosts share a tier and no tier can tell that.
   *
   * Where nobody is to be waited for it is true at once, as in a farm of one.
   */
  put(record: CacheRecord, level: WriteLevel, budget: number): Promise<boolean> {
    const [first] = this.#tiers
    if (first === undefined) return Promise.resolve(true)
    if (this.#tiers.length === 1 && first.isOwn !== true)
      return first.put(record, level, budget)
    const asked = this.#tiers.map(tier => levelFor(tier, level))
    const isPlaced = asked.some((_, at) => asked[at] !== undefined && !this.#isOwn(at))
    const levels =
      level === 'repositories' && !isPlaced
        ? this.#tiers.map(tier => levelFor(tier, 'one'))
        : asked
    const waits: Promise<boolean>[] = []
    for (const [at, tier] of this.#tiers.entries()) {
      const wait = levels[at]
      if (wait === undefined) void tier.put(record, 'local', 0)
      else waits.push(tier.put(record, wait, budget))
    }
    if (waits.length === 0) return Promise.resolve(true)
    if (levels.includes('one')) return anyOf(waits)
    const isTold =
      level !== 'all' ||
      !isPlaced ||
      levels.some((l, at) => l === 'all' && !this.#isOwn(at))
    return Promise.all(waits).then(all => isTold && all.every(yes => yes))
  }

  /**
   * The replica as a tier sees it, or the transport of the members: what it brings is given to
   * the tiers of this host's own, but for `from`, which has it. What a disk brings, those that
   * hosts share may lack: it was written before this host was started.
   */
  told(replica: Replica, from?: () => Tier | undefined): Replica {
    return {
      apply: record => {
        const changed = replica.apply(record)
        if (changed) this.#passOn(record, from?.())
        return changed
      },
      read: (table, key) => replica.read(table, key),
      scan: (...args) => replica.scan(...args),
      isSettled: () => replica.isSettled?.() !== false,
      backing: this.#backing,
    }
  }

  /**
   * See Tier.watch. First what this host itself knew before it was started: the others are to
   * hear of that when it meets them.
   */
  async watch(): Promise<void> {
    for (const tier of this.#tiers) if (tier.isOwn === true) await tier.watch()
    for (const tier of this.#tiers) if (tier.isOwn !== true) await tier.watch()
  }

  absent(): AbsentMember[] {
    return this.#tiers.flatMap(tier => tier.absent())
  }

  isCurrent(): boolean {
    return this.#tiers.every(tier => tier.isCurrent())
  }

  /** Of each tier that has figures, by its name. */
  stats(): { readonly [source: string]: { readonly [name: string]: number } } {
    return Object.fromEntries(
      this.#tiers.flatMap(tier => {
        const figures = tier.stats?.()
        return figures === undefined ? [] : [[tier.source, figures]]
      }),
    )
  }

  async close(): Promise<void> {
    await Promise.all(this.#tiers.map(tier => tier.close()))
  }

  #passOn(record: CacheRecord, from: Tier | undefined): void {
    for (const tier of this.#tiers) {
      if (tier === from) continue
      if (tier.isOwn === true) this.#keep(record, tier)
      else if (from?.isOwn === true && record.table !== tables.session) tier.lost?.()
    }
  }

  #keep(record: CacheRecord, tier: Tier): void {
    // While it is off nobody waits for it.
    if (tier.answers('all')) this.#backing.give(tier.put(record, 'all', diskPatience))
    else void tier.put(record, 'local', 0)
  }

  #isOwn(at: number): boolean {
    return this.#tiers[at]?.isOwn === true
  }
}

/** What a tier is waited for when a write is to reach a level; undefined: it is not. */
function levelFor(tier: Tier, level: WriteLevel): WriteLevel | undefined {
  if (level === 'local') return undefined
  if (tier.answers(level)) return level
  if (level === 'all' && tier.answers('repositories')) return 'repositories'
  return undefined
}

function anyOf(waits: readonly Promise<boolean>[]): Promise<boolean> {
  return new Promise(resolve => {
    let left = waits.length
    for (const wait of waits) {
      void wait.then(yes => {
        left -= 1
        if (yes || left === 0) resolve(yes)
      })
    }
  })
}
