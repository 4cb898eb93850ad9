import { ownedTables, type TableId } from '../../record/key.ts'
import type { CacheRecord } from '../../record/record.ts'
import type { ControlMessage, CopyMessage } from '../../wire/control-message.ts'
import type { Replica, WriteLevel } from '../transport.ts'
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
}

export interface PlacementParts {
  readonly self: string
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

/** Which members are asked for a key, the likeliest first. */
export interface Owners {
  readonly ids: readonly string[]
  readonly asks: Asks
}

/**
 * Records of the tables that members share out: a write goes to the members that own its key,
 * soon to the first of them, whose acknowledgement the caller waits for, and with others to the
 * rest. While the layout is `replicated` it takes what others give, and gives nothing.
 */
export class Placement {
  readonly counts: PlacementCounts = placementCounts()
  readonly #parts: PlacementParts
  readonly #moves: Moves
  readonly #receipts = new Receipts()
  readonly #pace = new Pace()
  readonly #deliveries = new Map<string, Delivery>()
  readonly #soon = new DueQueue<Delivery>()
  readonly #later = new DueQueue<Delivery>()
  /** By token, when its caller stops waiting. */
  readonly #waits = new Map<number, number>()
  #waitsUntil = Infinity
  /** Copies that were on their way to members that were lost. */
  #stranded: Copy[] = []
  #layout: Layout
  /** Those with a connection; those of them that may own something. */
  #linked = new Map<string, PlacedMember>()
  #members = new Map<string, PlacedMember>()
  /** Made when they are wanted: a farm of hundreds meets one by one. */
  #rankings: { readonly everybody: Ranking; readonly serving: Ranking } | undefined
  /** The newest version here, ms. */
  #newest = 0
  /** No newer record of a table that is shared out was written for all. */
  #spreadUpTo = -Infinity
  #changedAt = -Infinity
  /** Members that have yet to give us what we own. */
  readonly #awaited = new Set<string>()
  /** Members that gave us all, or need not. */
  readonly #heard = new Set<string>()

  constructor(parts: PlacementParts) {
    this.#parts = parts
    const { self, topology, replica } = parts
    this.#layout = topology.layout(1, 'replicated')
    this.#moves = new Moves({
      self,
      topology,
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
    return this.#layout === 'replicated' || this.#awaited.size === 0
  }

  deadline(now: number): number {
    return Math.min(
      this.#soon.deadline,
      this.#later.deadline,
      this.#waitsUntil,
      this.#receipts.deadline(now),
      this.#moves.deadline,
    )
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
    const first = this.#ranked.serving.first(table, key, topology.copies + more)
    return { ids: first.filter(id => id !== self), asks: topology.asks }
  }

