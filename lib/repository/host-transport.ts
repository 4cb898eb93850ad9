import type { Server, Socket } from 'node:net'
import type { Clock, Timer } from '../clock.ts'
import { HandfastError } from '../errors.ts'
import type {
  AbsentMember,
  Member,
  Replica,
  Transport,
  TransportStats,
  WriteLevel,
} from '../farm/transport.ts'
import { LogLimiter } from '../limit/log-limiter.ts'
import type { Log } from '../log.ts'
import { type TableId, tables } from '../record/key.ts'
import type { CacheRecord } from '../record/record.ts'
import type { HostShelf } from './host-shelf.ts'
import type { HostSocket } from './host-socket.ts'
import { Keeper } from './keeper.ts'
import { RemoteTier } from './remote-tier.ts'
import { type KeeperState, stateInterval } from './state.ts'

const firstPause = 20
const longestPause = 1_000
/** One that starts leaves it to those who hold what the host holds to follow a hub, so long, ms. */
const newcomerPatience = 300
/** A farm that can't be joined is tried again after so long, ms. */
const outerPause = 1_000

export interface Outer {
  readonly transport: Transport
  /** Where it listens for other members, once started. */
  address(): string | undefined
}

export interface HostTransportParts {
  readonly socket: HostSocket
  readonly key: Buffer
  readonly clock: Clock
  readonly log: Log
  /** Of this process. */
  readonly replica: Replica
  /** A walk over what every process of the host holds; see RecordTable.scan. */
  readonly scanShared: Replica['scan']
  readonly shelf: HostShelf
  /** Name of the host, should this process be the first. */
  readonly member: string
  /** The way to other hosts, for the hub alone; `before`: what the hub before it said last. */
  makeOuter(replica: Replica, member: string, before: KeeperState): Outer
  /** Longest wait for other members when a process asks, ms. */
  readonly lookupBudget: number
  /** Longest wait for the hub at start, ms. */
  readonly joinTimeout: number
  figures(): object
}

/**
 * One member for all processes of a host. One of them is the hub: it has the links to other
 * hosts and hears the processes beside it; they have a link to it. Whoever comes first is the
 * hub, and when it ends another one is, with all that the host holds: what is small every
 * process has, and the sessions lie on the shelf.
 */
export class HostTransport implements Transport {
  readonly #parts: HostTransportParts
  readonly #tier: RemoteTier
  readonly #failures: LogLimiter
  #member: string
  #hub: Hub | undefined
  #timer: Timer | undefined
  #pause = firstPause
  /** Monotonic time since which there is no hub. */
  #lostAt: number | undefined
  #isBeating = false
  #isStarting = true
  #closed = false

