import { ownedTables, type TableId } from '../../record/key.ts'
import type { CacheRecord } from '../../record/record.ts'
import type { ControlMessage } from '../../wire/control-message.ts'
import type { CopyMessage } from '../../wire/copy-message.ts'
import type { Replica, WriteLevel } from '../transport.ts'
import { CopyWaits } from './copy-waits.ts'
import { type Copy, Delivery, type OwnedWrite } from './delivery.ts'
import { DueQueue } from './due-queue.ts'
import { Moves } from './moves.ts'
import { Pace } from './pace.ts'
import { type PlacementCounts, placementCounts } from './placement-counts.ts'
import { Receipts } from './receipts.ts'
import type { Asks, Layout, Ranking, Topology } from './topology.ts'

/** A member that acknowledges nothing for so long, ms, is not the one that a caller waits for. */
const slowAfter = 100
/** Copies of older records for one member that may wait: what is written now goes first. */
const mostMoving = 1_024
/** After members came or went, ms, one owner more is asked: a session may be as old. */
const unsettled = 3_600_000
/** By how much versions of members may differ that were written at one time, ms. */
const versionSlack = 60_000

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

export interface PlacementParts {
  readonly self: string
  /** This member is one. */
  readonly repository: boolean
  readonly topology: Topology
  readonly replica: Replica
  /** Wall time. */
  wall(): number
  send(to: string, message: ControlMessage): void
  settle(token: number, reached: boolean): void
  /** False when the record is not in the table, nor need not be. */
  apply(record: CacheRecord, from: string): boolean
  /** Fetches what the member's table has and ours may lack: everything is everywhere now. */
  compare(id: string): void
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

/**
 * Records of the tables that members share out: a write goes to the members that own its key,
 * soon to the first of them, whose acknowledgement the caller waits for, and with others to the
 * rest. While the layout is `replicated` it takes what others give, and gives nothing. In the
 * layout `tiered` the repositories own all; while none is there, writes are for everybody.
 */
export class Placement {
  readonly counts: PlacementCounts = placementCounts()
  readonly #parts: PlacementParts
  readonly #moves: Moves
  readonly #receipts: Receipts
  readonly #pace = new Pace()
  readonly #deliveries = new Map<string, Delivery>()
  readonly #soon = new DueQueue<Delivery>()
  readonly #later = new DueQueue<Delivery>()
  readonly #waits: CopyWaits
  /** Copies that were on their way to members that were lost. */
  #stranded: { readonly from: string; readonly copy: Copy }[] = []
  #layout: Layout
  /** Those with a connection; those of them that may own something. */
  #linked = new Map<string, PlacedMember>()
  #members = new Map<string, PlacedMember>()
  /** Made when they are wanted: a farm of hundreds meets one by one. */
  #rankings: Rankings | undefined
  /** The newest version here, ms. */
  #newest = 0
  /** The version of the first record that we gave to owners, ms. */
  #gaveFrom = Infinity
  /** No newer record of a table that is shared out was written for all. */
  #spreadUpTo = -Infinity
  #changedAt = -Infinity
  /** Members that have yet to give us what we own. */
  readonly #awaited = new Set<string>()
  /** Members that gave us all, or need not. */
  readonly #heard = new Set<string>()
  /** A repository has been there, for this member or for one that it has met. */
  #hasMet: boolean
  /**
   * What is older and no repository has, only those have that it came to; of what is newer every
   * member has all, for no repository was there.
   */
  #wideFrom = 0

