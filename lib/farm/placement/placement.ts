import type { CacheRecord } from '../../record/record.ts'
import type { ControlMessage } from '../../wire/control-message.ts'
import type { CopyMessage } from '../../wire/copy-message.ts'
import type { Replica, WriteLevel } from '../transport.ts'
import { CopyWaits } from './copy-waits.ts'
import { Deliveries } from './deliveries.ts'
import type { Copy, OwnedWrite } from './delivery.ts'
import { Moves } from './moves.ts'
import {
  isOwned,
  Ownership,
  type OwnershipParts,
  type PlacedMember,
} from './ownership.ts'
import { type PlacementCounts, placementCounts } from './placement-counts.ts'
import { Receipts } from './receipts.ts'
import { versionSlack, WideWrites } from './wide-writes.ts'

/** A member that acknowledges nothing for so long, ms, is not the one that a caller waits for. */
const slowAfter = 100

export interface PlacementParts extends OwnershipParts {
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

/**
 * Records of the tables that members share out: a write goes to the members that own its key,
 * soon to the first of them, whose acknowledgement the caller waits for, and with others to the
 * rest. While the layout is `replicated` it takes what others give, and gives nothing. In the
 * layout `tiered` the repositories own all; while none is there, writes are for everybody.
 */
export class Placement {
  readonly counts: PlacementCounts = placementCounts()
  readonly ownership: Ownership
  readonly #parts: PlacementParts
  readonly #moves: Moves
  readonly #receipts: Receipts
  readonly #deliveries: Deliveries
  readonly #waits: CopyWaits
  /** Copies that were on their way to members that were lost. */
  #stranded: { readonly from: string; readonly copy: Copy }[] = []
  /** The newest version here, ms. */
  #newest = 0
  /** The version of the first record that we gave to owners, ms. */
  #gaveFrom = Infinity
  /** No newer record of a table that is shared out was written for all. */
  #spreadUpTo = -Infinity
  /** Members that have yet to give us what we own. */
  readonly #awaited = new Set<string>()
  /** Members that gave us all, or need not. */
  readonly #heard = new Set<string>()
  readonly #wide = new WideWrites()

