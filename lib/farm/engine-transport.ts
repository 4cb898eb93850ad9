import { randomBytes } from 'node:crypto'
import type { Clock, Timer } from '../clock.ts'
import { HandfastError } from '../errors.ts'
import type { Log } from '../log.ts'
import type { TableId } from '../record/key.ts'
import type { CacheRecord } from '../record/record.ts'
import type { SenderTag } from '../wire/datagram.ts'
import { epochKeyLength } from '../wire/seal.ts'
import type { ControlChannel } from './channel/control-channel.ts'
import { groupOptions, noGroup } from './datagram/group.ts'
import {
  type PacketSockets,
  type UdpOptions,
  UdpSockets,
} from './datagram/packet-sockets.ts'
import { PacketEngine } from './engine/engine.ts'
import type { PacketAction, PacketEvent } from './engine/engine-event.ts'
import { absentMembers, type KnownMembersParts, knownMembers } from './known-members.ts'
import type { Topology } from './placement/topology.ts'
import { farmKey, parseSecret } from './secret.ts'
import {
  ceilingFor,
  defaultPacketSettings,
  linkSettings,
  type PacketSettings,
} from './settings.ts'
import type {
  AbsentMember,
  FoundRecord,
  Member,
  Replica,
  Transport,
  TransportStats,
  WriteLevel,
} from './transport.ts'
import { TransportLog } from './transport-log.ts'
import { Wakeup } from './wakeup.ts'

/** Of joinTimeout, ms. */
const defaultJoinTimeout = 5_000

export interface EngineTransportOptions {
  readonly replica: Replica
  readonly clock: Clock
  readonly log: Log
  readonly farmName: string
  readonly secret: string | Buffer
  /** The id under which the channel knows this member. */
  readonly memberId: string
  readonly repository?: boolean | undefined
  readonly channel: ControlChannel
  /**
   * `stream`: everything goes over the channel. `auto` (default): to a group; one by one to whom
   * that does not reach; and over the channel to whom no datagram reaches. `multicast`: the same,
   * but without a group it does not start. `unicast`: without a group.
   */
  readonly transport?: 'stream' | 'auto' | 'multicast' | 'unicast' | undefined
  /** Default: an address of 239.255/16 that follows from name and secret; port 7177. */
  readonly udp?: Partial<UdpOptions> | undefined
  readonly settings?: Partial<PacketSettings> | undefined
  /** Clients are served here already, by other processes of this host. Default false. */
  readonly serves?: boolean | undefined
  /** A member to which nothing came for so long waits no longer with what it is there for. */
  readonly joinTimeout?: number | undefined
  /** Who holds what. Default: everybody holds everything. */
  readonly topology?: Topology | undefined
  /** In place of real ones. */
  readonly sockets?: PacketSockets | undefined
}

/**
 * Members that tell each other what they write: over their links, or in datagrams beside them,
 * each to all others at once. The engine says what is to be done; here it is done.
 */
export class EngineTransport implements Transport {
  readonly #options: EngineTransportOptions
  /** None where everything goes over the channel. */
  readonly #sockets: PacketSockets | undefined
  readonly #farmTag: number
  readonly #log: TransportLog
  readonly #known: KnownMembersParts
  readonly #wakeup: Wakeup
  readonly #settling = new Map<number, (reached: boolean) => void>()
  readonly #watchers = new Set<() => void>()
  #engine: PacketEngine | undefined
  #state: 'idle' | 'joining' | 'ready' | 'closed' = 'idle'
  #startedAt = 0
  #token = 0
  #joinTimer: Timer | undefined
  #joined: { resolve: () => void; reject: (error: Error) => void } | undefined

  constructor(options: EngineTransportOptions) {
    this.#options = options
    const { farmName, memberId, transport, udp } = options
    this.#log = new TransportLog(options.log.child({ farm: farmName, self: memberId }))
    const secret = parseSecret(options.secret)
    this.#farmTag = farmKey(secret, options.farmName, 'datagram tag', 4).readUInt32BE(0)
    if (transport !== 'stream') {
      const group = groupOptions(this.#farmTag, transport !== 'unicast', udp)
      this.#sockets = options.sockets ?? new UdpSockets(group)
    }
    this.#known = {
      self: memberId,
      repository: options.repository === true,
      channel: options.channel,
      datagrams: this.#sockets !== undefined,
    }
    this.#wakeup = new Wakeup(options.clock, () => this.#handle({ kind: 'tick' }))
  }

