import { randomBytes } from 'node:crypto'
import type { Timer } from '../../clock.ts'
import { HandfastError } from '../../errors.ts'
import type { TableId } from '../../record/key.ts'
import type { CacheRecord } from '../../record/record.ts'
import { memberIdPattern } from '../../wire/frame-greeting.ts'
import type { LogEntry } from '../../wire/frame-log.ts'
import { type Address, formatAddress, parseAddress } from '../address.ts'
import { parseSecret } from '../secret.ts'
import type { Member, Transport, TransportStats, WriteLevel } from '../transport.ts'
import { type Origin, originName } from './applied-vector.ts'
import type { Traffic } from './frame-link.ts'
import { Listener } from './listener.ts'
import { MemberAddresses } from './member-addresses.ts'
import { Mesh } from './mesh.ts'
import {
  type StreamLimits,
  type StreamTransportOptions,
  streamLimits,
} from './options.ts'
import { OutLog } from './out-log.ts'
import { PendingWrites } from './pending-writes.ts'
import { diallerOptions, farmPsk } from './psk.ts'
import { Questions } from './questions.ts'
import { Replication } from './replication.ts'

const tickInterval = 100
/** A tick that comes so much too late says that our own loop was held up. */
const lateTick = 200
const closeLimit = 500

/**
 * Members linked with each other by TLS 1.3. Each dials every other and sends it what it
 * writes itself, in order; nothing is passed on for a third member. What a link did not bring
 * because it was cut comes when it stands again; what the log has dropped meanwhile comes by
 * snapshot.
 */
export class StreamTransport implements Transport {
  readonly #options: StreamTransportOptions
  readonly #limits: StreamLimits
  readonly #self: Origin
  readonly #outLog: OutLog
  readonly #pending: PendingWrites
  readonly #questions: Questions
  readonly #addresses: MemberAddresses
  readonly #listener: Listener
  readonly #mesh: Mesh
  readonly #replication: Replication
  readonly #traffic: Traffic = { framesIn: 0, framesOut: 0, bytesIn: 0, bytesOut: 0 }
  #state: 'idle' | 'joining' | 'ready' | 'closed' = 'idle'
  #address: Address | undefined
  #resolved = false
  #joined: { resolve: () => void; reject: (error: Error) => void } | undefined
  #tickTimer: Timer | undefined
  #resolveTimer: Timer | undefined
  #flushDue = false
  #acked = 0
  #gapsSent = 0
  #lateTicks = 0

