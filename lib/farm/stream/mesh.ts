import type { ConnectionOptions, TLSSocket } from 'node:tls'
import type { Clock } from '../../clock.ts'
import { HandfastError } from '../../errors.ts'
import type { Log } from '../../log.ts'
import {
  type Greeting,
  type MemberState,
  maxMembers,
  streamVersion,
} from '../../wire/frame-greeting.ts'
import { formatAddress, parseAddress, plainHost } from '../address.ts'
import type { Member } from '../transport.ts'
import { type Origin, originName } from './applied-vector.ts'
import { Dialler, isDialable } from './dialler.ts'
import type { Traffic } from './frame-link.ts'
import { InboundLink, type InboundOwner } from './inbound-link.ts'
import { LogLimiter } from './log-limiter.ts'
import { MemberDirectory } from './member-directory.ts'
import type { StreamLimits } from './options.ts'
import type { OutLog } from './out-log.ts'
import { OutboundLink, type OutboundOwner } from './outbound-link.ts'
import { Presence } from './presence.ts'
import type { Refusal } from './refusal.ts'

/** What flows over the links is not the mesh's business; whom they link is nobody else's. */
type MeshOutbound = 'onWelcome' | 'onStarted' | 'onPeerState' | 'onLeave' | 'onEnd'
type MeshInbound = 'onHello' | 'onGreeted' | 'onPeerState' | 'onLeave' | 'onEnd'

export interface MeshOwner {
  readonly outbound: Omit<OutboundOwner, MeshOutbound>
  readonly inbound: Omit<InboundOwner, MeshInbound>
  /** A dialler has been greeted; its log may be started. */
  onGreeted(link: InboundLink): void
  onOutboundEnd(link: OutboundLink): void
  onInboundEnd(link: InboundLink): void
  /** The member will not acknowledge anything any more. */
  onGone(origin: Origin): void
  onForgotten(id: string): void
  /** Links or states have changed. */
  onChange(): void
}

export interface MeshParts {
  readonly self: Origin
  readonly advertise: string
  readonly tls: ConnectionOptions
  readonly clock: Clock
  readonly log: Log
  readonly random: () => number
  readonly limits: StreamLimits
  readonly outLog: OutLog
  readonly traffic: Traffic
  readonly owner: MeshOwner
}

/** The links between this member and all others: who is there, who dials whom, who is dead. */
export class Mesh {
  readonly #parts: MeshParts
  readonly #dialler: Dialler
  readonly #directory = new MemberDirectory()
  readonly #limiter: LogLimiter
  readonly #outbound = new Map<string, OutboundLink>()
  readonly #greeting = new Set<InboundLink>()
  readonly #inbound = new Map<string, InboundLink>()
  /** Those for which a write may wait. */
  readonly present: Presence = new Presence()
  #state: MemberState = 'joining'
  #port = 0
  #closed = false
  linksLost = 0

