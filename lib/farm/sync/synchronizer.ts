import { ownCopy } from '../../record/copy-bytes.ts'
import type { CacheRecord } from '../../record/record.ts'
import { recordLength } from '../../record/record.ts'
import type { ControlMessage } from '../../wire/control-message.ts'
import type { SyncMessage, VectorEntry } from '../../wire/sync-message.ts'
import type { Replica } from '../transport.ts'
import { bucketOf, differingBuckets, TableDigest } from './table-digest.ts'
import { type Reason, TableWant } from './table-want.ts'

/** A page holds about this many bytes of records ... */
const pageBytes = 60_000
/** ... or what is found in so many records looked at: one step, about 2 ms. */
const stepLength = 1_000
const scanLength = 32
/** Looks at the table in one step: it may be all but empty, and large all the same. */
const mostLooks = 32
/** A donor that says nothing for this long, ms, is given up for now. */
const patience = 3_000
const retryAfter = 500
/** After a page of which a record could not be taken: it will hardly fare better at once. */
const retryFailedAfter = 5_000
/** Between two steps of a round, ms: nobody waits for it, so it may use a tenth of a core. */
const roundPace = 20

export interface SyncHooks {
  /** Of each sender, up to where everything is in our table; our own last one included. */
  vector(): VectorEntry[]
  ready(): boolean
  send(to: string, message: ControlMessage): void
  /** False when the table could not take it. */
  apply(record: CacheRecord, donor: string): boolean
  /** A donor told what its table holds for certain, before its walk began. */
  started(donor: string, donorReady: boolean, vector: readonly VectorEntry[]): void
  /** All of it is here. */
  completed(donor: string, donorReady: boolean, vector: readonly VectorEntry[]): void
  /** Wall time. */
  wall(): number
}

interface Request {
  readonly donor: string
  readonly id: number
  readonly want: TableWant
  digest: TableDigest | undefined
  page: number
  heardAt: number
  /** When the next step is due: a part of the digest, or the question for a page. */
  stepAt: number
  donorReady: boolean
  vector: readonly VectorEntry[]
  /** Something of it could not be taken. */
  failed: boolean
}

interface Donation {
  readonly id: number
  readonly replica: Replica
  /** Of our table, until it is done; only when the other side sent one. */
  digest: TableDigest | undefined
  readonly theirs: Buffer | undefined
  /** undefined: every bucket. */
  buckets: Set<number> | undefined
  cursor: object | undefined
  walked: boolean
  /** Found, but not sent yet. */
  rest: CacheRecord[]
}

/**
 * Brings this table up to another one's, and others up to ours: for a member that joins, for
 * what can't be repaired any more, and from time to time to find what nobody noticed. All of
 * it is one exchange. The asker sends what its table looks like (or nothing when it is empty),
 * the donor the records of all buckets that differ, page by page, each on request.
 */
export class Synchronizer {
  readonly #replicaFor: (other: string) => Replica
  readonly #hooks: SyncHooks
  readonly #random: () => number
  readonly #wants = new Map<string, TableWant>()
  readonly #donations = new Map<string, Donation>()
  #request: Request | undefined
  #nextId = 1
  #tableLength = 0
  #received = 0
  #completed = 0

  /** `replicaFor`: what is here, of that which another member is to have as well. */
  constructor(
    replicaFor: (other: string) => Replica,
    hooks: SyncHooks,
    random: () => number,
  ) {
    this.#replicaFor = replicaFor
    this.#hooks = hooks
    this.#random = random
  }

