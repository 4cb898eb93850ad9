import type { Socket } from 'node:net'
import type { FoundRecord } from '../cache/tier.ts'
import type { Tiers } from '../cache/tiers.ts'
import type { Timer } from '../clock.ts'
import { HandfastError } from '../errors.ts'
import type {
  AbsentMember,
  Member,
  Transport,
  TransportStats,
  WriteLevel,
} from '../farm/transport.ts'
import { LogLimiter } from '../limit/log-limiter.ts'
import { type TableId, tables } from '../record/key.ts'
import type { CacheRecord } from '../record/record.ts'
import type { HostSocket, Meeting } from './host-socket.ts'
import { Hub, type HubParts } from './hub.ts'
import { RemoteTier } from './remote-tier.ts'
import { stateInterval } from './state.ts'

const firstPause = 20
const longestPause = 1_000
/** One that starts leaves it to those who hold what the host holds to follow a hub, so long, ms. */
const newcomerPatience = 300

type OurMeeting = Meeting & { readonly kind: 'ours' }

export interface HostTransportParts extends Omit<HubParts, 'changed' | 'serves'> {
  readonly socket: HostSocket
  /** Name of the host, should this process be the first. */
  readonly member: string
  /** Longest wait for the hub at start, ms. */
  readonly joinTimeout: number
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
  readonly #refusals: LogLimiter
  readonly #watchers = new Set<() => void>()
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
    this.#refusals = new LogLimiter(parts.clock)
    this.#tier = new RemoteTier({
      clock: parts.clock,
      key: parts.key,
      apply: record => void parts.replica.apply(record),
      now: () => parts.versions.now(),
      ring: () => parts.shelf.ring,
      figures: () => parts.figures(),
      onState: () => {
        parts.versions.followHost(this.#tier.state.now)
        this.#onChange()
      },
      onLost: (error, left) => this.#onLost(error, left),
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
    // The hub itself may be waiting for its farm, and its machine be short of CPU.
    const endsAt = clock.monotonic() + 4 * joinTimeout
    let pause = firstPause
    // From now on: the hub may fall silent before it has given all.
    this.#beat()
    for (;;) {
      const failure = await this.#meet(true)
      if (failure === undefined || this.#closed) break
      if (clock.monotonic() > endsAt) {
        this.#closed = true
        const words = this.#refusal(failure) ?? 'the hub of this host does not answer'
        throw new HandfastError('ERR_HANDFAST_JOIN', words, { cause: failure })
      }
      await new Promise<void>(resolve => clock.after(pause, resolve))
      pause = Math.min(2 * pause, longestPause)
    }
    this.#isStarting = false
    if (this.#hub === undefined && !this.#tier.isLinked) this.#onLost(undefined, false)
  }

  publish(record: CacheRecord, level: WriteLevel, budget: number): Promise<boolean> {
    if (this.#hub !== undefined) return this.#hub.publish(record, level, budget)
    if (this.#needsNoHub(record.table)) return Promise.resolve(true)
    return this.#tier.put(record, level, budget)
  }

  fetch(table: TableId, key: Buffer, budget: number): Promise<FoundRecord | undefined> {
    if (this.#hub !== undefined) return this.#hub.outer.tiers.get(table, key, budget)
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

  watch(changed: () => void): () => void {
    this.#watchers.add(changed)
    return () => void this.#watchers.delete(changed)
  }

  stats(): TransportStats {
    const { stats } = this.#hub === undefined ? this.#tier.state : this.#hub.state()
    const isHub = this.#hub === undefined ? 0 : 1
    const shelf = this.#parts.shelf.place === undefined ? 0 : 1
    return {
      ...stats,
      processes: this.processes,
      isHub,
      shelf,
      undone: this.#tier.undone,
    }
  }

  /** Figures of the tiers beyond this host; none where another process is the hub. */
  tierStats(): ReturnType<Tiers['stats']> {
    return this.#hub?.outer.tiers.stats() ?? {}
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
        else await this.#become(meeting, isStart)
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
      const refusal = this.#refusal(error)
      if (refusal !== undefined)
        this.#refusals.log(heldBack => this.#parts.log.warn({ heldBack }, refusal))
      return error
    }
  }

  /** In words, where the hub does not want this process. It may be one that ends in a moment. */
  #refusal(failure: unknown): string | undefined {
    const isRefusal =
      failure instanceof HandfastError && failure.code === 'ERR_HANDFAST_JOIN'
    if (!isRefusal) return undefined
    const { folder } = this.#parts.socket
    return `the hub of this host, in ${folder}, refuses this process: ${failure.message}`
  }

  async #become({ server, isFirst }: OurMeeting, isStart: boolean): Promise<void> {
    const { log, shelf } = this.#parts
    shelf.found()
    const changed = () => this.#onChange()
    const parts = { ...this.#parts, serves: !isFirst, changed }
    const hub = new Hub(parts, this.#member, this.#tier.state, server)
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

  #onChange(): void {
    for (const changed of this.#watchers) changed()
  }

  #onLost(error: Error | undefined, left: boolean): void {
    // Who starts looks for the next hub itself.
    if (this.#closed || this.#isStarting) return
    const { clock, log } = this.#parts
    this.#lostAt ??= clock.monotonic()
    const lost = (heldBack: number) =>
      log.info({ reason: error?.message, heldBack }, 'the hub of the host is gone')
    // The next hub says itself that it is one.
    if (!left) this.#failures.log(lost)
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