  constructor(parts: MeshParts) {
    this.#parts = parts
    this.#limiter = new LogLimiter(parts.clock)
    this.#dialler = new Dialler({
      clock: parts.clock,
      log: parts.log,
      random: parts.random,
      forgetAfter: parts.limits.forgetAfter,
      recheckAfter: parts.limits.resolveInterval,
      connect: address => this.#connect(address),
    })
  }

  /** Links to members that have said who they are. */
  get outbound(): ReadonlyMap<string, OutboundLink> {
    return this.#outbound
  }

  get inbound(): ReadonlyMap<string, InboundLink> {
    return this.#inbound
  }

  get untried(): boolean {
    return this.#dialler.untried
  }

  /** Addresses that refused us, and why. */
  get refusals(): ReadonlyMap<string, string> {
    return this.#dialler.refusals
  }

  /** The port that this member listens on; it is told to others. */
  open(port: number): void {
    this.#port = port
  }

  configure(addresses: readonly string[]): void {
    this.#dialler.configure(addresses)
  }

  accept(socket: TLSSocket): void {
    const { clock, traffic, limits, owner } = this.#parts
    const link = new InboundLink(socket, {
      clock,
      traffic,
      socketBytes: 4 * limits.socketBytes,
      owner: {
        ...owner.inbound,
        onHello: (link, greeting) => this.#onHello(link, greeting),
        onGreeted: link => owner.onGreeted(link),
        onPeerState: (link, state) => this.#onState(link.peer, state),
        onLeave: link => this.#onLeave(link.peer),
        onEnd: (link, error) => this.#onInboundEnd(link, error),
      },
    })
    this.#greeting.add(link)
    if (this.#closed) link.destroy()
  }

  setState(state: MemberState): void {
    this.#state = state
    for (const link of this.#outbound.values()) link.tellState(state)
    for (const link of this.#inbound.values()) link.tellState(state)
  }

  members(): Member[] {
    return this.#directory.list()
  }

  count(state: Member['state']): number {
    return this.#directory.count(state)
  }

  /** `late`: our own loop was held up, so silence proves nothing this time. */
  tick(late: boolean): void {
    const { clock, limits, owner } = this.#parts
    const now = clock.monotonic()
    for (const link of [...this.#outbound.values(), ...this.#inbound.values()]) {
      link.link.beat(limits.heartbeat)
      if (!late && link.link.isSilent(limits.deadAfter)) {
        link.destroy(new Error(`silent for ${limits.deadAfter} ms`))
        if (link instanceof OutboundLink && link.peer !== undefined) this.#gone(link.peer)
      }
    }
    for (const link of this.#greeting) {
      if (!late && now - link.since > limits.handshakeTimeout) {
        link.destroy(new Error('no greeting in time'))
      }
    }
    for (const origin of this.present.cutBefore(now - limits.deadAfter))
      this.#gone(origin)
    for (const id of this.#directory.forget(now - limits.forgetAfter))
      owner.onForgotten(id)
    this.#dialler.dial()
  }

  /** Says good-bye and ends all links; what is not gone within `limit` ms is cut. */
  async close(limit: number): Promise<void> {
    this.#closed = true
    this.#dialler.close()
    for (const link of this.#greeting) link.destroy()
    for (const link of this.#outbound.values()) link.leave()
    for (const link of this.#inbound.values()) link.leave()
    await new Promise<void>(resolve => {
      const timer = this.#parts.clock.after(limit, resolve)
      this.#onAllEnded = () => {
        timer.cancel()
        resolve()
      }
      this.#checkAllEnded()
    })
    for (const link of this.#outbound.values()) link.destroy()
    for (const link of this.#inbound.values()) link.destroy()
  }

  #onAllEnded: () => void = () => {}

  #checkAllEnded(): void {
    if (this.#outbound.size + this.#inbound.size === 0) this.#onAllEnded()
  }

  #connect(address: string): OutboundLink {
    const { tls, clock, traffic, limits, outLog, owner } = this.#parts
    return new OutboundLink({
      address,
      target: parseAddress(address),
      tls,
      clock,
      traffic,
      log: outLog,
      socketBytes: limits.socketBytes,
      handshakeTimeout: limits.handshakeTimeout,
      greeting: () => this.#greet(),
      owner: {
        ...owner.outbound,
        onWelcome: (link, greeting) => this.#onWelcome(link, greeting),
        onStarted: link => this.#onStarted(link),
        onPeerState: link => this.#onState(link.peer, link.peerState),
        onLeave: link => this.#onLeave(link.peer),
        onEnd: (link, error) => this.#onOutboundEnd(link, error),
      },
    })
  }

  #greet(): Greeting {
    return {
      version: streamVersion,
      ...this.#parts.self,
      state: this.#state,
      port: this.#port,
      advertise: this.#parts.advertise,
      members: this.#directory.known(),
    }
  }

  #onWelcome(link: OutboundLink, greeting: Greeting): boolean {
    const { self, clock, log } = this.#parts
    const now = clock.monotonic()
    this.#dialler.welcomed(link)
    if (greeting.id === self.id) {
      if (greeting.incarnation !== self.incarnation) this.#logTwin(link.address)
      return this.#setAside(link)
    }
    const other = this.#outbound.get(greeting.id)
    if (other !== undefined && other.peer?.incarnation === greeting.incarnation) {
      return this.#setAside(link)
    }
    if (other === undefined && this.#outbound.size >= maxMembers) {
      return this.#setAside(link)
    }
    this.#outbound.set(greeting.id, link)
    if (other !== undefined) {
      other.destroy()
      this.#dialler.setAside(other)
    }
    this.#dialler.linked(link)
    const { advertise } = greeting
    const address = isDialable(advertise) ? advertise : link.address
    this.#meet(greeting, address, now)
    log.debug({ member: greeting.id, address: link.address }, 'linked to a member')
    return true
  }

  #setAside(link: OutboundLink): false {
    this.#dialler.setAside(link)
    // Whether an address was tried decides whether a joining member waits.
    this.#parts.owner.onChange()
    return false
  }

  #onHello(link: InboundLink, greeting: Greeting): Greeting | Refusal {
    const { self, clock, log } = this.#parts
    const from = link.remoteAddress
    if (greeting.version !== streamVersion) {
      log.warn({ from, version: greeting.version }, 'member of another version refused')
      return 'version'
    }
    // Until it is let in it stays among those that are cut off when their time is up.
    if (greeting.id === self.id) {
      if (greeting.incarnation === self.incarnation) return this.#greet()
      this.#logTwin(from)
      return 'duplicateId'
    }
    if (!this.#directory.has(greeting.id) && this.#directory.size >= maxMembers) {
      log.warn({ from, member: greeting.id }, 'member refused: the farm is full')
      return 'full'
    }
    const now = clock.monotonic()
    const seen = formatAddress({ host: plainHost(from), port: greeting.port })
    const told = greeting.advertise === '' ? seen : greeting.advertise
    const address = isDialable(told) ? told : undefined
    const name = originName(greeting)
    const other = this.#inbound.get(name)
    // The dialler has given up its earlier link, whatever that link looks like from here.
    this.#greeting.delete(link)
    this.#inbound.set(name, link)
    other?.destroy()
    const linked = this.#outbound.has(greeting.id)
    this.#meet(greeting, linked ? undefined : address, now)
    if (!linked && address !== undefined) this.#dialler.hint(address)
    return this.#greet()
  }

  #meet(greeting: Greeting, address: string | undefined, now: number): void {
    for (const former of this.present.formerRuns(greeting)) this.#gone(former)
    this.#directory.note(greeting, greeting.state, address, now)
    for (const member of greeting.members) {
      if (member.id !== this.#parts.self.id) this.#dialler.learn(member.address)
    }
    // Not now: the caller has not put its link to the others yet.
    queueMicrotask(() => {
      if (this.#closed) return
      this.#dialler.dial()
      this.#parts.owner.onChange()
    })
  }

  #onStarted(link: OutboundLink): void {
    const { peer, address } = link
    if (peer === undefined) return
    this.present.linked(peer, address)
    this.#parts.owner.onChange()
  }

  #onState(peer: Greeting | undefined, state: MemberState): void {
    if (peer === undefined) return
    this.#directory.mark(peer, state, this.#parts.clock.monotonic())
    this.#parts.owner.onChange()
  }

  #onLeave(peer: Greeting | undefined): void {
    if (peer === undefined) return
    this.#parts.log.info({ member: peer.id }, 'member left the farm')
    this.#directory.mark(peer, 'left', this.#parts.clock.monotonic())
    this.#gone(peer)
    this.#outbound.get(peer.id)?.destroy()
    this.#inbound.get(originName(peer))?.destroy()
  }

  #onOutboundEnd(link: OutboundLink, error: Error | undefined): void {
    const { clock, log, owner } = this.#parts
    const now = clock.monotonic()
    const { address, peer } = link
    if (this.#dialler.failed(link, error)) {
      // Cut, and not to be dialled again: it is not waited for any longer.
      for (const origin of this.present.cutAt(address)) this.#gone(origin)
    } else if (peer !== undefined && this.#outbound.get(peer.id) === link) {
      this.#outbound.delete(peer.id)
      this.#dialler.lost(link)
      this.linksLost += 1
      const suspect = this.present.cut(peer, now)
      this.#directory.mark(peer, suspect ? 'suspect' : 'gone', now)
      if (!this.#closed) this.#logEnd(peer.id, error)
      owner.onOutboundEnd(link)
    } else if (error !== undefined) {
      log.debug({ address, reason: error.message }, 'spare link ended')
    }
    if (this.#closed) {
      this.#checkAllEnded()
      return
    }
    this.#dialler.dial()
    owner.onChange()
  }

  #onInboundEnd(link: InboundLink, error: Error | undefined): void {
    this.#greeting.delete(link)
    const { peer } = link
    if (peer !== undefined && this.#inbound.get(originName(peer)) === link) {
      this.#inbound.delete(originName(peer))
      if (!this.#outbound.has(peer.id)) {
        this.#directory.mark(peer, 'gone', this.#parts.clock.monotonic())
      }
      if (!this.#closed) this.#logEnd(peer.id, error)
    } else if (peer === undefined && error !== undefined) {
      this.#logEnd(undefined, error)
    }
    this.#parts.owner.onInboundEnd(link)
    if (this.#closed) this.#checkAllEnded()
  }

  #logEnd(member: string | undefined, error: Error | undefined): void {
    const { log } = this.#parts
    const reason = error?.message.trim() ?? 'closed by the other end'
    const bad = error instanceof HandfastError
    this.#limiter.log(heldBack => {
      const fields = { member, reason, heldBack }
      if (bad) log.warn(fields, 'link ended: the member does not follow the protocol')
      else log.info(fields, 'link ended')
    })
  }

  #logTwin(address: string): void {
    this.#parts.log.error(
      { address, member: this.#parts.self.id },
      'another member has the id of this one',
    )
  }

  #gone(origin: Origin): void {
    this.present.gone(origin)
    this.#directory.mark(origin, 'gone', this.#parts.clock.monotonic())
    this.#parts.owner.onGone(origin)
  }
}
