import type { TLSSocket } from 'node:tls'
import { formatAddress, parseAddress } from '../../address.ts'
import {
  type Greeting,
  type MemberState,
  maxMembers,
  streamVersion,
} from '../../wire/frame-greeting.ts'
import { InboundLink } from '../link/inbound-link.ts'
import { OutboundLink } from '../link/outbound-link.ts'
import type { Refusal } from '../link/refusal.ts'
import type { AbsentMember, Member } from '../transport.ts'
import { ClockCheck } from './clock-check.ts'
import { Dialler, isDialable } from './dialler.ts'
import { InboundLinks } from './inbound-links.ts'
import type { Life } from './life.ts'
import { LinkLog } from './link-log.ts'
import { MemberDirectory } from './member-directory.ts'
import type { MeshParts } from './mesh-parts.ts'
import { Presence } from './presence.ts'

/** The links between this member and all others: who is there, who dials whom, who is dead. */
export class Mesh {
  readonly #parts: MeshParts
  readonly #dialler: Dialler
  readonly #directory = new MemberDirectory()
  readonly #log: LinkLog
  readonly #clocks: ClockCheck
  readonly #outbound = new Map<string, OutboundLink>()
  readonly #inbound = new InboundLinks()
  readonly #present = new Presence()
  #state: MemberState = 'joining'
  #port = 0
  #closed = false
  linksLost = 0