  constructor(parts: PlacementParts) {
    this.#parts = parts
    const { self, replica } = parts
    const ownership = new Ownership(parts)
    this.ownership = ownership
    this.#receipts = new Receipts(replica)
    this.#deliveries = new Deliveries({
      counts: this.counts,
      members: () => ownership.members.size,
      wall: () => parts.wall(),
      send: (to, message) => parts.send(to, message),
    })
    this.#waits = new CopyWaits((token, reached) => parts.settle(token, reached))
    this.#moves = new Moves({
      self,
      among: ids => ownership.among(ids),
      copies: () => ownership.copies,
      gives: record => this.#gives(record),
      replica,
      give: (to, record) => this.#deliveries.move(to, record),
      finished: to => this.#finish(to),
    })
  }

  get owned(): number {
    return this.#moves.owned
  }

  get walks(): number {
    return this.#moves.walks
  }

  /** Copies that no member has acknowledged yet. */
  get underWay(): number {
    return this.#deliveries.underWay
  }

  /** The others have given this member what it owns. */
  get isBrought(): boolean {
    return this.ownership.layout !== 'partitioned' || this.#awaited.size === 0
  }

  deadline(now: number): number {
    return Math.min(
      this.#deliveries.deadline,
      this.#waits.deadline,
      this.#receipts.deadline(now),
      this.#moves.deadline,
    )
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
    return this.ownership.isForAll(record) || record.version.ms <= this.#spreadUpTo
  }

  /** False when this is not for the owners, or there is none: it is for everybody then. */
  write(
    record: CacheRecord,
    { level, budget, token }: { level: WriteLevel; budget: number; token: number },
    now: number,
  ): boolean {
    if (this.ownership.isForAll(record) || level === 'all') return false
    const isTiered = this.ownership.layout === 'tiered'
    if (level === 'repositories' && !isTiered) return false
    const owners = this.ownership.ownersOf(record)
    const targets = this.#others(owners)
    const first = this.#promptest(targets, now)
    if (first === undefined) {
      this.#wide.wide(record.version)
      return false
    }
    if (isTiered) this.#wide.narrow(record.version)
    const isWaited = level !== 'local' && budget > 0
    const ready = this.#ready(targets)
    const isForEach = level === 'repositories' && ready.length > 0
    if (isWaited) this.#waits.add(token, now + budget)
    else this.#parts.settle(token, level === 'local')
    this.#witness(record)
    this.#gaveFrom = Math.min(this.#gaveFrom, record.version.ms)
    if (owners.includes(this.#parts.self)) this.#moves.came(1)
    this.#deliveries.count(now)
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
    const member = this.ownership.linked.get(id)
    if (member === undefined) return
    const lost = this.#deliveries.down(id)
    if (lost === undefined) return
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
    const isGiven = this.ownership.layout === 'tiered' || this.counts.copiesReceived > 0
    if (!this.#parts.repository || !this.ownership.isComplete || !isGiven) return
    for (const { id, ready, repository } of this.ownership.members.values())
      if (ready && repository) this.#parts.compare(id)
  }

  /** Who has a connection now. */
  arrange(linked: readonly PlacedMember[], now: number): void {
    const { ownership } = this
    if (this.#isKnown(linked) && this.#stranded.length === 0) return
    const ids = new Set(linked.map(({ id }) => id))
    for (const id of this.#deliveries.ids) if (!ids.has(id)) this.down(id)
    const before = ownership.linked
    const layoutBefore = ownership.layout
    ownership.arrange(linked, now)
    const { layout, members } = ownership
    for (const member of linked) this.#meet(member, before.get(member.id))
    const view = new Map([...members].map(([id, { life }]) => [id, life]))
    if (!this.#isShared) this.#moves.rest(view)
    else this.#moves.changed(view, now, layout === 'partitioned')
    if (layout === 'replicated' && layoutBefore === 'partitioned')
      for (const { id, ready } of members.values()) if (ready) this.#parts.compare(id)
    for (const { from, copy } of this.#stranded.splice(0)) this.#giveOn(copy, from, now)
  }

  /**
   * A member that partitions counts on each owner, whatever that one does for itself. Repositories
   * that have all are brought up to date by a comparison of their tables instead.
   */
  get #isShared(): boolean {
    const { layout, isAlike } = this.ownership
    if (layout === 'tiered') return !isAlike
    return layout === 'partitioned' || this.counts.copiesReceived > 0
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
    this.#deliveries.tick(now)
    for (const { to, message } of this.#receipts.take(now)) this.#parts.send(to, message)
  }

  /** This member leaves: what waits for others to share a message leaves with it. */
  close(now: number): void {
    this.#deliveries.flush(now)
    this.#waits.close()
  }

  #isKnown(linked: readonly PlacedMember[]): boolean {
    return (
      this.ownership.knows(linked) && linked.every(({ id }) => this.#deliveries.has(id))
    )
  }

  /** A record that no owner has. Of what everybody has one member gives it. */
  #gives(record: CacheRecord): boolean {
    const { ownership } = this
    if (ownership.layout !== 'tiered' || !this.#wide.has(record.version)) return true
    return ownership.isFirstOfProxies(record)
  }

  #meet(member: PlacedMember, before: PlacedMember | undefined): void {
    const { id, ready } = member
    const isNew = !this.#deliveries.has(id)
    if (isNew) {
      this.#deliveries.up(id)
      const { layout, isRepository, isComplete } = this.ownership
      const owns = this.ownership.mayOwn(member)
      const isAlike = isRepository && owns
      if (layout === 'replicated' || !owns || isAlike)
        this.#parts.send(id, { type: 'moved' })
      if (isAlike && isComplete && ready) this.#parts.compare(id)
    }
    if (ready && before === undefined && this.#gaveFrom < Infinity)
      this.#moves.metLate(id, { life: member.life, owed: this.#gaveFrom })
    const serves = ready && (isNew || before?.ready !== true)
    if (serves && !this.#heard.has(id)) this.#awaited.add(id)
  }

  // -- what goes to others

  #others(ids: readonly string[]): string[] {
    return ids.filter(id => id !== this.#parts.self)
  }

  #ready(ids: readonly string[]): string[] {
    return ids.filter(id => this.ownership.members.get(id)?.ready === true)
  }

  #promptest(targets: readonly string[], now: number): string | undefined {
    const ready = this.#ready(targets)
    const isQuick = (id: string) => now - this.#deliveries.silentSince(id) < slowAfter
    return ready.find(isQuick) ?? ready[0] ?? targets[0]
  }

  #give(id: string, copy: Copy, isSoon: boolean, now: number): void {
    if (this.#deliveries.give(id, copy, isSoon, now)) return
    const member = this.ownership.members.get(id)
    const since = copy.record.version.ms
    if (member !== undefined) this.#moves.owed(id, { life: member.life, since }, now)
  }

  /** The member that was to have it is lost, or could not take it: the next in the order gets it. */
  #giveOn(copy: Copy, from: string, now: number): void {
    const { record, write } = copy
    if (write === undefined) return
    const next = this.#others(this.ownership.ownersOf(record)).find(
      id => !write.tried.has(id),
    )
    if (next !== undefined) {
      write.tried.add(next)
      if (write.awaited?.has(from)) write.awaited.add(next)
      this.#give(next, copy, true, now)
    }
    write.awaited?.delete(from)
    this.#waits.look(write)
  }

  #finish(to: string): void {
    if (!this.#deliveries.finish(to)) return
    if (this.ownership.layout === 'tiered') this.#wide.given()
  }

  #taken(from: string, message: CopyMessage & { type: 'taken' }, now: number): void {
    const { taken, refused } = this.#deliveries.taken(from, message, now)
    for (const { write } of taken) if (write !== undefined) this.#waits.taken(write, from)
    for (const copy of refused) {
      if (copy.write !== undefined) this.#waits.refused(copy.write, from)
      this.#giveOn(copy, from, now)
    }
    this.#deliveries.goOn(from, now)
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
