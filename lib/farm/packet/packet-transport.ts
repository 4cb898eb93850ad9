import { randomBytes, randomInt } from 'node:crypto'
import type { Clock, Timer } from '../../clock.ts'
import { HandfastError } from '../../errors.ts'
import type { Log } from '../../log.ts'
import type { TableId } from '../../record/key.ts'
import type { CacheRecord } from '../../record/record.ts'
import { incarnationOf, senderTag } from '../../wire/datagram.ts'
import type { BatchItem } from '../../wire/datagram-batch.ts'
import { epochKeyLength } from '../../wire/seal.ts'
import { farmKey, parseSecret } from '../secret.ts'
import type {
  Member,
  Replica,
  Transport,
  TransportStats,
  WriteLevel,
} from '../transport.ts'
import type { ControlChannel } from './control-channel.ts'
import { PacketEngine } from './engine.ts'
import type { PacketAction, PacketEvent } from './engine-event.ts'
import { type PacketSockets, type UdpOptions, UdpSockets } from './packet-sockets.ts'
import { ceilingFor, defaultPacketSettings, type PacketSettings } from './settings.ts'

const groupPort = 7_177
const defaultJoinTimeout = 30_000
/** Below this receive buffer a busy farm loses datagrams in every stall; bytes. */
const smallBuffer = 2 * 1024 * 1024

export interface PacketTransportOptions {
  readonly replica: Replica
  readonly clock: Clock
  readonly log: Log
  readonly farmName: string
  readonly secret: string | Buffer
  /** The id under which the channel knows this member. */
  readonly memberId: string
  readonly repository?: boolean | undefined
  /** Keys, joining, tables: what must not get lost. */
  readonly channel: ControlChannel
  /**
   * `multicast`: to a group, and to whom it does not reach one by one. `unicast`: to each one
   * by one, for networks without multicast. Default `multicast`.
   */
  readonly transport?: 'multicast' | 'unicast' | undefined
  /** Default: an address of 239.255/16 that follows from name and secret; port 7177. */
  readonly udp?: Partial<UdpOptions> | undefined
  readonly settings?: Partial<PacketSettings> | undefined
  readonly joinTimeout?: number | undefined
  /** In place of real ones. */
  readonly sockets?: PacketSockets | undefined
}

/** Members that tell each other what they write in datagrams, each to all others at once. */
export class PacketTransport implements Transport {
  readonly #options: PacketTransportOptions
  readonly #sockets: PacketSockets
  readonly #farmTag: number
  readonly #settling = new Map<number, (reached: boolean) => void>()
  #engine: PacketEngine | undefined
  #state: 'idle' | 'joining' | 'ready' | 'closed' = 'idle'
  #token = 0
  #timer: Timer | undefined
  #timerAt = Infinity
  #immediate: NodeJS.Immediate | undefined
  #joined: { resolve: () => void; reject: (error: Error) => void } | undefined

  constructor(options: PacketTransportOptions) {
    this.#options = options
    const secret = parseSecret(options.secret)
    this.#farmTag = farmKey(secret, options.farmName, 'datagram tag', 4).readUInt32BE(0)
    this.#sockets = options.sockets ?? new UdpSockets(this.#udpOptions())
  }

