import type { Clock } from '../../clock.ts'
import type { HandfastError } from '../../errors.ts'
import { LogLimiter } from '../../limit/log-limiter.ts'
import type { Log } from '../../log.ts'
import { maxClockLead } from '../../record/hybrid-clock.ts'
import type { CacheRecord } from '../../record/record.ts'
import type { VectorEntry } from '../../wire/frame-sync.ts'
import { AnswerBudget } from '../link/answer-budget.ts'
import type { InboundLink } from '../link/inbound-link.ts'
import type { OutboundLink } from '../link/outbound-link.ts'
import { clockError } from '../link/peer-time.ts'
import type { Replica } from '../transport.ts'
import { AppliedVector, type Origin, originName } from './applied-vector.ts'
import { Joiner } from './joiner.ts'
import { OrphanLogs } from './orphan-logs.ts'
import { SnapshotSender } from './snapshot-sender.ts'
import { StateSync, type SyncDone } from './state-sync.ts'

/** Snapshots that are given at the same time. */
const maxSnapshots = 4
const resyncPause = 1_000
/** A log that so many snapshots of others did not complete is taken as it is. */
const mostResyncsInVain = 3
/** How long a joining member waits for a member that it has only heard of. */
const unlinkedGrace = 1_000

export interface ReplicationParts {
  readonly self: Origin
  readonly replica: Replica
  readonly clock: Clock
  readonly log: Log
  readonly joinTimeout: number
  readonly deadAfter: number
  /** The newest entry of our own log. */
  ownHead(): number
  /** Links to members that said who they are. */
  outbound(): ReadonlyMap<string, OutboundLink>
  inbound(): ReadonlyMap<string, InboundLink>
  untried(): boolean
  refusals(): ReadonlyMap<string, string>
  onReady(): void
  onRefused(error: HandfastError): void
}

/** What other members write, into the table here: their logs, and snapshots for what is left. */
export class Replication {
  readonly #parts: ReplicationParts
  readonly #vector = new AppliedVector()
  readonly #sync: StateSync
  readonly #joiner: Joiner
  readonly #snapshots = new Set<SnapshotSender>()
  readonly answers: AnswerBudget
  readonly #orphans: OrphanLogs
  readonly #failures: LogLimiter
  #ready = false
  #closed = false
  #resyncAt = 0
  #resyncsInVain = 0
  readonly counts: { [name: string]: number } & { applied: number } = {
    /** Records of other members that changed the table. */
    applied: 0,
    /** Records of other members that did not: older than what was there, or over. */
    notApplied: 0,
    refusedFuture: 0,
    applyErrors: 0,
    gaps: 0,
    resyncs: 0,
    snapshotsSent: 0,
    snapshotRecordsSent: 0,
    snapshotRecordsTaken: 0,
  }

