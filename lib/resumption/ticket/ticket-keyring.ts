import { BoundedMap } from '../../bounded-map.ts'
import type { EpochKey } from './epoch-key.ts'
import { EpochKeys, type HeldEntry, type Moment, nameOf } from './ticket-epoch.ts'
import type { TicketEntry } from './ticket-record.ts'
import type { TicketSchedule } from './ticket-schedule.ts'

/** What the owner of a keyring has to do, in this order. */
export type KeyringAction =
  /** Make a key for the epoch and hand it to `add`. */
  | { readonly kind: 'make'; readonly epoch: number }
  /** Ask the other members for their record of the epoch. */
  | { readonly kind: 'ask'; readonly epoch: number }
  /** Post what is known of the epoch. */
  | { readonly kind: 'post'; readonly epoch: number }
  /** Nothing to do: keys of the epoch are zeroed. */
  | { readonly kind: 'dropped'; readonly epoch: number; readonly count: number }

/**
 * Which ticket keys there are, which one seals, which still open: decided from what was
 * learnt and the time, without doing anything itself.
 *
 * - Made: before the epoch ahead begins, at a moment drawn by each member, unless one is known.
 *   Members that find none when it is due ask the others first and wait a little, too.
 * - Seals: in its epoch, by the member's own wall clock. Of several that were out long
 *   enough the one with the lowest id; once chosen it stays for the epoch. Until there is one,
 *   none does: what only this member has would resume on this member only.
 * - Opens: from the moment it is known until `acceptFor` after its epoch began.
 * - Zeroed: then, on whichever clock comes first, or when it is withdrawn.
 */
export class TicketKeyring {
  readonly #schedule: TicketSchedule
  /** 0 to 1. */
  readonly #chance: () => number
  readonly #epochs = new Map<number, EpochKeys>()
  /** When the time of an entry is up on the monotonic clock, however often it is learnt. */
  readonly #deadlines = new BoundedMap<string, number>(mostDeadlines)
  #chosen: { readonly epoch: number; readonly key: EpochKey } | undefined
  /** All keys, ended ones too; undefined when there may be others. */
  #held: HeldKey[] | undefined
  #refreshAt = 0
  #refreshed = 0

  constructor(schedule: TicketSchedule, chance: () => number) {
    this.#schedule = schedule
    this.#chance = chance
  }

  /** To be called every second or more often. */
  tick(at: Moment): KeyringAction[] {
    const actions = this.#drop(at)
    const { oldest, newest } = this.#schedule.window(at.wall)
    for (let epoch = oldest; epoch <= newest; epoch += 1) {
      this.#seekMissing(this.epoch(epoch), at, actions)
      this.#repostLacking(this.epoch(epoch), at, actions)
    }
    this.#refresh(oldest, newest, at, actions)
    return actions
  }

  /** Epochs of which keys may be held, oldest first. */
  window(at: Moment): number[] {
    const { oldest, newest } = this.#schedule.window(at.wall)
    return Array.from({ length: newest - oldest + 1 }, (_, i) => oldest + i)
  }

