import { ownedTables, type TableId } from '../../record/key.ts'
import type { CacheRecord } from '../../record/record.ts'
import type { Asks, Layout, Ranking, Topology } from './topology.ts'

/** After members came or went, ms, one owner more is asked: a session may be as old. */
const unsettled = 3_600_000

/** Another member with a connection. */
export interface PlacedMember {
  readonly id: string
  /** Number of its life. */
  readonly life: number
  /** It has all that the farm had when it came. */
  readonly ready: boolean
  /** It is not suspected to be gone. */
  readonly alive: boolean
  readonly repository: boolean
  /** There are, or were, repositories, as it knows. */
  readonly metRepository: boolean
}

export interface OwnershipParts {
  readonly self: string
  /** This member is one. */
  readonly repository: boolean
  readonly topology: Topology
}

/** The orders of all, to write by, and of those that serve, to ask by. */
interface Rankings {
  readonly everybody: Ranking
  readonly serving: Ranking
  /** There is one that serves. */
  readonly isServed: boolean
}

/** Which members are asked for a key, the likeliest first. */
export interface Owners {
  readonly ids: readonly string[]
  readonly asks: Asks
  /** They are repositories. */
  readonly repositories: boolean
}

/** Who of those that are there owns which key, in the layout that the farm has now. */
export class Ownership {
  readonly #parts: OwnershipParts
  #layout: Layout
  /** Those with a connection; those of them that may own something. */
  #linked = new Map<string, PlacedMember>()
  #members = new Map<string, PlacedMember>()
  /** Made when they are wanted: a farm of hundreds meets one by one. */
  #rankings: Rankings | undefined
  #changedAt = -Infinity
  /** A repository has been there, for this member or for one that it has met. */
  #hasMet: boolean

  constructor(parts: OwnershipParts) {
    this.#parts = parts
    this.#hasMet = parts.repository
    this.#layout = parts.topology.layout(1, 'replicated', parts.repository)
  }

  get layout(): Layout {
    return this.#layout
  }

  /** Those with a connection. */
  get linked(): ReadonlyMap<string, PlacedMember> {
    return this.#linked
  }

  /** Those of them that are alive and may own something. */
  get members(): ReadonlyMap<string, PlacedMember> {
    return this.#members
  }

  /** Members that own a key. */
  get copies(): number {
    const { copies, repositoryCopies } = this.#parts.topology
    return this.#sharing === 'tiered' ? repositoryCopies : copies
  }

  /** Somebody who may own something serves. */
  get isServed(): boolean {
    return this.#ranked.isServed
  }

  /** A write of any table is on more than those that may end with this member. */
  get isDurable(): boolean {
    return this.#layout !== 'tiered' || this.isServed
  }

  /** Whether each repository has all that there is, and so is alike. */
  get isComplete(): boolean {
    return this.#parts.topology.repositoryCopies === Infinity
  }

  /** This member is a repository in the layout of those. */
  get isRepository(): boolean {
    return this.#layout === 'tiered' && this.#parts.repository
  }

  /**
   * A repository that has all, as the others do, be it that it was told to have everything as all of
   * its farm: they are brought up to date by one another's tables.
   */
  get isAlike(): boolean {
    return this.#parts.repository && this.#layout !== 'partitioned' && this.isComplete
  }

  mayOwn({ repository }: { readonly repository: boolean }): boolean {
    return this.#sharing !== 'tiered' || repository
  }

  /** Whether a record is for every member, and not for those alone that own its key. */
  isForAll(record: Pick<CacheRecord, 'table' | 'tombstone'>): boolean {
    return this.#layout === 'replicated' || !isOwned(record)
  }

  /** The owners of a record, and one that answers for it where they are all new. */
  ownersOf({ table, key }: CacheRecord): string[] {
    const { self } = this.#parts
    const owners = this.#ranked.everybody.first(table, key, this.copies)
    const isServing = (id: string) => id === self || this.#members.get(id)?.ready === true
    if (!owners.some(isServing)) owners.push(...this.#ranked.serving.first(table, key, 1))
    return [...new Set(owners)]
  }

  /** Members to ask for a key; undefined: all. */
  owners(table: TableId, key: Buffer, now: number): Owners | undefined {
    if (this.isForAll({ table, tombstone: false })) return undefined
    const { self, topology } = this.#parts
    const more = now - this.#changedAt < unsettled ? 1 : 0
    const first = this.#ranked.serving.first(table, key, this.copies + more)
    const repositories = this.#layout === 'tiered'
    if (repositories && !this.isServed) return undefined
    return { ids: first.filter(id => id !== self), asks: topology.asks, repositories }
  }

  /** The order of some owners, with this member where it is one. */
  among(ids: Iterable<string>): Ranking {
    const { self, topology } = this.#parts
    return topology.among(this.mayOwn(this.#parts) ? [self, ...ids] : [...ids])
  }

  /** Of this member and all others that serve and own nothing, it is the first for the key. */
  isFirstOfProxies({ table, key }: CacheRecord): boolean {
    const { self, topology } = this.#parts
    const others = [...this.#linked.values()].filter(
      ({ ready, alive, repository }) => ready && alive && !repository,
    )
    const all = [self, ...others.map(({ id }) => id)]
    return topology.among(all).first(table, key, 1)[0] === self
  }

  /** Whether they are those that it knows already. */
  knows(linked: readonly PlacedMember[]): boolean {
    if (linked.length !== this.#linked.size) return false
    return linked.every(({ id, life, ready, alive }) => {
      const known = this.#linked.get(id)
      return known?.life === life && known.ready === ready && known.alive === alive
    })
  }

  /** Who has a connection now. */
  arrange(linked: readonly PlacedMember[], now: number): void {
    this.#hasMet ||= linked.some(member => member.repository || member.metRepository)
    this.#layout = this.#parts.topology.layout(
      1 + linked.filter(({ alive }) => alive).length,
      this.#layout,
      this.#hasMet,
    )
    const members = linked.filter(member => member.alive && this.mayOwn(member))
    this.#linked = new Map(linked.map(member => [member.id, member]))
    this.#members = new Map(members.map(member => [member.id, member]))
    this.#rankings = undefined
    if (this.#layout === 'partitioned') this.#changedAt = now
  }

  get #ranked(): Rankings {
    if (this.#rankings !== undefined) return this.#rankings
    const members = [...this.#members.values()]
    const ready = members.filter(member => member.ready)
    this.#rankings = {
      everybody: this.among(members.map(({ id }) => id)),
      serving: this.among(ready.map(({ id }) => id)),
      isServed: ready.length > 0 || this.mayOwn(this.#parts),
    }
    return this.#rankings
  }

  /**
   * How others share out what they write. One that is told to have everything on all hosts is given
   * copies, too, and sees to them as they count on it.
   */
  get #sharing(): Layout {
    if (this.#layout !== 'replicated') return this.#layout
    return this.#hasMet ? 'tiered' : 'partitioned'
  }
}

/** Whether a record is of those that have owners. */
export function isOwned({
  table,
  tombstone,
}: Pick<CacheRecord, 'table' | 'tombstone'>): boolean {
  return !tombstone && ownedTables.has(table)
}