  constructor(parts: ReplicationParts) {
    this.#parts = parts
    const { clock, log, self, joinTimeout, replica } = parts
    this.answers = new AnswerBudget(clock, replica)
    this.#orphans = new OrphanLogs(this.#vector, parts)
    this.#failures = new LogLimiter(clock)
    this.#sync = new StateSync({
      clock,
      apply: record => {
        this.#count('snapshotRecordsTaken')
        this.apply(record, undefined)
      },
      onVector: () => this.#startLogs(),
      onDone: done => this.#onSynced(done),
      onFailed: (donor, reason) => this.#onSyncFailed(donor, reason),
    })
    this.#joiner = new Joiner({
      clock,
      log,
      selfId: self.id,
      joinTimeout,
      links: parts.outbound,
      untried: parts.untried,
      refusals: parts.refusals,
      sync: link => this.#sync.begin(link),
      hasCaughtUp: (after, elapsed) => this.#hasCaughtUp(after, elapsed),
      hasHoles: () => this.#linkedHoles().length > 0,
      onReady: () => this.#becomeReady(),
      onRefused: parts.onRefused,
    })
  }

  /** Links or states of members have changed. */
  step(): void {
    if (!this.#closed && !this.#ready) this.#joiner.step()
  }

  tick(): void {
    this.#sync.check()
    this.#orphans.tick()
    this.step()
    this.#resync()
  }

  close(): void {
    this.#closed = true
    for (const snapshot of this.#snapshots) snapshot.stop()
  }

  forget(id: string): void {
    this.#vector.forget(id)
  }

  /** All that the origin wrote up to `sequence` is in the table here. */
  holds(origin: Origin, sequence: number): boolean {
    return this.#vector.holds(origin, sequence)
  }

  /** The sync in which the link plays a part, if any, is over. */
  onOutboundEnd(link: OutboundLink): void {
    this.#sync.onLinkEnd(link)
  }

  onInboundEnd(link: InboundLink): void {
    for (const snapshot of this.#snapshots) {
      if (snapshot.link === link.link) this.#snapshots.delete(snapshot)
    }
    if (link.peer !== undefined) this.#orphans.lost(link.peer)
  }

  /** Another member has more than we of one that is away. */
  get isBehind(): boolean {
    return this.#orphans.lacking
  }

  /** Tells a member that we just met what we hold of those that are away. */
  tellHeld(link: OutboundLink): void {
    this.#orphans.met(link)
  }

  readonly outbound: Pick<
    ConstructorParameters<typeof OutboundLink>[0]['owner'],
    'onVector' | 'onSnapshot' | 'onSynced' | 'onSyncRefused'
  > = {
    onVector: (link, frame) => this.#sync.onVector(link, frame),
    onSnapshot: (link, frame) => this.#sync.onSnapshot(link, frame),
    onSynced: (link, frame) => this.#sync.onSynced(link, frame),
    onSyncRefused: (link, id) => this.#sync.onRefused(link, id),
  }

  readonly inbound: Pick<
    ConstructorParameters<typeof InboundLink>[1]['owner'],
    'onRecords' | 'onGap' | 'applied' | 'onGet' | 'onSync' | 'onHeld'
  > = {
    onRecords: (link, first, entries) => this.#onRecords(link, first, entries),
    onGap: (link, next) => this.#onGap(link, next),
    applied: ({ peer }) => (peer === undefined ? 0 : this.#vector.applied(peer)),
    onGet: (link, question) => this.answers.answer(link, question),
    onSync: (link, id) => this.#onSync(link, id),
    onHeld: (link, entries) => this.#onHeld(link, entries),
  }

  /** Tells a dialler where to start its log, as soon as that is known. */
  startLog(link: InboundLink): void {
    const { peer } = link
    if (peer === undefined || peer.id === this.#parts.self.id) return
    if (this.#ready) {
      link.start(this.#vector.start(peer))
      return
    }
    const covered = this.#sync.covers(peer)
    if (covered !== undefined) link.start(this.#vector.start(peer, covered))
    else if (this.#joiner.hasSnapshot) link.start(this.#vector.start(peer))
  }

  /**
   * Takes a record of another member; `from` is undefined for one out of a snapshot. False when
   * the table could not. Throws for one from the future: it must not be acknowledged, nor may
   * the log go on without it, so the link ends.
   */
  apply(record: CacheRecord, from: Origin | undefined): boolean {
    const { replica, clock, log } = this.#parts
    const ahead = record.version.ms - clock.now()
    if (ahead > maxClockLead) {
      this.#count('refusedFuture')
      throw clockError(ahead)
    }
    try {
      this.#count(replica.apply(record) ? 'applied' : 'notApplied')
      return true
    } catch (error) {
      this.#count('applyErrors')
      this.#failures.log(heldBack => {
        log.error({ err: error, member: from?.id, heldBack }, 'record not taken')
      })
      return false
    }
  }

  #onRecords(link: InboundLink, first: number, entries: readonly CacheRecord[]): boolean {
    const { peer } = link
    if (peer === undefined) return false
    const missed: number[] = []
    entries.forEach((record, i) => {
      if (!this.apply(record, peer)) missed.push(first + i)
    })
    link.tellMissed(missed)
    const inOrder = this.#vector.take(peer, first, entries.length)
    this.step()
    return inOrder
  }

  #onHeld({ peer }: InboundLink, entries: readonly VectorEntry[]): void {
    if (peer === undefined) return
    this.#orphans.told(peer.id, entries)
  }

  #onGap({ peer }: InboundLink, next: number): void {
    if (peer === undefined) return
    this.#count('gaps')
    this.#vector.skip(peer, next)
    this.#resync()
  }

  #onSync(link: InboundLink, id: number): void {
    const { replica, clock, log } = this.#parts
    const twice = [...this.#snapshots].some(snapshot => snapshot.link === link.link)
    if (!this.#ready || twice || this.#snapshots.size >= maxSnapshots) {
      link.refuseSync(id)
      return
    }
    const snapshot = new SnapshotSender({
      id,
      link: link.link,
      replica,
      clock,
      vector: () => this.#held(),
      onDone: sent => {
        this.#snapshots.delete(snapshot)
        this.#count('snapshotsSent')
        this.#count('snapshotRecordsSent', sent)
        log.info({ member: link.peer?.id, records: sent }, 'gave the state to a member')
      },
    })
    this.#snapshots.add(snapshot)
  }

  /** What is held of every log, the own one too. */
  #held(): VectorEntry[] {
    const { self, ownHead } = this.#parts
    const own = {
      member: self.id,
      incarnation: self.incarnation,
      sequence: ownHead(),
    }
    return [own, ...this.#vector.entries()]
  }

  #startLogs(): void {
    for (const link of this.#parts.inbound().values()) {
      const { peer } = link
      if (peer === undefined) continue
      const covered = this.#sync.covers(peer) ?? 0
      if (!link.started) this.startLog(link)
      // An earlier donor was further ahead than this one: what lies between must come again.
      else if (this.#vector.mustRewind(peer, covered)) {
        link.start(this.#vector.start(peer, covered, true))
      }
    }
  }

  #onSynced(done: SyncDone): void {
    const { log, self } = this.#parts
    this.#vector.cover(done.before.filter(({ member }) => member !== self.id))
    if (!this.#ready) {
      this.#joiner.onSynced(done)
      return
    }
    this.#count('resyncs')
    const holes = this.#vector.holes()
    const { donor, records, ms } = done
    log.info({ from: donor, records, ms, missing: holes.length }, 'took the state again')
    this.#resyncsInVain = holes.length === 0 ? 0 : this.#resyncsInVain + 1
    if (this.#resyncsInVain < mostResyncsInVain) return
    this.#resyncsInVain = 0
    for (const hole of holes) {
      log.warn({ member: hole.id }, 'part of a log is lost: no member can complete it')
      this.#vector.giveUp(hole)
    }
  }

  #onSyncFailed(donor: string, reason: string): void {
    if (!this.#ready) {
      this.#joiner.onSyncFailed(donor, reason)
      return
    }
    this.#parts.log.warn({ member: donor, reason }, 'no state from this member')
  }

  /** Fetches by snapshot what the logs no longer have. */
  #resync(): void {
    const { clock, outbound } = this.#parts
    const now = clock.monotonic()
    if (!this.#ready || this.#closed || this.#sync.active || now < this.#resyncAt) return
    const [hole] = this.#vector.holes()
    if (hole === undefined) return
    const ready = [...outbound().values()].filter(link => link.peerState === 'ready')
    // Who wrote it surely has it; another may be missing the same.
    const writer = ready.find(
      ({ peer }) => peer?.id === hole.id && peer.incarnation === hole.incarnation,
    )
    const teller = this.#orphans.teller(hole)
    const told = ready.find(({ peer }) => peer?.id === teller)
    const donor = writer ?? told ?? ready[Math.floor(now) % Math.max(1, ready.length)]
    if (donor === undefined) return
    this.#resyncAt = now + resyncPause
    this.#sync.begin(donor)
  }

  #linkedHoles(): Origin[] {
    const inbound = this.#parts.inbound()
    return this.#vector.holes().filter(hole => inbound.has(originName(hole)))
  }

  #hasCaughtUp(after: readonly VectorEntry[], elapsed: number): boolean {
    const { self, inbound, joinTimeout } = this.#parts
    if (elapsed > joinTimeout) return true
    return after.every(({ member, incarnation, sequence }) => {
      const origin = { id: member, incarnation }
      if (member === self.id || this.#vector.applied(origin) >= sequence) return true
      return !inbound().has(originName(origin)) && elapsed > unlinkedGrace
    })
  }

  #becomeReady(): void {
    this.#ready = true
    this.#parts.onReady()
    for (const link of this.#parts.inbound().values()) {
      if (!link.started) this.startLog(link)
    }
  }

  #count(name: string, by = 1): void {
    this.counts[name] = (this.counts[name] ?? 0) + by
  }
}