  /** Tables that must be fetched before this one is complete. */
  get needed(): number {
    let needed = this.#request?.want.isNeed === true ? 1 : 0
    for (const { isNeed } of this.#wants.values()) if (isNeed) needed += 1
    return needed
  }

  /** Records in our table when it was last looked through. */
  get tableLength(): number {
    return this.#tableLength
  }

  get received(): number {
    return this.#received
  }

  get completed(): number {
    return this.#completed
  }

  /** Something that this member wrote was lost after the last fetch had begun. */
  lacks(donor: string): boolean {
    return this.#wants.get(donor)?.isServedBy(this.#nextId - 1) === false
  }

  /** True when that table was not needed before. */
  want(donor: string, reason: Reason, now: number): boolean {
    const want = this.#wants.get(donor) ?? new TableWant(now)
    const wasNeed = want.isNeed
    this.#wants.set(donor, want)
    want.add(reason, this.#nextId)
    if (reason !== 'round') want.notBefore = now
    return !wasNeed && want.isNeed
  }

  /** What that member wrote is here, by the fetch that is just complete. */
  satisfied(donor: string): void {
    this.#wants.get(donor)?.served(this.#nextId - 1)
  }

  /** So is what others wrote, up to there. */
  has(vector: readonly VectorEntry[]): void {
    for (const want of this.#wants.values()) for (const entry of vector) want.has(entry)
  }

  /** That member is away: nothing can be asked of it. */
  lost(donor: string): void {
    this.#wants.delete(donor)
    this.#donations.delete(donor)
    if (this.#request?.donor === donor) this.#request = undefined
  }

  deadline(): number {
    const request = this.#request
    if (request !== undefined) return Math.min(request.stepAt, request.heardAt + patience)
    let deadline = Infinity
    for (const { notBefore } of this.#wants.values())
      deadline = Math.min(deadline, notBefore)
    return deadline
  }

  /** `preferred`: donors that are up to date themselves. */
  tick(now: number, preferred: (donor: string) => boolean): void {
    const request = this.#request
    if (request === undefined) {
      this.#begin(now, preferred)
      return
    }
    if (request.stepAt <= now) {
      this.#step(request, now)
      return
    }
    if (request.heardAt + patience > now) return
    this.#request = undefined
    this.#retry(request, now + retryAfter)
  }

  message(from: string, message: SyncMessage, now: number): void {
    switch (message.type) {
      case 'open':
        this.#open(from, message)
        return
      case 'next':
        this.#donate(from, message)
        return
      case 'vector':
        this.#vector(from, message, now)
        return
      case 'page':
        this.#page(from, message, now)
        return
    }
  }

  #begin(now: number, preferred: (donor: string) => boolean): void {
    const due = [...this.#wants].filter(([, { notBefore }]) => notBefore <= now)
    const best = due.filter(([donor]) => preferred(donor))
    const choice = best.length > 0 ? best : due
    const picked = choice[Math.floor(this.#random() * choice.length)]
    if (picked === undefined) return
    const [donor, want] = picked
    this.#wants.delete(donor)
    const request: Request = {
      donor,
      id: this.#nextId,
      want,
      digest: new TableDigest(this.#replicaFor(donor)),
      page: 0,
      heardAt: now,
      stepAt: now,
      donorReady: false,
      vector: [],
      failed: false,
    }
    this.#nextId += 1
    this.#request = request
    this.#step(request, now)
  }

  #retry({ donor, want }: Request, notBefore: number): void {
    const meanwhile = this.#wants.get(donor)
    if (meanwhile !== undefined) want.join(meanwhile)
    want.notBefore = notBefore
    this.#wants.set(donor, want)
  }

  /** A part of our own digest, the question when it is done, then page after page. */
  #step(request: Request, now: number): void {
    request.heardAt = now
    if (request.digest === undefined) {
      request.stepAt = Infinity
      this.#hooks.send(request.donor, {
        type: 'next',
        id: request.id,
        page: request.page,
      })
      return
    }
    if (!request.digest.step(this.#hooks.wall())) {
      request.stepAt = now + (request.want.isNeed ? 0 : roundPace)
      return
    }
    const bytes = request.digest.bytes()
    this.#tableLength = request.digest.records
    request.digest = undefined
    request.stepAt = Infinity
    const empty = bytes.every(byte => byte === 0)
    this.#hooks.send(request.donor, {
      type: 'open',
      id: request.id,
      digest: empty ? undefined : bytes,
    })
  }

  #vector(from: string, message: SyncMessage & { type: 'vector' }, now: number): void {
    const request = this.#requestOf(from, message.id)
    if (request === undefined || request.page > 0) return
    request.heardAt = now
    request.donorReady = message.ready
    request.vector = message.vector
    request.page = 1
    this.#hooks.started(from, message.ready, message.vector)
    this.#hooks.send(from, { type: 'next', id: request.id, page: 1 })
  }

  #page(from: string, message: SyncMessage & { type: 'page' }, now: number): void {
    const request = this.#requestOf(from, message.id)
    if (request === undefined || message.page !== request.page) return
    request.heardAt = now
    if (!message.last) this.#wantNext(request, now)
    let taken = 0
    for (const record of message.records) if (this.#hooks.apply(record, from)) taken += 1
    this.#received += taken
    if (taken < message.records.length) request.failed = true
    if (!message.last) return
    this.#request = undefined
    if (request.failed) {
      this.#retry(request, now + retryFailedAfter)
      return
    }
    this.#completed += 1
    this.#hooks.completed(from, request.donorReady, request.vector)
    for (const [donor, want] of this.#wants) if (want.isOver) this.#wants.delete(donor)
    // The difference may be on their side as well: they should look at ours, once.
    if (!request.want.isNeed && message.differed) this.#hooks.send(from, { type: 'hint' })
  }

  /** Before this page is taken: the donor finds the next one meanwhile. */
  #wantNext(request: Request, now: number): void {
    request.page += 1
    if (!request.want.isNeed) request.stepAt = now + roundPace
    else this.#step(request, now)
  }

  #requestOf(from: string, id: number): Request | undefined {
    const request = this.#request
    if (request === undefined || request.donor !== from || request.id !== id)
      return undefined
    return request.digest === undefined ? request : undefined
  }

  #open(from: string, message: SyncMessage & { type: 'open' }): void {
    const replica = this.#replicaFor(from)
    // One walk for each member at a time: a new question ends the old one.
    this.#donations.set(from, {
      id: message.id,
      digest: message.digest === undefined ? undefined : new TableDigest(replica),
      replica,
      theirs: message.digest,
      buckets: undefined,
      cursor: undefined,
      walked: false,
      rest: [],
    })
    this.#hooks.send(from, {
      type: 'vector',
      id: message.id,
      ready: this.#hooks.ready(),
      vector: this.#hooks.vector(),
    })
  }

  #donate(from: string, message: SyncMessage & { type: 'next' }): void {
    const donation = this.#donations.get(from)
    if (donation === undefined || donation.id !== message.id) return
    const { records, last } = this.#nextPage(donation)
    if (last) this.#donations.delete(from)
    this.#hooks.send(from, {
      type: 'page',
      id: message.id,
      page: message.page,
      last,
      differed: donation.buckets === undefined || donation.buckets.size > 0,
      records,
    })
  }

  #nextPage(donation: Donation): { records: CacheRecord[]; last: boolean } {
    if (donation.digest !== undefined && donation.theirs !== undefined) {
      if (!donation.digest.step(this.#hooks.wall())) return { records: [], last: false }
      donation.buckets = differingBuckets(donation.digest.bytes(), donation.theirs)
      donation.digest = undefined
      if (donation.buckets.size === 0) return { records: [], last: true }
    }
    let seen = 0
    let looks = 0
    const isFull = () =>
      lengthOf(donation.rest) >= pageBytes || seen >= stepLength || looks >= mostLooks
    while (!donation.walked && !isFull()) {
      looks += 1
      const step = donation.replica.scan(donation.cursor, scanLength, true)
      seen += step.records.length
      for (const record of step.records)
        if (donation.buckets?.has(bucketOf(record)) !== false) donation.rest.push(record)
      donation.cursor = step.next
      donation.walked = step.next === undefined
    }
    return cutPage(donation)
  }
}

/**
 * Records for one page, so that no message is longer than a page and one record. They are views of
 * the table; those that are left for the next page are not.
 */
function cutPage(donation: Donation): { records: CacheRecord[]; last: boolean } {
  let bytes = 0
  let count = 0
  for (const record of donation.rest) {
    if (bytes >= pageBytes) break
    bytes += recordLength(record)
    count += 1
  }
  const records = donation.rest.splice(0, count)
  donation.rest = donation.rest.map(ownRecord)
  return { records, last: donation.walked && donation.rest.length === 0 }
}

function ownRecord(record: CacheRecord): CacheRecord {
  return { ...record, key: Buffer.from(record.key), value: ownCopy(record.value) }
}

function lengthOf(records: readonly CacheRecord[]): number {
  return records.reduce((sum, record) => sum + recordLength(record), 0)
}
