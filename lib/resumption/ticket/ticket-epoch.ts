import type { EpochKey } from './epoch-key.ts'
import { mostEntries, type TicketEntry } from './ticket-record.ts'

/** Now, on both clocks: the wall's may jump, the other never does. */
export interface Moment {
  readonly wall: number
  readonly monotonic: number
}

/** An entry that this member knows, and its key unless that was withdrawn. */
export interface HeldEntry {
  readonly entry: TicketEntry
  readonly key: EpochKey | undefined
  /** Monotonic time at which it came. */
  readonly since: number
  /** Monotonic time from which on it is void, even if the wall clock is turned back. */
  readonly until: number
}

/**
 * All keys of one epoch. A set that only grows: members on both sides of a partition may each
 * have made one, and both count once they meet; an entry can become withdrawn and stays so.
 * Any two members that have seen the same entries, in whatever order, hold the same set.
 */
export class EpochKeys {
  readonly epoch: number
  /** 0 to 1: where in the span this member would make the key. */
  readonly chance: number
  readonly #held = new Map<string, HeldEntry>()
  /** What the table was last seen to hold. */
  #posted: ReadonlySet<string> = new Set()
  #lacking = false
  /** Monotonic time of the next question to other members. */
  askAt = 0
  askPause: number = firstAskPause
  /** Monotonic time at which the key is made if it is still missing. */
  makeAt: number | undefined
  /** Monotonic time at which the table is told what it lacks. */
  repostAt: number | undefined

  constructor(epoch: number, chance: number) {
    this.epoch = epoch
    this.chance = chance
  }

  get size(): number {
    return this.#held.size
  }

  /** In the order of their ids, as they are posted. */
  get entries(): TicketEntry[] {
    return this.#ordered().map(({ entry }) => entry)
  }

  /** Grows with the set: of two records, the one with the larger weight knows more. */
  get weight(): number {
    let weight = 0
    for (const { entry } of this.#held.values()) weight += entry.withdrawn ? 2 : 1
    return weight
  }

  /** The table has not got all that is known here. */
  get lacking(): boolean {
    return this.#lacking
  }

  held(): Iterable<HeldEntry> {
    return this.#held.values()
  }

  /** Those with a key, in the order of their ids. */
  live(): HeldEntry[] {
    return this.#ordered().filter(({ key }) => key !== undefined)
  }

  hasLive(): boolean {
    for (const { key } of this.#held.values()) if (key !== undefined) return true
    return false
  }

  /** The entry would add something. */
  wants(entry: TicketEntry): boolean {
    const held = this.#held.get(nameOf(entry))
    if (held !== undefined) return entry.withdrawn && !held.entry.withdrawn
    if (this.#held.size < mostEntries) return true
    const last = this.#ordered().at(-1)
    return last === undefined || Buffer.compare(entry.id, last.entry.id) < 0
  }

  add(held: HeldEntry): void {
    const name = nameOf(held.entry)
    this.#held.get(name)?.key?.destroy()
    this.#held.set(name, held)
    if (this.#held.size > mostEntries) {
      const last = this.#ordered().at(-1)
      if (last !== undefined) this.#remove(last)
    }
    this.#compare()
  }

  /** The table's record, as just read. */
  tableHolds(entries: readonly TicketEntry[]): void {
    this.#posted = new Set(entries.map(stateOf))
    this.#compare()
    if (!this.#lacking) this.repostAt = undefined
  }

  /** Zeroes the keys whose time has run out on the monotonic clock. */
  dropVoid(monotonic: number): void {
    for (const held of this.#held.values()) {
      if (monotonic >= held.until) this.#remove(held)
    }
    this.#compare()
  }

  destroy(): void {
    for (const { key } of this.#held.values()) key?.destroy()
    this.#held.clear()
  }

  #compare(): void {
    const known = [...this.#held.values()]
    this.#lacking = known.some(({ entry }) => !this.#posted.has(stateOf(entry)))
  }

  #remove(held: HeldEntry): void {
    held.key?.destroy()
    this.#held.delete(nameOf(held.entry))
  }

  #ordered(): HeldEntry[] {
    return [...this.#held.values()].sort((a, b) => Buffer.compare(a.entry.id, b.entry.id))
  }
}

const firstAskPause = 1_000

/** How an id is kept in a Map. */
export function nameOf(entry: TicketEntry): string {
  return entry.id.toString('hex')
}

function stateOf(entry: TicketEntry): string {
  return `${nameOf(entry)}${entry.withdrawn ? '-' : '+'}`
}