  epoch(epoch: number): EpochKeys {
    let keys = this.#epochs.get(epoch)
    if (keys === undefined) {
      keys = new EpochKeys(epoch, this.#chance())
      this.#epochs.set(epoch, keys)
    }
    return keys
  }

  /** The entry is new here and its time has not run out. */
  wants(epoch: number, entry: TicketEntry, at: Moment): boolean {
    const deadline = this.#deadlines.get(nameOf(entry)) ?? Number.POSITIVE_INFINITY
    return at.monotonic < deadline && this.epoch(epoch).wants(entry)
  }

  /** Takes in an entry, with its key unless it is withdrawn. */
  add(epoch: number, entry: TicketEntry, key: EpochKey | undefined, at: Moment): void {
    const until = this.#deadline(epoch, entry, at)
    this.epoch(epoch).add({ entry, key, since: at.monotonic, until })
    this.#held = undefined
  }

  /** The key for new tickets; undefined until there is one that all members have. */
  sealing(at: Moment): EpochKey | undefined {
    const epoch = this.#schedule.epochAt(at.wall)
    const chosen = this.#chosen
    if (chosen?.epoch === epoch && !chosen.key.destroyed) return chosen.key
    const best = this.#epochs
      .get(epoch)
      ?.live()
      .find(held => at.monotonic < held.until && this.#isSettled(held, at))
    if (best?.key === undefined) return undefined
    this.#chosen = { epoch, key: best.key }
    return best.key
  }

  /**
   * The keys whose tickets may still resume: that of now, the older ones, and then those that
   * only a member whose clock is ahead may be sealing with.
   */
  opening(at: Moment): EpochKey[] {
    this.#held ??= this.#newestFirst()
    const current = this.#schedule.epochAt(at.wall)
    const keys: EpochKey[] = []
    const ahead: EpochKey[] = []
    for (const { key, epoch, until } of this.#held) {
      if (key.destroyed || !this.#opens(epoch, until, at)) continue
      if (epoch > current) ahead.push(key)
      else keys.push(key)
    }
    return [...keys, ...ahead]
  }

  destroy(): void {
    for (const keys of this.#epochs.values()) keys.destroy()
    this.#epochs.clear()
    this.#held = undefined
  }

  #newestFirst(): HeldKey[] {
    const held: HeldKey[] = []
    for (const [epoch, keys] of this.#epochs) {
      for (const { key, until } of keys.held()) {
        if (key !== undefined) held.push({ epoch, key, until })
      }
    }
    return held.sort((a, b) => b.epoch - a.epoch)
  }

  #opens(epoch: number, until: number, at: Moment): boolean {
    return at.wall < this.#schedule.endOf(epoch) && at.monotonic < until
  }

  /** Out for so long that every member which can be reached has it. */
  #isSettled({ entry, since }: HeldEntry, at: Moment): boolean {
    const { settle } = this.#schedule.times
    return at.wall - entry.madeAt >= settle || at.monotonic - since >= settle
  }

  #drop(at: Moment): KeyringAction[] {
    const actions: KeyringAction[] = []
    const { oldest, newest } = this.#schedule.window(at.wall)
    for (const [epoch, keys] of this.#epochs) {
      const before = keys.size
      if (epoch < oldest || epoch > newest) {
        keys.destroy()
        this.#epochs.delete(epoch)
      } else {
        keys.dropVoid(at.monotonic)
      }
      const count = before - keys.size
      this.#held = undefined
      if (count > 0) actions.push({ kind: 'dropped', epoch, count })
    }
    return actions
  }

  /** What counts is what the wall clock said first: turning it back prolongs nothing. */
  #deadline(epoch: number, entry: TicketEntry, at: Moment): number {
    const name = nameOf(entry)
    let deadline = this.#deadlines.get(name)
    if (deadline === undefined) {
      deadline = at.monotonic + this.#schedule.endOf(epoch) - at.wall
      this.#deadlines.set(name, deadline)
    }
    return deadline
  }

  #seekMissing(keys: EpochKeys, at: Moment, actions: KeyringAction[]): void {
    if (keys.hasLive()) {
      keys.makeAt = undefined
      return
    }
    const { epoch } = keys
    const current = this.#schedule.epochAt(at.wall)
    const due = at.wall >= this.#schedule.makeAt(epoch, keys.chance)
    if (!due) return
    if (keys.size === 0 && at.monotonic >= keys.askAt) {
      keys.askAt = at.monotonic + keys.askPause
      keys.askPause *= 2
      actions.push({ kind: 'ask', epoch })
    }
    if (epoch < current) return
    if (keys.makeAt === undefined) {
      const { lateSpread } = this.#schedule.times
      keys.makeAt = at.monotonic + this.#chance() * lateSpread
    } else if (at.monotonic >= keys.makeAt) {
      actions.push({ kind: 'make', epoch })
    }
  }

  /** After a pause drawn by each, so that not all members tell the table the same at once. */
  #repostLacking(keys: EpochKeys, at: Moment, actions: KeyringAction[]): void {
    if (!keys.lacking) return
    if (keys.repostAt === undefined) {
      keys.repostAt = at.monotonic + this.#chance() * repostSpread
    } else if (at.monotonic >= keys.repostAt) {
      keys.repostAt = at.monotonic + repostPause
      actions.push({ kind: 'post', epoch: keys.epoch })
    }
  }

  /** One epoch after the other: two sides of a healed partition learn of each other's keys. */
  #refresh(oldest: number, newest: number, at: Moment, actions: KeyringAction[]): void {
    if (at.monotonic < this.#refreshAt) return
    const { refresh } = this.#schedule.times
    this.#refreshAt = at.monotonic + refresh * (0.5 + this.#chance())
    this.#refreshed += 1
    const epoch = oldest + (this.#refreshed % (newest - oldest + 1))
    if (this.epoch(epoch).size > 0) actions.push({ kind: 'post', epoch })
  }
}

interface HeldKey {
  readonly epoch: number
  readonly key: EpochKey
  readonly until: number
}

const repostSpread = 1_000
/** A table that does not keep what it is told is not told again before this. */
const repostPause = 30_000
const mostDeadlines = 4_096