  constructor(options: StreamTransportOptions) {
    const { clock, farmName, listen } = options
    this.#options = options
    this.#limits = streamLimits(options)
    this.#self = {
      id: options.memberId ?? randomBytes(8).toString('hex'),
      incarnation: options.incarnation ?? randomBytes(6).readUIntBE(0, 6),
    }
    if (!memberIdPattern.test(this.#self.id)) {
      throw new HandfastError(
        'ERR_HANDFAST_CONFIG',
        `memberId must have 1 to 64 of A-Z a-z 0-9 _ . : @ -, got "${this.#self.id}"`,
      )
    }
    const log = options.log.child({ farm: farmName, self: this.#self.id })
    const psk = farmPsk(parseSecret(options.secret), farmName)
    const { logBytes, logEntries, joinTimeout, handshakeTimeout } = this.#limits
    const { fetchRate, fetchBurst, maxStrangers } = this.#limits
    this.#outLog = new OutLog({ maxBytes: logBytes, maxEntries: logEntries })
    this.#pending = new PendingWrites(clock)
    this.#addresses = new MemberAddresses({
      members: options.members ?? [],
      defaultPort: listen.port,
      resolve: options.resolve,
      timeout: joinTimeout,
      clock,
      log,
    })
    this.#listener = new Listener({
      psk,
      clock,
      log,
      handshakeTimeout,
      maxStrangers,
      onMember: socket => this.#mesh.accept(socket),
    })
    this.#replication = new Replication({
      self: this.#self,
      replica: options.replica,
      clock,
      log,
      joinTimeout,
      ownHead: () => this.#outLog.head,
      outbound: () => this.#mesh.outbound,
      inbound: () => this.#mesh.inbound,
      untried: () => !this.#resolved || this.#mesh.untried,
      refusals: () => this.#mesh.refusals,
      onReady: () => this.#onReady(),
      onRefused: error => this.#joined?.reject(error),
    })
    this.#questions = new Questions({
      clock,
      rate: fetchRate,
      burst: fetchBurst,
      onTombstone: record => this.#replication.apply(record, undefined),
    })
    this.#mesh = new Mesh({
      self: this.#self,
      advertise:
        options.advertise === undefined
          ? ''
          : formatAddress(parseAddress(options.advertise)),
      tls: diallerOptions(psk),
      clock,
      log,
      random: options.random ?? Math.random,
      limits: this.#limits,
      outLog: this.#outLog,
      traffic: this.#traffic,
      owner: {
        outbound: {
          ...this.#replication.outbound,
          onCredit: ({ peer }, after, upTo) => {
            if (peer === undefined) return
            this.#acked += upTo - after
            this.#pending.credit(originName(peer), after, upTo)
          },
          onGap: () => {
            this.#gapsSent += 1
          },
          onAnswer: (link, answer) => this.#questions.answer(link, answer),
        },
        inbound: this.#replication.inbound,
        onGreeted: link => this.#replication.startLog(link),
        onOutboundEnd: link => {
          this.#questions.lost(link)
          this.#replication.onOutboundEnd(link)
        },
        onInboundEnd: link => this.#replication.onInboundEnd(link),
        onGone: origin => this.#pending.gone(originName(origin)),
        onForgotten: id => this.#replication.forget(id),
        onChange: () => this.#replication.step(),
      },
    })
  }

  /** What it listens on, once started. */
  get address(): Address | undefined {
    return this.#address
  }

  get id(): string {
    return this.#self.id
  }

  get isReady(): boolean {
    return this.#state === 'ready'
  }

  async start(): Promise<void> {
    if (this.#state !== 'idle') {
      throw new HandfastError('ERR_HANDFAST_USAGE', 'the transport was started before')
    }
    this.#state = 'joining'
    const { host, port } = this.#options.listen
    const bound = await this.#listener.listen(host, port)
    if (this.#isClosed()) {
      await this.#listener.close()
      throw closedError()
    }
    this.#address = { host: bound.address, port: bound.port }
    this.#mesh.open(bound.port)
    const joined = new Promise<void>((resolve, reject) => {
      this.#joined = { resolve, reject }
    })
    this.#tick(this.#options.clock.monotonic())
    this.#resolveMembers()
    try {
      await joined
    } catch (error) {
      await this.close()
      throw error
    }
  }

  publish(record: CacheRecord, level: WriteLevel, budget: number): Promise<boolean> {
    return this.#append({ record }, level, budget)
  }

  purge(table: TableId | undefined, budget: number): Promise<boolean> {
    // In the log, so that it keeps its place among the writes around it on every member.
    return this.#append({ purge: table }, 'all', budget)
  }

  fetch(table: TableId, key: Buffer, budget: number): Promise<CacheRecord | undefined> {
    const ready = [...this.#mesh.outbound.values()].filter(
      link => link.peerState === 'ready',
    )
    return this.#questions.ask(ready, table, key, budget)
  }

  members(): Member[] {
    const { advertise } = this.#options
    const bound = this.#address === undefined ? undefined : formatAddress(this.#address)
    const self: Member = {
      ...this.#self,
      address: advertise ?? bound,
      state: { idle: 'joining', joining: 'joining', ready: 'ready', closed: 'gone' }[
        this.#state
      ] as Member['state'],
      self: true,
    }
    return [self, ...this.#mesh.members()]
  }

  stats(): TransportStats {
    const { asked, found, limited, late } = this.#questions.counts
    return {
      linksOut: this.#mesh.outbound.size,
      linksIn: this.#mesh.inbound.size,
      linksLost: this.#mesh.linksLost,
      membersReady: this.#mesh.count('ready'),
      membersJoining: this.#mesh.count('joining'),
      membersSuspect: this.#mesh.count('suspect'),
      membersGone: this.#mesh.count('gone'),
      published: this.#outLog.head,
      acked: this.#acked,
      gapsSent: this.#gapsSent,
      ...this.#replication.counts,
      present: this.#mesh.present.size,
      pending: this.#pending.size,
      logBytes: this.#outLog.bytes,
      logEntries: this.#outLog.head - this.#outLog.tail + 1,
      fetches: asked,
      fetchHits: found,
      fetchesLimited: limited,
      answersLate: late,
      ...this.#traffic,
      lateTicks: this.#lateTicks,
      strangers: this.#listener.strangers,
      refusedStrangers: this.#listener.refused,
    }
  }

  async close(): Promise<void> {
    if (this.#isClosed()) return
    this.#state = 'closed'
    this.#tickTimer?.cancel()
    this.#resolveTimer?.cancel()
    this.#pending.close()
    this.#questions.close()
    this.#replication.close()
    this.#joined?.reject(closedError())
    await Promise.all([this.#mesh.close(closeLimit), this.#listener.close()])
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #append(entry: LogEntry, level: WriteLevel, budget: number): Promise<boolean> {
    if (this.#isClosed()) return Promise.resolve(false)
    const sequence = this.#outLog.append(entry)
    this.#flushSoon()
    const { present } = this.#mesh
    // Nobody to wait for is no reason to wait: a farm of one must work.
    if (level === 'local' || present.size === 0) return Promise.resolve(true)
    const wanted = level === 'all' ? 'all' : 'one'
    return this.#pending.wait(sequence, wanted, present.names(), budget)
  }

  /** All that is written in one turn of the event loop goes out together. */
  #flushSoon(): void {
    if (this.#flushDue) return
    this.#flushDue = true
    setImmediate(() => {
      this.#flushDue = false
      for (const link of this.#mesh.outbound.values()) link.flush()
    })
  }

  #onReady(): void {
    if (this.#state !== 'joining') return
    this.#state = 'ready'
    this.#mesh.setState('ready')
    this.#joined?.resolve()
  }

  #tick(expectedAt: number): void {
    const { clock } = this.#options
    const now = clock.monotonic()
    const late = now - expectedAt > lateTick
    if (late) this.#lateTicks += 1
    this.#mesh.tick(late)
    this.#replication.tick()
    if (this.#isClosed()) return
    this.#tickTimer = clock.after(tickInterval, () => this.#tick(now + tickInterval))
  }

  #resolveMembers(): void {
    const { clock } = this.#options
    const done = (addresses: string[]) => {
      if (this.#isClosed()) return
      this.#mesh.configure(addresses)
      this.#resolved = true
      this.#replication.step()
      if (!this.#addresses.hasNames) return
      const { resolveInterval } = this.#limits
      this.#resolveTimer = clock.after(resolveInterval, () => this.#resolveMembers())
    }
    // `resolve` reports its failures itself and answers with what it knows.
    this.#addresses.resolve().then(done, () => done([]))
  }

  /** A method, for the compiler can't know that a wait may have changed the state. */
  #isClosed(): boolean {
    return this.#state === 'closed'
  }
}

function closedError(): HandfastError {
  return new HandfastError('ERR_HANDFAST_CLOSED', 'the transport was closed')
}