  constructor(parts: PlacementParts) {
    this.#parts = parts
    const { self, topology, replica, repository } = parts
    this.#receipts = new Receipts(replica)
    this.#hasMet = repository
    this.#waits = new CopyWaits((token, reached) => parts.settle(token, reached))
    this.#layout = topology.layout(1, 'replicated', repository)
    this.#moves = new Moves({
      self,
      among: ids => this.#among(ids),
      copies: () => this.#copies,
      gives: record => this.#gives(record),
      replica,
      give: (to, record) => this.#move(to, record),
      finished: to => this.#finish(to),
    })
  }

  get layout(): Layout {
    return this.#layout
  }

  get owned(): number {
    return this.#moves.owned
  }

  get walks(): number {
    return this.#moves.walks
  }

  /** Copies that no member has acknowledged yet. */
  get underWay(): number {
    let size = 0
    for (const delivery of this.#deliveries.values()) size += delivery.size
    return size
  }

  /** The others have given this member what it owns. */
  get isBrought(): boolean {
    return this.#layout !== 'partitioned' || this.#awaited.size === 0
  }

  deadline(now: number): number {
    return Math.min(
      this.#soon.deadline,
      this.#later.deadline,
      this.#waits.deadline,
      this.#receipts.deadline(now),
      this.#moves.deadline,
    )
  }

  /** A write of any table is on more than those that may end with this member. */
  get isDurable(): boolean {
    return this.#layout !== 'tiered' || this.#ranked.isServed
  }

  /** Whether each repository has all that there is, and so is alike. */
  get isComplete(): boolean {
    return this.#parts.topology.repositoryCopies === Infinity
  }

  /** Whether a record is for every member, and not for those alone that own its key. */
  isForAll(record: Pick<CacheRecord, 'table' | 'tombstone'>): boolean {
    return this.#layout === 'replicated' || !isOwned(record)
  }

  /** A record was written for every member, here or by another one. */
  spread(record: CacheRecord): void {
    if (isOwned(record)) this.#spreadUpTo = Math.max(this.#spreadUpTo, record.version.ms)
  }

  /**
   * Whether every member is to have the record that is here. One that was written for all stays
   * so: whoever says that its table has all up to a number counts it among them.
   */
  isSpread(record: CacheRecord): boolean {
    return this.isForAll(record) || record.version.ms <= this.#spreadUpTo
  }

  /** Members to ask for a key; undefined: all. */
  owners(table: TableId, key: Buffer, now: number): Owners | undefined {
    if (this.isForAll({ table, tombstone: false })) return undefined
    const { self, topology } = this.#parts
    const more = now - this.#changedAt < unsettled ? 1 : 0
    const first = this.#ranked.serving.first(table, key, this.#copies + more)
    const repositories = this.#layout === 'tiered'
    if (repositories && !this.#ranked.isServed) return undefined
    return { ids: first.filter(id => id !== self), asks: topology.asks, repositories }
  }

  /** False when this is not for the owners, or there is none: it is for everybody then. */
  write(
    record: CacheRecord,
    { level, budget, token }: { level: WriteLevel; budget: number; token: number },
    now: number,
  ): boolean {
    if (this.isForAll(record) || level === 'all') return false
    const isTiered = this.#layout === 'tiered'
    if (level === 'repositories' && !isTiered) return false
    const owners = this.#ownersOf(record)
    const targets = this.#others(owners)
    const first = this.#promptest(targets, now)
    if (first === undefined) {
      this.#wideFrom = Math.min(this.#wideFrom, record.version.ms - versionSlack)
      return false
    }
    const isWaited = level !== 'local' && budget > 0
    const ready = targets.filter(id => this.#members.get(id)?.ready === true)
    const isForEach = level === 'repositories' && ready.length > 0
    if (isWaited) this.#waits.add(token, now + budget)
    else this.#parts.settle(token, level === 'local')
    this.#witness(record)
    this.#gaveFrom = Math.min(this.#gaveFrom, record.version.ms)
    if (owners.includes(this.#parts.self)) this.#moves.came(1)
    this.#pace.count(now)
    const write: OwnedWrite = {
      token: isWaited ? token : undefined,
      awaited: isForEach ? new Set(ready) : undefined,
      isTaken: false,
      tried: new Set(targets),
    }
    for (const id of targets) {
      const isSoon = id === first || level === 'repositories'
      this.#give(id, { record, write, prompt: isWaited && isSoon }, isSoon, now)
    }
    return true
  }

  // -- members

  up(id: string): void {
    this.#receipts.up(id)
  }

  down(id: string): void {
    this.#receipts.down(id)
    this.#awaited.delete(id)
    this.#heard.delete(id)
    const delivery = this.#deliveries.get(id)
    const member = this.#linked.get(id)
    if (delivery === undefined || member === undefined) return
    this.#deliveries.delete(id)
    this.#soon.delete(delivery)
    this.#later.delete(delivery)
    const lost = delivery.lost()
    // What we write while it is away goes to others, who may not know that it is.
    const owed = Math.min(this.#newest, ...lost.map(({ record }) => record.version.ms))
    const recent = Math.min(this.#newest, this.#parts.wall()) - versionSlack
    const since = Math.max(1, Math.min(recent, owed))
    this.#moves.lost(id, { life: member.life, since, owed })
    for (const copy of lost)
      if (copy.write !== undefined) this.#stranded.push({ from: id, copy })
  }

  /**
   * A member has ended that may have given a record to one repository, and not yet to the next:
   * those that have all look at one another's tables.
   */
  died(): void {
    const isGiven = this.#layout === 'tiered' || this.counts.copiesReceived > 0
    if (!this.#parts.repository || !this.isComplete || !isGiven) return
    for (const { id, ready, repository } of this.#members.values())
      if (ready && repository) this.#parts.compare(id)
  }

  /** Who has a connection now. */
  arrange(linked: readonly PlacedMember[], now: number): void {
    if (this.#isKnown(linked) && this.#stranded.length === 0) return
    const ids = new Set(linked.map(({ id }) => id))
    for (const id of [...this.#deliveries.keys()]) if (!ids.has(id)) this.down(id)
    const before = this.#linked
    const layoutBefore = this.#layout
    const { topology } = this.#parts
    this.#hasMet ||= linked.some(member => member.repository || member.metRepository)
    this.#layout = topology.layout(
      1 + linked.filter(({ alive }) => alive).length,
      layoutBefore,
      this.#hasMet,
    )
    const members = linked.filter(member => member.alive && this.#mayOwn(member))
    this.#linked = new Map(linked.map(member => [member.id, member]))
    this.#members = new Map(members.map(member => [member.id, member]))
    this.#rankings = undefined
    for (const member of linked) this.#meet(member, before.get(member.id))
    const view = new Map(members.map(({ id, life }) => [id, life]))
    if (this.#layout === 'partitioned') this.#changedAt = now
    if (!this.#isShared) this.#moves.rest(view)
    else this.#moves.changed(view, now, this.#layout === 'partitioned')
    if (this.#layout === 'replicated' && layoutBefore === 'partitioned')
      for (const { id, ready } of members) if (ready) this.#parts.compare(id)
    for (const { from, copy } of this.#stranded.splice(0)) this.#giveOn(copy, from, now)
  }

  /**
   * A member that partitions counts on each owner, whatever that one does for itself. Repositories
   * that have all are brought up to date by a comparison of their tables instead.
   */
  get #isShared(): boolean {
    if (this.#layout === 'tiered') return !this.#isAlike
    return this.#layout === 'partitioned' || this.counts.copiesReceived > 0
  }

  /** A repository that has all, as the others do. */
  get #isAlike(): boolean {
    return this.#layout === 'tiered' && this.#parts.repository && this.isComplete
  }

  // -- what comes from others

  message(from: string, message: CopyMessage, now: number): void {
    if (message.type === 'give') this.#take(from, message, now)
    else if (message.type === 'taken') this.#taken(from, message, now)
    else {
      this.#heard.add(from)
      this.#awaited.delete(from)
    }
  }

  tick(now: number): void {
    this.#waits.expire(now)
    this.#moves.tick(now)
    for (const delivery of [...this.#soon.take(now), ...this.#later.take(now)])
      this.#flush(delivery, now)
    for (const { to, message } of this.#receipts.take(now)) this.#parts.send(to, message)
  }

  /** This member leaves: what waits for others to share a message leaves with it. */
  close(now: number): void {
    for (const delivery of this.#deliveries.values()) this.#flush(delivery, now)
    this.#waits.close()
  }

  #isKnown(linked: readonly PlacedMember[]): boolean {
    if (linked.length !== this.#linked.size) return false
    return linked.every(({ id, life, ready, alive }) => {
      const known = this.#linked.get(id)
      const isSame = known?.life === life && known.ready === ready
      return isSame && known.alive === alive && this.#deliveries.has(id)
    })
  }

  get #ranked(): Rankings {
    if (this.#rankings !== undefined) return this.#rankings
    const members = [...this.#members.values()]
    const ready = members.filter(member => member.ready)
    this.#rankings = {
      everybody: this.#among(members.map(({ id }) => id)),
      serving: this.#among(ready.map(({ id }) => id)),
      isServed: ready.length > 0 || this.#mayOwn(this.#parts),
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

  get #copies(): number {
    const { copies, repositoryCopies } = this.#parts.topology
    return this.#sharing === 'tiered' ? repositoryCopies : copies
  }

  #mayOwn({ repository }: { readonly repository: boolean }): boolean {
    return this.#sharing !== 'tiered' || repository
  }

  /** The order of some owners, with this member where it is one. */
  #among(ids: Iterable<string>): Ranking {
    const { self, topology } = this.#parts
    return topology.among(this.#mayOwn(this.#parts) ? [self, ...ids] : [...ids])
  }

  /** A record that no owner has. Of what everybody has one member gives it. */
  #gives({ table, key, version }: CacheRecord): boolean {
    if (this.#layout !== 'tiered' || version.ms < this.#wideFrom) return true
    const { self, topology } = this.#parts
    const others = [...this.#linked.values()].filter(
      ({ ready, alive, repository }) => ready && alive && !repository,
    )
    const all = [self, ...others.map(({ id }) => id)]
    return topology.among(all).first(table, key, 1)[0] === self
  }

  #meet(member: PlacedMember, before: PlacedMember | undefined): void {
    const { id, ready } = member
    const isNew = !this.#deliveries.has(id)
    if (isNew) {
      this.#deliveries.set(id, new Delivery(id))
      const owns = this.#mayOwn(member)
      const isAlike = this.#layout === 'tiered' && this.#parts.repository && owns
      if (this.#layout === 'replicated' || !owns || isAlike)
        this.#parts.send(id, { type: 'moved' })
      if (isAlike && this.isComplete && ready) this.#parts.compare(id)
    }
    if (ready && before === undefined && this.#gaveFrom < Infinity)
      this.#moves.metLate(id, { life: member.life, owed: this.#gaveFrom })
    const serves = ready && (isNew || before?.ready !== true)
    if (serves && !this.#heard.has(id)) this.#awaited.add(id)
  }

  // -- what goes to others

  /** The owners of a record, and one that answers for it where they are all new. */
  #ownersOf({ table, key }: CacheRecord): string[] {
    const { self } = this.#parts
    const owners = this.#ranked.everybody.first(table, key, this.#copies)
    const isServing = (id: string) => id === self || this.#members.get(id)?.ready === true
    if (!owners.some(isServing)) owners.push(...this.#ranked.serving.first(table, key, 1))
    return [...new Set(owners)]
  }

  #others(ids: readonly string[]): string[] {
    return ids.filter(id => id !== this.#parts.self)
  }

  #promptest(targets: readonly string[], now: number): string | undefined {
    const ready = targets.filter(id => this.#members.get(id)?.ready === true)
    const isQuick = (id: string) =>
      now - (this.#deliveries.get(id)?.silentSince ?? Infinity) < slowAfter
    return ready.find(isQuick) ?? ready[0] ?? targets[0]
  }

  #give(id: string, copy: Copy, isSoon: boolean, now: number): void {
    const delivery = this.#deliveries.get(id)
    if (delivery?.add(copy) !== true) {
      this.counts.copiesDropped += 1
      const member = this.#members.get(id)
      const since = copy.record.version.ms
      if (member !== undefined) this.#moves.owed(id, { life: member.life, since }, now)
      return
    }
    const { size } = this.#members
    if (isSoon || delivery.isFull)
      this.#soon.add(delivery, this.#pace.soon(now, this.#parts.wall(), size))
    else this.#later.add(delivery, this.#pace.later(now, size))
  }

  /** The member that was to have it is lost, or could not take it: the next in the order gets it. */
  #giveOn(copy: Copy, from: string, now: number): void {
    const { record, write } = copy
    if (write === undefined) return
    const next = this.#others(this.#ownersOf(record)).find(id => !write.tried.has(id))
    if (next !== undefined) {
      write.tried.add(next)
      if (write.awaited?.has(from)) write.awaited.add(next)
      this.#give(next, copy, true, now)
    }
    write.awaited?.delete(from)
    this.#waits.look(write)
  }

  #move(to: string, record: CacheRecord): boolean {
    const delivery = this.#deliveries.get(to)
    // It is gone again: the next walk sees to that.
    if (delivery === undefined) return true
    if (delivery.size >= mostMoving) return false
    if (!delivery.add({ record, write: undefined, prompt: false })) return false
    this.#soon.add(delivery, 0)
    this.counts.recordsMoved += 1
    return true
  }

  #finish(to: string): void {
    const delivery = this.#deliveries.get(to)
    if (delivery === undefined) return
    if (this.#layout === 'tiered') this.#wideFrom = Infinity
    delivery.finish()
    this.#soon.add(delivery, 0)
  }

  #flush(delivery: Delivery, now: number): void {
    this.#soon.delete(delivery)
    this.#later.delete(delivery)
    for (const message of delivery.flush(now)) {
      if (message.type === 'give') {
        this.counts.copyMessages += 1
        this.counts.copiesGiven += message.records.length
      }
      this.#parts.send(delivery.to, message)
    }
  }

  #taken(from: string, message: CopyMessage & { type: 'taken' }, now: number): void {
    const delivery = this.#deliveries.get(from)
    if (delivery === undefined) return
    const { taken, refused } = delivery.taken(message.upTo, message.refused, now)
    this.counts.copiesTaken += taken.length
    this.counts.copiesRefused += refused.length
    for (const { write } of taken) if (write !== undefined) this.#waits.taken(write, from)
    for (const copy of refused) {
      if (copy.write !== undefined) this.#waits.refused(copy.write, from)
      this.#giveOn(copy, from, now)
    }
    // What waited for room may leave now.
    if (delivery.size > 0)
      this.#later.add(delivery, this.#pace.later(now, this.#members.size))
    if (delivery.isFull) this.#soon.add(delivery, now)
  }

  #take(from: string, message: CopyMessage & { type: 'give' }, now: number): void {
    const { first, records, prompt } = message
    if (!this.#receipts.expects(from, first)) return
    const refused: number[] = []
    for (const [i, record] of records.entries()) {
      this.#witness(record)
      if (!this.#parts.apply(record, from)) refused.push(first + i)
    }
    this.counts.copiesReceived += records.length
    if (this.#isShared) this.#moves.came(records.length - refused.length)
    this.#receipts.came(from, { count: records.length, refused, prompt }, now)
  }

  #witness({ version }: CacheRecord): void {
    this.#newest = Math.max(this.#newest, version.ms)
  }
}

function isOwned({
  table,
  tombstone,
}: Pick<CacheRecord, 'table' | 'tombstone'>): boolean {
  return !tombstone && ownedTables.has(table)
}