  constructor(parts: HostTransportParts) {
    this.#parts = parts
    this.#member = parts.member
    this.#failures = new LogLimiter(parts.clock)
    this.#tier = new RemoteTier({
      clock: parts.clock,
      key: parts.key,
      apply: record => void parts.replica.apply(record),
      ring: () => parts.shelf.ring,
      figures: () => parts.figures(),
      onState: () => {},
      onLost: error => this.#onLost(error),
    })
  }

  /** True for the process that has the links to other hosts. */
  get isHub(): boolean {
    return this.#hub !== undefined
  }

  /** Processes of this host, this one too. */
  get processes(): number {
    if (this.#hub !== undefined) return this.#hub.keeper.users.size + 1
    return this.#tier.state.processes
  }

  get address(): string | undefined {
    return this.#hub === undefined ? this.#tier.state.address : this.#hub.outer.address()
  }

  async start(): Promise<void> {
    const { clock, joinTimeout } = this.#parts
    const endsAt = clock.monotonic() + 2 * joinTimeout
    let pause = firstPause
    // From now on: the hub may fall silent before it has given all.
    this.#beat()
    for (;;) {
      const failure = await this.#meet(true)
      if (failure === undefined || this.#closed) break
      if (clock.monotonic() > endsAt) {
        this.#closed = true
        throw new HandfastError(
          'ERR_HANDFAST_JOIN',
          'the hub of this host does not answer',
          {
            cause: failure,
          },
        )
      }
      await new Promise<void>(resolve => clock.after(pause, resolve))
      pause = Math.min(2 * pause, longestPause)
    }
    this.#isStarting = false
    if (this.#hub === undefined && !this.#tier.isLinked) this.#onLost(undefined)
  }

  publish(record: CacheRecord, level: WriteLevel, budget: number): Promise<boolean> {
    if (this.#hub !== undefined) return this.#hub.publish(record, level, budget)
    if (this.#needsNoHub(record.table)) return Promise.resolve(true)
    return this.#tier.put(record, level, budget)
  }

  fetch(table: TableId, key: Buffer, budget: number): Promise<CacheRecord | undefined> {
    if (this.#hub !== undefined) {
      return this.#hub.outer.transport.fetch(table, key, budget)
    }
    if (this.#needsNoHub(table)) return Promise.resolve(undefined)
    return this.#tier.get(table, key, budget)
  }

  members(): Member[] {
    if (this.#hub !== undefined) return this.#hub.outer.transport.members()
    return [...this.#tier.state.members]
  }

  absent(): AbsentMember[] {
    if (this.#hub !== undefined) return this.#hub.absent()
    const { absent } = this.#tier.state
    if (this.#lostAt === undefined) return [...absent]
    const away = Math.round(this.#parts.clock.monotonic() - this.#lostAt)
    return [...absent, { id: this.#member, address: undefined, away }]
  }

  isCurrent(): boolean {
    return this.#hub === undefined ? this.#tier.isCurrent() : this.#hub.isCurrent()
  }

  stats(): TransportStats {
    const { stats } = this.#hub === undefined ? this.#tier.state : this.#hub.state()
    const isHub = this.#hub === undefined ? 0 : 1
    return { ...stats, processes: this.processes, isHub, undone: this.#tier.undone }
  }

  /** What all processes of the host say of themselves, this one too, in no order. */
  census(): Promise<readonly object[]> {
    return (this.#hub === undefined ? this.#tier : this.#hub.keeper).census()
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#timer?.cancel()
    this.#tier.close()
    await this.#hub?.close()
  }

  /**
   * Sessions that are on the shelf are seen by every process, and while nobody is outside of
   * this host that is all there is to do and to ask.
   */
  #needsNoHub(table: TableId): boolean {
    return (
      table === tables.session && this.#parts.shelf.isWhole && this.#tier.state.isAlone
    )
  }

  /** Joins the hub or becomes it; answers what went wrong. Throws what is final at the start. */
  async #meet(isStart: boolean): Promise<unknown> {
    const { socket } = this.#parts
    let stream: Socket | undefined
    try {
      const meeting = await socket.meet(isStart ? newcomerPatience : 0)
      if (meeting.kind === 'ours') {
        if (this.#closed) meeting.server.close()
        else await this.#become(meeting.server, isStart)
        return undefined
      }
      stream = meeting.stream
    } catch (error) {
      if (isStart) throw error
      return error
    }
    if (this.#closed) {
      stream.destroy()
      return undefined
    }
    return await this.#join(stream, isStart)
  }

  async #join(stream: Socket, isStart: boolean): Promise<unknown> {
    const { shelf } = this.#parts
    try {
      const { welcome, held } = await this.#tier.join(stream)
      this.#member = welcome.member
      shelf.join(welcome.place, welcome.ring)
      if (isStart) await held
      else void this.#tier.bring(this.#parts.scanShared)
      this.#lostAt = undefined
      this.#pause = firstPause
      return undefined
    } catch (error) {
      stream.destroy()
      return error
    }
  }

  async #become(server: Server, isStart: boolean): Promise<void> {
    const { log, shelf } = this.#parts
    shelf.found()
    const hub = new Hub(this.#parts, this.#member, this.#tier.state, server)
    this.#hub = hub
    this.#lostAt = undefined
    if (isStart) {
      try {
        await hub.start()
      } catch (error) {
        await hub.close()
        throw error
      }
      return
    }
    log.info({ member: this.#member }, 'this process is the hub of the host now')
    await hub.startInTime()
    this.#tier.handOver((record, level, budget) => hub.publish(record, level, budget))
  }

  #onLost(error: Error | undefined): void {
    // Who starts looks for the next hub itself.
    if (this.#closed || this.#isStarting) return
    const { clock, log } = this.#parts
    this.#lostAt ??= clock.monotonic()
    this.#failures.log(heldBack => {
      log.info({ reason: error?.message, heldBack }, 'the hub of the host is gone')
    })
    this.#retry()
  }

  #retry(): void {
    if (this.#closed || this.#timer !== undefined) return
    this.#timer = this.#parts.clock.after(this.#pause, () => {
      this.#timer = undefined
      void this.#meet(false).then(failure => {
        if (failure !== undefined) this.#retry()
      })
    })
    this.#pause = Math.min(2 * this.#pause, longestPause)
  }

  /** Tells the hub that this process lives, and leaves one that does not. */
  #beat(): void {
    if (this.#closed || this.#hub !== undefined || this.#isBeating) return
    this.#isBeating = true
    this.#parts.clock.after(stateInterval, () => {
      this.#isBeating = false
      if (this.#tier.isLinked && !this.#tier.isHeard) {
        this.#tier.leave(new Error('the hub is silent'))
      } else this.#tier.beat()
      this.#beat()
    })
  }
}

/** The part of the process that is the hub of its host. */
class Hub {
  readonly #parts: HostTransportParts
  readonly #member: string
  readonly #before: KeeperState
  readonly #server: Server
  readonly keeper: Keeper
  outer: Outer
  #isStarted = false
  #closed = false

  constructor(
    parts: HostTransportParts,
    member: string,
    before: KeeperState,
    server: Server,
  ) {
    this.#parts = parts
    this.#member = member
    this.#before = before
    this.#server = server
    this.outer = this.#makeOuter()
    const { clock, log, key, replica, scanShared, shelf, lookupBudget } = parts
    this.keeper = new Keeper({
      clock,
      log,
      key,
      replica: { ...bound(replica), scan: scanShared },
      member,
      place: () => shelf.place,
      ring: (own, taken) => shelf.ringFor(own, taken),
      publish: (record, level, budget) =>
        this.outer.transport.publish(record, level, budget),
      fetch: (table, recordKey) => this.#fetch(table, recordKey, lookupBudget),
      before: before.pids,
      state: (processes, pids) => ({ ...this.state(), processes, pids }),
      figures: () => parts.figures(),
    })
    server.on('connection', stream => this.keeper.accept(stream))
  }

  async start(): Promise<void> {
    await this.outer.transport.start()
    this.#isStarted = true
    this.keeper.open()
  }

  /** Of a host that serves already: it goes on, and tries until the farm can be joined. */
  async startInTime(): Promise<void> {
    const { clock, log } = this.#parts
    this.keeper.open()
    while (!this.#closed && !this.#isStarted) {
      try {
        await this.outer.transport.start()
        this.#isStarted = true
      } catch (error) {
        log.error({ reason: String(error) }, 'the farm can not be joined')
        await this.outer.transport.close()
        await new Promise<void>(resolve => clock.after(outerPause, resolve))
        this.outer = this.#makeOuter()
      }
    }
  }

  async publish(
    record: CacheRecord,
    level: WriteLevel,
    budget: number,
  ): Promise<boolean> {
    const told = this.keeper.tell(record)
    const beyond = this.outer.transport.publish(record, level, budget)
    if (told === true || level !== 'all') return await beyond
    const { clock } = this.#parts
    let timer: Timer | undefined
    const late = new Promise<boolean>(resolve => {
      timer = clock.after(budget, () => resolve(false))
    })
    const reached = await Promise.race([late, told])
    timer?.cancel()
    return (await beyond) && reached
  }

  absent(): AbsentMember[] {
    return [...this.outer.transport.absent(), ...this.keeper.absent()]
  }

  isCurrent(): boolean {
    return this.#isStarted && this.outer.transport.isCurrent()
  }

  state(): KeeperState {
    const { transport } = this.outer
    const members = transport.members()
    const others = members.some(({ self, state }) => !self && isThere[state])
    return {
      members,
      absent: this.absent(),
      isCurrent: this.isCurrent(),
      isAlone: this.#isStarted && !others && transport.absent().length === 0,
      processes: this.keeper.users.size + 1,
      pids: [],
      stats: transport.stats(),
      address: this.outer.address(),
    }
  }

  /** First the way out, so that whoever is the hub next finds the farm's port free. */
  async close(): Promise<void> {
    this.#closed = true
    await this.outer.transport.close()
    this.keeper.close()
    await new Promise<void>(resolve => this.#server.close(() => resolve()))
  }

  async #fetch(
    table: TableId,
    key: Buffer,
    budget: number,
  ): Promise<CacheRecord | undefined> {
    const record = await this.outer.transport.fetch(table, key, budget)
    if (record !== undefined) this.#parts.replica.apply(record)
    return record
  }

  /** What other hosts write is told to every process, before they are told that it is here. */
  #makeOuter(): Outer {
    const { replica, makeOuter } = this.#parts
    const told: Replica = {
      ...bound(replica),
      apply: record => {
        const changed = replica.apply(record)
        if (changed) void this.keeper.tell(record)
        return changed
      },
      isSettled: () => this.keeper.isSettled,
    }
    return makeOuter(told, this.#member, this.#before)
  }
}

const isThere: { readonly [state in Member['state']]: boolean } = {
  joining: true,
  ready: true,
  suspect: true,
  gone: false,
  left: false,
  refused: true,
}

function bound(replica: Replica): Replica {
  return {
    apply: record => replica.apply(record),
    read: (table, key) => replica.read(table, key),
    scan: (cursor, limit) => replica.scan(cursor, limit),
  }
}