  /** False when this is not for the owners, or there is none: it is for everybody then. */
  write(
    record: CacheRecord,
    { level, budget, token }: { level: WriteLevel; budget: number; token: number },
    now: number,
  ): boolean {
    if (this.isForAll(record) || !(level === 'local' || level === 'one')) return false
    const targets = this.#targets(record)
    const first = this.#promptest(targets, now)
    if (first === undefined) return false
    const isWaited = level === 'one' && budget > 0
    if (isWaited) {
      this.#waits.set(token, now + budget)
      this.#waitsUntil = Math.min(this.#waitsUntil, now + budget)
    } else this.#parts.settle(token, level === 'local')
    this.#witness(record)
    this.#pace.count(now)
    const write: OwnedWrite = {
      token: isWaited ? token : undefined,
      tried: new Set(targets),
    }
    for (const id of targets) {
      const prompt = isWaited && id === first
      this.#give(id, { record, write, prompt }, id === first, now)
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
    for (const copy of lost) if (copy.write !== undefined) this.#stranded.push(copy)
  }

  /** Who has a connection now. */
  arrange(linked: readonly PlacedMember[], now: number): void {
    if (this.#isKnown(linked) && this.#stranded.length === 0) return
    const ids = new Set(linked.map(({ id }) => id))
    for (const id of [...this.#deliveries.keys()]) if (!ids.has(id)) this.down(id)
    const before = this.#linked
    const layoutBefore = this.#layout
    const members = linked.filter(({ alive }) => alive)
    this.#linked = new Map(linked.map(member => [member.id, member]))
    this.#members = new Map(members.map(member => [member.id, member]))
    this.#layout = this.#parts.topology.layout(members.length + 1, layoutBefore)
    this.#rankings = undefined
    for (const member of linked) this.#meet(member, before.get(member.id))
    const view = new Map(members.map(({ id, life }) => [id, life]))
    if (this.#layout === 'partitioned') this.#changedAt = now
    if (this.#isShared) this.#moves.changed(view, now)
    else this.#moves.rest(view)
    if (this.#layout === 'replicated' && layoutBefore === 'partitioned')
      for (const { id, ready } of members) if (ready) this.#parts.compare(id)
    for (const copy of this.#stranded.splice(0)) this.#giveOn(copy, now)
  }

  /** A member that partitions counts on each owner, whatever that one does for itself. */
  get #isShared(): boolean {
    return this.#layout === 'partitioned' || this.counts.copiesReceived > 0
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
    if (now >= this.#waitsUntil) this.#expire(now)
    this.#moves.tick(now)
    for (const delivery of [...this.#soon.take(now), ...this.#later.take(now)])
      this.#flush(delivery, now)
    for (const { to, message } of this.#receipts.take(now)) this.#parts.send(to, message)
  }

  /** This member leaves: what waits for others to share a message leaves with it. */
  close(now: number): void {
    for (const delivery of this.#deliveries.values()) this.#flush(delivery, now)
    for (const token of this.#waits.keys()) this.#parts.settle(token, false)
    this.#waits.clear()
    this.#waitsUntil = Infinity
  }

  #isKnown(linked: readonly PlacedMember[]): boolean {
    if (linked.length !== this.#linked.size) return false
    return linked.every(({ id, life, ready, alive }) => {
      const known = this.#linked.get(id)
      const isSame = known?.life === life && known.ready === ready
      return isSame && known.alive === alive && this.#deliveries.has(id)
    })
  }

  /** The orders of all, to write by, and of those that serve, to ask by. */
  get #ranked(): { readonly everybody: Ranking; readonly serving: Ranking } {
    if (this.#rankings !== undefined) return this.#rankings
    const { self, topology } = this.#parts
    const members = [...this.#members.values()]
    const ready = members.filter(member => member.ready)
    this.#rankings = {
      everybody: topology.among([self, ...members.map(({ id }) => id)]),
      serving: topology.among([self, ...ready.map(({ id }) => id)]),
    }
    return this.#rankings
  }

  #meet(member: PlacedMember, before: PlacedMember | undefined): void {
    const { id, ready } = member
    const isNew = !this.#deliveries.has(id)
    if (isNew) {
      this.#deliveries.set(id, new Delivery(id))
      if (this.#layout === 'replicated') this.#parts.send(id, { type: 'moved' })
    }
    const serves = ready && (isNew || before?.ready !== true)
    if (serves && !this.#heard.has(id)) this.#awaited.add(id)
  }

  // -- what goes to others

  /** The owners of a record, and one that answers for it where they are all new. */
  #targets({ table, key }: CacheRecord): string[] {
    const { self, topology } = this.#parts
    const owners = this.#ranked.everybody.first(table, key, topology.copies)
    const isServing = (id: string) => id === self || this.#members.get(id)?.ready === true
    if (!owners.some(isServing)) owners.push(...this.#ranked.serving.first(table, key, 1))
    return [...new Set(owners)].filter(id => id !== self)
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
      return
    }
    const { size } = this.#members
    if (isSoon || delivery.isFull)
      this.#soon.add(delivery, this.#pace.soon(now, this.#parts.wall(), size))
    else this.#later.add(delivery, this.#pace.later(now, size))
  }

  /** The member that was to have it is lost: the next in the order gets it. */
  #giveOn(copy: Copy, now: number): void {
    const { record, write } = copy
    if (write === undefined) return
    const next = this.#targets(record).find(id => !write.tried.has(id))
    if (next === undefined) return
    write.tried.add(next)
    this.#give(next, copy, true, now)
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
    for (const { write } of taken) this.#reached(write)
    for (const copy of refused) this.#giveOn(copy, now)
    // What waited for room may leave now.
    if (delivery.size > 0)
      this.#later.add(delivery, this.#pace.later(now, this.#members.size))
    if (delivery.isFull) this.#soon.add(delivery, now)
  }

  #reached(write: OwnedWrite | undefined): void {
    if (write?.token === undefined || !this.#waits.delete(write.token)) return
    this.#parts.settle(write.token, true)
  }

  #expire(now: number): void {
    this.#waitsUntil = Infinity
    for (const [token, until] of this.#waits) {
      if (until > now) {
        this.#waitsUntil = Math.min(this.#waitsUntil, until)
        continue
      }
      this.#waits.delete(token)
      this.#parts.settle(token, false)
    }
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
