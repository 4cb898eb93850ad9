import type { Address } from '../../address.ts'
import { HandfastError } from '../../errors.ts'
import type { TableId } from '../../record/key.ts'
import type { CacheRecord } from '../../record/record.ts'
import { frameTypes } from '../../wire/frame.ts'
import { notAllowed } from '../link/frame-link.ts'
import { closedError, FarmLinks, identify } from '../link/links.ts'
import type { MeshOwner } from '../link/mesh-parts.ts'
import type { StreamOptions } from '../link/options.ts'
import { Questions } from '../link/questions.ts'
import type {
  AbsentMember,
  Member,
  Transport,
  TransportStats,
  WriteLevel,
} from '../transport.ts'
import { originName } from './applied-vector.ts'
import { OutLog } from './out-log.ts'
import { PendingWrites } from './pending-writes.ts'
import { Replication } from './replication.ts'

/**
 * Members linked with each other by TLS 1.3. Each dials every other and sends it what it
 * writes itself, in order; nothing is passed on for a third member. What a link did not bring
 * because it was cut comes when it stands again; what the log has dropped meanwhile comes by
 * snapshot.
 */
export class StreamTransport implements Transport {
  readonly #links: FarmLinks
  readonly #outLog: OutLog
  readonly #pending: PendingWrites
  readonly #questions: Questions
  readonly #replication: Replication
  #state: 'idle' | 'joining' | 'ready' | 'closed' = 'idle'
  #joined: { resolve: () => void; reject: (error: Error) => void } | undefined
  #flushDue = false
  #acked = 0
  #gapsSent = 0