  async start(): Promise<void> {
    if (this.#state !== 'idle')
      throw new HandfastError('ERR_HANDFAST_USAGE', 'the transport was started before')
    this.#state = 'joining'
    const { channel, clock, joinTimeout = defaultJoinTimeout } = this.#options
    const port = await this.#sockets.open((datagram, from, by) =>
      this.#handle({ kind: 'datagram', datagram, from, by }),
    )
    this.#engine = this.#createEngine(port)
    const joined = new Promise<void>((resolve, reject) => {
      this.#joined = { resolve, reject }
    })
    const limit = clock.after(joinTimeout, () => this.#joined?.reject(joinError()))
    channel.listen({
      up: peer => this.#handle({ kind: 'up', peer }),
      down: id => this.#handle({ kind: 'down', id }),
      message: (from, message) => this.#handle({ kind: 'message', from, message }),
    })
    try {
      const connected = channel.start().then(() => this.#handle({ kind: 'connected' }))
      await Promise.all([connected, joined])
    } catch (error) {
      await this.close()
      throw error
    } finally {
      limit.cancel()
    }
  }

  publish(record: CacheRecord, level: WriteLevel, budget: number): Promise<boolean> {
    return this.#write(record, level, budget)
  }

  purge(table: TableId | undefined, budget: number): Promise<boolean> {
    return this.#write({ purge: table }, 'all', budget)
  }

  fetch(table: TableId, key: Buffer, budget: number): Promise<CacheRecord | undefined> {
    if (this.#state === 'closed') return Promise.resolve(undefined)
    return this.#options.channel.fetch(table, key, budget)
  }

  members(): Member[] {
    const engine = this.#engine
    if (engine === undefined) return []
    const { memberId } = this.#options
    const self: Member = {
      id: memberId,
      incarnation: incarnationOf(engine.tag),
      address: undefined,
      state: engine.ready ? 'ready' : 'joining',
      self: true,
    }
    const others = [...engine.roster.all()].map((peer): Member => {
      const presence = engine.roster.membership.state(peer.id)
      const here = peer.ready ? 'ready' : 'joining'
      return {
        id: peer.id,
        incarnation: incarnationOf(peer.sender),
        address: `${peer.address.host}:${peer.address.port}`,
        state: presence === 'alive' ? here : presence,
        self: false,
      }
    })
    return [self, ...others]
  }

  stats(): TransportStats {
    return { ...this.#engine?.stats(), socketErrors: this.#sockets.errors }
  }

  /** Seals under a new key from now on, for example when a member has left for good. */
  rotateKey(): void {
    this.#handle({ kind: 'rotate' })
  }

  async close(): Promise<void> {
    if (this.#state === 'closed') return
    this.#handle({ kind: 'leave' })
    this.#state = 'closed'
    this.#timer?.cancel()
    clearImmediate(this.#immediate)
    for (const settle of this.#settling.values()) settle(false)
    this.#settling.clear()
    this.#joined?.reject(new HandfastError('ERR_HANDFAST_CLOSED', 'closed while joining'))
    await Promise.all([this.#sockets.close(), this.#options.channel.close()])
  }

  #write(item: BatchItem, level: WriteLevel, budget: number): Promise<boolean> {
    if (this.#state === 'closed' || this.#engine === undefined)
      return Promise.resolve(level === 'local')
    this.#token += 1
    const token = this.#token
    return new Promise(resolve => {
      this.#settling.set(token, resolve)
      this.#handle({ kind: 'publish', item, level, budget, token })
    })
  }

  #handle(event: PacketEvent): void {
    const engine = this.#engine
    if (engine === undefined || this.#state === 'closed') return
    const now = this.#options.clock.monotonic()
    for (const action of engine.handle(event, now)) this.#perform(action)
    this.#arm(engine.deadline, now)
  }

  #perform(action: PacketAction): void {
    const { channel, log } = this.#options
    switch (action.kind) {
      case 'multicast':
        this.#sockets.multicast(action.datagram)
        break
      case 'unicast':
        this.#unicast(action)
        break
      case 'message':
        channel.send(action.to, action.message)
        break
      case 'settle':
        this.#settling.get(action.token)?.(action.reached)
        this.#settling.delete(action.token)
        break
      case 'ready':
        this.#state = 'ready'
        this.#joined?.resolve()
        break
      case 'member':
        log.info({ member: action.id }, `member ${action.change}`)
        break
      case 'path':
        log.info({ member: action.id, path: action.path }, 'datagrams reach the member')
        break
    }
  }

  #unicast({ datagram, to }: PacketAction & { kind: 'unicast' }): void {
    if (to !== undefined) this.#sockets.unicast(datagram, to.host, to.port)
    // The feedback loop of one who sends to each alone: nothing to serialise, so no socket.
    else setImmediate(() => this.#handle(ownCopy(datagram)))
  }

  /** One timer for everything; an engine that is due already gets the next turn of the loop. */
  #arm(deadline: number, now: number): void {
    if (deadline <= now) {
      this.#immediate ??= setImmediate(() => {
        this.#immediate = undefined
        this.#handle({ kind: 'tick' })
      })
      return
    }
    if (deadline >= this.#timerAt || deadline === Infinity) return
    this.#timer?.cancel()
    this.#timerAt = deadline
    this.#timer = this.#options.clock.after(deadline - now, () => {
      this.#timerAt = Infinity
      this.#handle({ kind: 'tick' })
    })
  }

  #createEngine(port: number): PacketEngine {
    const { clock, replica, memberId, repository = false, log } = this.#options
    const { receiveBuffer, multicasts } = this.#sockets
    if (receiveBuffer < smallBuffer)
      log.warn({ receiveBuffer }, 'the socket buffer is small: raise net.core.rmem_max')
    if (!multicasts && this.#options.transport !== 'unicast')
      log.warn({}, 'no multicast here, sending to each member by itself')
    return new PacketEngine(
      {
        id: memberId,
        sender: senderTag(randomInt(2 ** 16), randomInt(2 ** 32)),
        farmTag: this.#farmTag,
        repository,
        settings: {
          ...defaultPacketSettings,
          ceiling: ceilingFor(receiveBuffer),
          ...this.#options.settings,
        },
        multicast: multicasts,
        port,
        replica,
        random: Math.random,
        newKey: () => randomBytes(epochKeyLength),
        wall: () => clock.now(),
      },
      clock.monotonic(),
    )
  }

  #udpOptions(): UdpOptions {
    const { transport, udp } = this.#options
    const group = `239.255.${(this.#farmTag >>> 8) & 0xff}.${this.#farmTag & 0xff}`
    return {
      groupPort,
      ...udp,
      group: transport === 'unicast' ? undefined : (udp?.group ?? group),
    }
  }
}

function ownCopy(datagram: Buffer): PacketEvent {
  return { kind: 'datagram', datagram, from: '', by: 'unicast' }
}

function joinError(): HandfastError {
  return new HandfastError(
    'ERR_HANDFAST_JOIN',
    'the other members could not bring this one up to date in time',
  )
}