  async start(): Promise<void> {
    if (this.#state !== 'idle')
      throw new HandfastError('ERR_HANDFAST_USAGE', 'the transport was started before')
    this.#state = 'joining'
    this.#startedAt = this.#options.clock.monotonic()
    try {
      await this.#join()
    } catch (error) {
      await this.close()
      throw error
    } finally {
      this.#joinTimer?.cancel()
    }
  }

  publish(record: CacheRecord, level: WriteLevel, budget: number): Promise<boolean> {
    if (this.#state === 'closed' || this.#engine === undefined)
      return Promise.resolve(level === 'local')
    this.#token += 1
    const token = this.#token
    return new Promise(resolve => {
      this.#settling.set(token, resolve)
      this.#handle({ kind: 'publish', record, level, budget, token })
    })
  }

  async fetch(
    table: TableId,
    key: Buffer,
    budget: number,
  ): Promise<FoundRecord | undefined> {
    if (this.#state === 'closed') return undefined
    const { channel, clock } = this.#options
    const owners = this.#engine?.owners(table, key, clock.monotonic())
    const record = await channel.fetch(table, key, budget, owners)
    if (record === undefined || owners?.repositories !== true) return record
    return { ...record, source: 'repository' }
  }

  members(): Member[] {
    return this.#engine === undefined ? [] : knownMembers(this.#engine, this.#known)
  }

  absent(): AbsentMember[] {
    return absentMembers(this.#engine, this.#known, this.#options.clock.monotonic())
  }

  isCurrent(): boolean {
    return (
      this.#state === 'ready' &&
      this.#engine?.current(this.#options.clock.monotonic()) === true
    )
  }

  watch(changed: () => void): () => void {
    this.#watchers.add(changed)
    return () => void this.#watchers.delete(changed)
  }

  stats(): TransportStats {
    const { channel } = this.#options
    const others = this.members().filter(({ self }) => !self)
    const count = (state: Member['state']) =>
      others.filter(other => other.state === state).length
    return {
      ...channel.stats?.(),
      membersReady: count('ready'),
      membersJoining: count('joining'),
      membersSuspect: count('suspect'),
      membersGone: count('gone'),
      ...this.#engine?.stats(),
      ...(this.#sockets && { socketErrors: this.#sockets.errors }),
    }
  }

  /** Seals under a new key from now on, for example when a member has left for good. */
  rotateKey(): void {
    this.#handle({ kind: 'rotate' })
  }

  async close(): Promise<void> {
    if (this.#state === 'closed') return
    this.#handle({ kind: 'leave' })
    this.#state = 'closed'
    this.#wakeup.close()
    for (const settle of this.#settling.values()) settle(false)
    this.#settling.clear()
    this.#joined?.reject(new HandfastError('ERR_HANDFAST_CLOSED', 'closed while joining'))
    await Promise.all([this.#sockets?.close(), this.#options.channel.close()])
  }

  #handle(event: PacketEvent): void {
    const engine = this.#engine
    if (engine === undefined || this.#state === 'closed') return
    const now = this.#options.clock.monotonic()
    for (const action of engine.handle(event, now)) this.#perform(action)
    this.#wakeup.arm(engine.deadline, now)
    if (this.#joined !== undefined && engine.ready && engine.isBrought) this.#onJoined()
    if (event.kind !== 'publish') for (const changed of this.#watchers) changed()
  }

  #perform(action: PacketAction): void {
    const { channel } = this.#options
    switch (action.kind) {
      case 'multicast':
        this.#sockets?.multicast(action.datagram)
        break
      case 'unicast':
        this.#unicast(action)
        break
      case 'message':
        channel.send(action.to, action.message, action.spare)
        if (action.drains === true)
          channel.onceDrained(action.to, () =>
            this.#handle({ kind: 'drained', id: action.to }),
          )
        break
      case 'settle':
        this.#settling.get(action.token)?.(action.reached)
        this.#settling.delete(action.token)
        break
      case 'ready':
        this.#onReady()
        break
      case 'member':
        this.#log.member(
          action.id,
          action.change,
          this.members().find(({ id }) => id === action.id),
        )
        break
      case 'path':
        this.#log.path(action.id, action.path)
        break
    }
  }

  async #join(): Promise<void> {
    const { channel } = this.#options
    this.#engine = this.#createEngine(await this.#openSockets())
    const joined = new Promise<void>((resolve, reject) => {
      this.#joined = { resolve, reject }
    })
    this.#watchJoin(0)
    channel.listen({
      up: peer => this.#handle({ kind: 'up', peer }),
      down: id => this.#handle({ kind: 'down', id }),
      gone: id => this.#handle({ kind: 'gone', id }),
      refused: id => this.#handle({ kind: 'refused', id }),
      message: (from, message) => this.#handle({ kind: 'message', from, message }),
    })
    const connected = channel.start().then(() => this.#handle({ kind: 'connected' }))
    await Promise.all([connected, joined])
  }

  /** Resolves with our port for datagrams. */
  async #openSockets(): Promise<number> {
    const sockets = this.#sockets
    if (sockets === undefined) return 0
    const port = await sockets.open((datagram, from, by) =>
      this.#handle({ kind: 'datagram', datagram, from, by }),
    )
    if (this.#options.transport === 'multicast' && !sockets.multicasts)
      throw noGroup(sockets.groupError)
    return port
  }

  #onReady(): void {
    this.#state = 'ready'
    this.#options.channel.ready?.()
    const { recordsFetched: records = 0 } = this.#engine?.stats() ?? {}
    const ms = Math.round(this.#options.clock.monotonic() - this.#startedAt)
    this.#log.joined(this.members(), this.absent(), { records, ms })
  }

  /** What is everywhere is here, and what this member is to hold of the rest. */
  #onJoined(): void {
    this.#joined?.resolve()
    this.#joined = undefined
  }

  /** A large table may take its time, as long as something comes. */
  #watchJoin(before: number): void {
    const { clock, joinTimeout = defaultJoinTimeout } = this.#options
    this.#joinTimer = clock.after(joinTimeout, () => {
      const stats = this.#engine?.stats() ?? {}
      const came = (stats['recordsFetched'] ?? 0) + (stats['copiesReceived'] ?? 0)
      if (came > before) this.#watchJoin(came)
      else this.#goWithout()
    })
  }

  /** Better to serve without the farm's state than not at all; it is asked for all the same. */
  #goWithout(): void {
    this.#log.goesWithout(this.#engine?.ready === true)
    this.#handle({ kind: 'serve' })
    this.#onJoined()
  }

  #unicast({ datagram, to }: PacketAction & { kind: 'unicast' }): void {
    if (to !== undefined) this.#sockets?.unicast(datagram, to.host, to.port)
    // The feedback loop of one who sends to each alone: nothing to serialise, so no socket.
    else setImmediate(() => this.#handle(ownCopy(datagram)))
  }

  #createEngine(port: number): PacketEngine {
    const { clock, replica, memberId, channel, topology } = this.#options
    const { repository = false } = this.#options
    const sockets = this.#sockets
    if (sockets !== undefined)
      this.#log.sockets(sockets, this.#options.transport === 'unicast')
    return new PacketEngine(
      {
        id: memberId,
        sender: (channel.incarnation ?? randomBytes(6).readUIntBE(0, 6)) as SenderTag,
        farmTag: this.#farmTag,
        repository,
        serves: this.#options.serves,
        settings: {
          ...(sockets === undefined
            ? linkSettings
            : { ...defaultPacketSettings, ceiling: ceilingFor(sockets.receiveBuffer) }),
          ...this.#options.settings,
        },
        multicast: sockets?.multicasts === true,
        port,
        datagrams: sockets !== undefined,
        replica,
        topology,
        random: Math.random,
        newKey: () => randomBytes(epochKeyLength),
        wall: () => clock.now(),
        ahead: id => channel.ahead?.(id) ?? 0,
        // Whoever meets it looks at its table: it had something before it came, from a disk.
        last: replica.scan(undefined, 1).records.length > 0 ? 1 : 0,
      },
      clock.monotonic(),
    )
  }
}

function ownCopy(datagram: Buffer): PacketEvent {
  return { kind: 'datagram', datagram, from: '', by: 'unicast' }
}