  constructor(options: StreamOptions) {
    const { clock, replica } = options
    const identity = identify(options)
    const { self, limits, log } = identity
    const { logBytes, logEntries, joinTimeout, deadAfter } = limits
    const { fetchRate, fetchBurst } = limits
    this.#outLog = new OutLog({ maxBytes: logBytes, maxEntries: logEntries })
    this.#pending = new PendingWrites(clock)
    this.#replication = new Replication({
      self,
      replica,
      clock,
      log,
      joinTimeout,
      deadAfter,
      ownHead: () => this.#outLog.head,
      outbound: () => this.#links.mesh.outbound,
      inbound: () => this.#links.mesh.inbound,
      untried: () => this.#links.untried,
      refusals: () => this.#links.mesh.refusals,
      onReady: () => this.#onReady(),
      onRefused: error => this.#joined?.reject(error),
    })
    this.#questions = new Questions({
      clock,
      rate: fetchRate,
      burst: fetchBurst,
      onTombstone: record => this.#replication.apply(record, undefined),
    })
    this.#links = new FarmLinks({
      options,
      identity,
      carrier: 'stream',
      outLog: this.#outLog,
      owner: this.#linksOwner(),
      onTick: () => this.#replication.tick(),
      onResolved: () => this.#replication.step(),
    })
  }

  /** What it listens on, once started. */
  get address(): Address | undefined {
    return this.#links.address
  }

  get id(): string {
    return this.#links.self.id
  }

  get isReady(): boolean {
    return this.#state === 'ready'
  }

  async start(): Promise<void> {
    if (this.#state !== 'idle') {
      throw new HandfastError('ERR_HANDFAST_USAGE', 'the transport was started before')
    }
    this.#state = 'joining'
    const joined = new Promise<void>((resolve, reject) => {
      this.#joined = { resolve, reject }
    })
    // Awaited below; closing while the port opens rejects it before that.
    joined.catch(() => {})
    await this.#links.open()
    try {
      await joined
    } catch (error) {
      await this.close()
      throw error
    }
  }

  publish(record: CacheRecord, level: WriteLevel, budget: number): Promise<boolean> {
    if (this.#isClosed()) return Promise.resolve(false)
    const sequence = this.#outLog.append(record)
    this.#flushSoon()
    const { mesh } = this.#links
    if (level === 'local') return Promise.resolve(true)
    const wanted = level === 'all' ? 'all' : 'one'
    const members = wanted === 'all' ? mesh.awaited() : [...mesh.present.names()]
    // Nobody to wait for is no reason to wait: a farm of one must work.
    if (members.length === 0) return Promise.resolve(true)
    return this.#pending.wait(sequence, wanted, members, budget)
  }

  fetch(table: TableId, key: Buffer, budget: number): Promise<CacheRecord | undefined> {
    const ready = [...this.#links.mesh.outbound.values()].filter(
      link => link.peerState === 'ready',
    )
    return this.#questions.ask(ready, table, key, budget)
  }

  members(): Member[] {
    const self: Member = {
      ...this.#links.self,
      address: this.#links.dialAddress,
      state: { idle: 'joining', joining: 'joining', ready: 'ready', closed: 'gone' }[
        this.#state
      ] as Member['state'],
      self: true,
    }
    return [self, ...this.#links.mesh.members()]
  }

  absent(): AbsentMember[] {
    const { present } = this.#links.mesh
    return this.#links.absent(origin => present.has(origin))
  }

  isCurrent(): boolean {
    if (this.#state !== 'ready') return false
    if (this.#replication.isBehind) return false
    return this.#links.mesh.isCurrent((origin, sequence) =>
      this.#replication.holds(origin, sequence),
    )
  }

  stats(): TransportStats {
    const { mesh } = this.#links
    const { asked, found, limited, late } = this.#questions.counts
    return {
      ...this.#links.stats,
      membersReady: mesh.count('ready'),
      membersJoining: mesh.count('joining'),
      membersSuspect: mesh.count('suspect'),
      membersGone: mesh.count('gone'),
      published: this.#outLog.head,
      acked: this.#acked,
      gapsSent: this.#gapsSent,
      ...this.#replication.counts,
      answersGiven: this.#replication.answers.given,
      answersRefused: this.#replication.answers.refused,
      present: mesh.present.size,
      pending: this.#pending.size,
      logBytes: this.#outLog.bytes,
      logEntries: this.#outLog.head - this.#outLog.tail + 1,
      fetches: asked,
      fetchHits: found,
      fetchesLimited: limited,
      answersLate: late,
    }
  }

  async close(): Promise<void> {
    if (this.#isClosed()) return
    this.#state = 'closed'
    this.#pending.close()
    this.#questions.close()
    this.#replication.close()
    this.#joined?.reject(closedError())
    await this.#links.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** All that is written in one turn of the event loop goes out together. */
  #flushSoon(): void {
    if (this.#flushDue) return
    this.#flushDue = true
    setImmediate(() => {
      this.#flushDue = false
      for (const link of this.#links.mesh.outbound.values()) link.flush()
    })
  }

  #onReady(): void {
    if (this.#state !== 'joining') return
    this.#state = 'ready'
    this.#links.rest()
    this.#links.mesh.setState('ready')
    this.#joined?.resolve()
  }

  #linksOwner(): MeshOwner {
    return {
      outbound: {
        ...this.#replication.outbound,
        onCredit: ({ peer }, after, upTo) => {
          if (peer === undefined) return
          this.#acked += upTo - after
          this.#pending.credit(originName(peer), after, upTo)
        },
        onMissed: ({ peer }, sequences) => {
          if (peer === undefined) return
          const name = originName(peer)
          for (const sequence of sequences) this.#pending.missed(name, sequence)
        },
        onGap: () => {
          this.#gapsSent += 1
        },
        onAnswer: (link, answer) => this.#questions.answer(link, answer),
        onMessage: noMessages,
      },
      inbound: { ...this.#replication.inbound, onMessage: noMessages },
      onLinked: link => this.#replication.tellHeld(link),
      onGreeted: link => this.#replication.startLog(link),
      onOutboundEnd: link => {
        this.#questions.lost(link)
        this.#replication.onOutboundEnd(link)
      },
      onInboundEnd: link => this.#replication.onInboundEnd(link),
      onGone: (origin, refused) => this.#pending.gone(originName(origin), refused),
      onForgotten: id => this.#replication.forget(id),
      onChange: () => this.#replication.step(),
    }
  }

  /** A method, for the compiler can't know that a wait may have changed the state. */
  #isClosed(): boolean {
    return this.#state === 'closed'
  }
}

/** Here everything travels in the log. */
function noMessages(): void {
  throw notAllowed(frameTypes.message)
}