  constructor(parts: MeshParts) {
    this.#parts = parts
    this.#log = new LinkLog(parts)
    this.#clocks = new ClockCheck({ ...parts, directory: this.#directory })
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
    return this.#inbound.standing
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
    const { clock, versions, traffic, limits, owner } = this.#parts
    const link = new InboundLink(socket, {
      clock,
      versions,
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
    this.#inbound.add(link)
    if (this.#closed) link.destroy()
  }

  setState(state: MemberState): void {
    this.#state = state
    for (const link of this.#outbound.values()) link.tellState(state)
    for (const link of this.inbound.values()) link.tellState(state)
  }

  /** Its link stands, or may stand again in a moment. */
  awaits(life: Life): boolean {
    return this.#present.has(life)
  }

  members(): Member[] {
    return this.#directory.list()
  }

  /** See Transport. `reaches`: what is sent now gets to this member. */
  absent(reaches: (life: Life) => boolean): AbsentMember[] {
    const now = this.#parts.clock.monotonic()
    const never = this.#dialler
      .missed()
      .filter(({ address }) => !this.#directory.knowsAddress(address))
      .map(({ address, since }) => ({ id: undefined, address, away: now - since }))
    return [...this.#directory.absent(reaches, now), ...never]
  }

  /** `late`: our own loop was held up, so silence proves nothing this time. */
  tick(late: boolean): void {
    const { clock, limits } = this.#parts
    const now = clock.monotonic()
    for (const link of [...this.#outbound.values(), ...this.inbound.values()]) {
      link.link.beat(limits.heartbeat)
      if (!late && link.link.isSilent(limits.deadAfter)) {
        link.destroy(new Error(`silent for ${limits.deadAfter} ms`))
        if (link instanceof OutboundLink && link.peer !== undefined) this.#gone(link.peer)
      }
    }
    this.#inbound.check(now, limits.handshakeTimeout, late)
    for (const life of this.#present.cutBefore(now - limits.deadAfter)) this.#gone(life)
    this.#directory.forget(now - limits.forgetAfter)
    this.#dialler.dial()
  }

  /** Says good-bye and ends all links; what is not gone within `limit` ms is cut. */
  async close(limit: number): Promise<void> {
    this.#closed = true
    this.#dialler.close()
    this.#inbound.clear()
    for (const link of this.#outbound.values()) link.leave()
    for (const link of this.inbound.values()) link.leave()
    await new Promise<void>(resolve => {
      const timer = this.#parts.clock.after(limit, resolve)
      this.#onAllEnded = () => {
        timer.cancel()
        resolve()
      }
      this.#checkAllEnded()
    })
    for (const link of this.#outbound.values()) link.destroy()
    for (const link of this.inbound.values()) link.destroy()
  }

  #onAllEnded: () => void = () => {}

  #checkAllEnded(): void {
    if (this.#outbound.size + this.inbound.size === 0) this.#onAllEnded()
  }

  #connect(address: string): OutboundLink {
    const { tls, clock, versions, traffic, limits, owner } = this.#parts
    return new OutboundLink({
      address,
      target: parseAddress(address),
      tls,
      clock,
      versions,
      traffic,
      socketBytes: limits.socketBytes,
      handshakeTimeout: limits.handshakeTimeout,
      greeting: () => this.#greet(),
      owner: {
        ...owner.outbound,
        onClockRefusal: (link, refusal) => {
          const error = this.#clocks.refused(refusal, link.address)
          this.#gone(refusal.greeting)
          return error
        },
        onWelcome: (link, greeting) => this.#onWelcome(link, greeting),
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
      carrier: this.#parts.carrier,
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
      if (greeting.incarnation !== self.incarnation) this.#log.twin(link.address)
      return this.#setAside(link)
    }
    const other = this.#outbound.get(greeting.id)
    if (other === undefined && this.#outbound.size >= maxMembers) {
      return this.#setAside(link)
    }
    this.#outbound.set(greeting.id, link)
    if (other !== undefined) {
      // The acceptor has put this link in the place of the other, so must we.
      this.#dialler.spare(other)
      this.#parts.owner.onOutboundEnd(other)
      other.destroy()
    }
    this.#dialler.linked(link)
    const { advertise } = greeting
    const address = isDialable(advertise) ? advertise : link.address
    this.#meet(greeting, address, now)
    this.#present.linked(greeting, link.address)
    log.debug({ member: greeting.id, address: link.address }, 'linked to a member')
    this.#parts.owner.onLinked(link)
    return true
  }

  #setAside(link: OutboundLink): false {
    this.#dialler.setAside(link)
    // Whether an address was tried decides whether a joining member waits.
    this.#parts.owner.onChange()
    return false
  }

  #onHello(link: InboundLink, greeting: Greeting): Greeting | Refusal {
    const { self, carrier, clock, log } = this.#parts
    const from = link.remoteAddress
    if (greeting.version !== streamVersion) {
      log.warn({ from, version: greeting.version }, 'member of another version refused')
      return 'version'
    }
    // Until it is let in it stays among those that are cut off when their time is up.
    if (greeting.id === self.id) {
      if (greeting.incarnation === self.incarnation) return this.#greet()
      this.#log.twin(from)
      return 'duplicateId'
    }
    if (greeting.carrier !== carrier) {
      log.warn(
        { from, member: greeting.id },
        'member refused: option transport must be stream on all members or on none',
      )
      return 'carrier'
    }
    if (!this.#directory.has(greeting.id) && this.#directory.size >= maxMembers) {
      log.warn({ from, member: greeting.id }, 'member refused: the farm is full')
      return 'full'
    }
    const seen = formatAddress({ host: from, port: greeting.port })
    const told = greeting.advertise === '' ? seen : greeting.advertise
    const address = isDialable(told) ? told : undefined
    const answer = () => this.#greet()
    const refusal = this.#clocks.refuse(greeting, link.link, address, answer)
    if (refusal !== undefined) {
      this.#gone(greeting)
      return refusal
    }
    const now = clock.monotonic()
    this.#inbound.admit(link, greeting, now)
    const linked = this.#outbound.has(greeting.id)
    this.#meet(greeting, linked ? undefined : address, now)
    if (!linked && address !== undefined) this.#dialler.hint(address)
    return this.#greet()
  }

  #meet(greeting: Greeting, address: string | undefined, now: number): void {
    for (const former of this.#present.formerRuns(greeting)) this.#gone(former)
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

  #onState(peer: Greeting | undefined, state: MemberState): void {
    if (peer === undefined) return
    this.#directory.mark(peer, state, this.#parts.clock.monotonic())
    this.#parts.owner.onChange()
  }

  #onLeave(peer: Greeting | undefined): void {
    if (peer === undefined) return
    this.#directory.mark(peer, 'left', this.#parts.clock.monotonic())
    this.#gone(peer)
    const link = this.#outbound.get(peer.id)
    if (link !== undefined) this.#dialler.left(link)
    link?.destroy()
  }

  #onOutboundEnd(link: OutboundLink, error: Error | undefined): void {
    const { clock, log, owner } = this.#parts
    const now = clock.monotonic()
    const { address, peer } = link
    if (this.#dialler.failed(link, error)) {
      // Cut, and not to be dialled again: it is not waited for any longer.
      for (const life of this.#present.cutAt(address)) this.#gone(life)
    } else if (peer !== undefined && this.#outbound.get(peer.id) === link) {
      this.#outbound.delete(peer.id)
      this.#dialler.lost(link)
      this.linksLost += 1
      const suspect = this.#present.cut(peer, now)
      this.#directory.mark(peer, suspect ? 'suspect' : 'gone', now)
      this.#sayEnded(peer, address, error)
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
    const { peer } = link
    if (this.#inbound.ended(link) && peer !== undefined) {
      if (!this.#outbound.has(peer.id)) {
        this.#directory.mark(peer, 'gone', this.#parts.clock.monotonic())
      }
      this.#sayEnded(peer, undefined, error)
    } else if (peer === undefined && error !== undefined) {
      this.#log.ended(undefined, error)
    }
    this.#parts.owner.onInboundEnd(link)
    if (this.#closed) this.#checkAllEnded()
  }

  #sayEnded(peer: Greeting, address: string | undefined, error: Error | undefined): void {
    if (this.#closed) return
    if (this.#clocks.ended(peer, address, error)) this.#gone(peer)
    else this.#log.ended(peer.id, error)
  }

  #gone(life: Life): void {
    this.#present.gone(life)
    this.#directory.mark(life, 'gone', this.#parts.clock.monotonic())
    // Silent there too, most likely; if not, it dials again. Half gone is a state for nobody.
    this.#inbound.get(life)?.destroy(new Error('can not be reached'))
    this.#parts.owner.onGone(life.id)
  }
}
