import type { ControlMessage } from '../../wire/control-message.ts'
import { datagramTypes, type SenderTag } from '../../wire/datagram.ts'
import { type Heartbeat, writeAccusation } from '../../wire/datagram-control.ts'
import type { LinkedMember } from '../channel/control-channel.ts'
import { Heartbeats } from '../peer/heartbeats.ts'
import type { MembershipAnswer } from '../peer/membership.ts'
import { type Hearing, type Path, Peer } from '../peer/peer.ts'
import { type EngineContext, type EngineOptions, wake } from './engine-context.ts'
import { EpochKeys } from './epoch-keys.ts'

/** Heartbeats missed on one way before that way counts as closed. */
const missedOnPath = 5

/** Of the heartbeats to a member that multicast reaches, one in so many goes to it alone too. */
export const probeEvery = 2

/** Heartbeats in which a link that says nothing is cut. */
const missedOnLink = 2

/** A loop that stood still for longer, ms, may have missed what others said. */
export function standstill({ datagrams, settings }: EngineOptions): number {
  return (datagrams ? missedOnPath : missedOnLink) * settings.heartbeat
}

/** After a standstill of our own, what lay in the socket is read within this, ms. */
const backlogTime = 100

/** What it tells the rest of the engine. */
export interface PeerHooks {
  /** A member was met, or a link with it stands again; `told`: what it was said is our last. */
  linked(peer: Peer, told: number): void
  /** First meeting, or back with holes that datagrams can't fill. */
  incomplete(peer: Peer): void
  /** Who is there, or who is complete, is different now. */
  changed(): void
  lost(peer: Peer): void
  /** Its life is over, and it took no leave: what it was to tell one member, others may know. */
  died(peer: Peer): void
}

/**
 * Who the others are and how they are reached: introductions and keys over the stream, signs of
 * life, suspicion, and which kind of datagram gets through to whom.
 */
export class Peers {
  readonly heartbeats: Heartbeats
  readonly keys: EpochKeys
  readonly #context: EngineContext
  readonly #hooks: PeerHooks
  /** Those with a link, introduced or not, and what we said was our last when it came up. */
  readonly #connected = new Map<string, { peer: LinkedMember; last: number }>()
  #refutations = 0
  #joining = true
  #serves: boolean
  /** That others have is not passed on: a farm that has given them up forgets them. */
  #metRepository = false

  constructor(context: EngineContext, epochKey: Buffer, hooks: PeerHooks) {
    this.#context = context
    this.#hooks = hooks
    this.#serves = context.options.serves === true
    this.keys = new EpochKeys(context, epochKey)
    this.heartbeats = new Heartbeats(context.options.settings.heartbeat, context.now)
  }

  get refutations(): number {
    return this.#refutations
  }

  /** Connected members that have introduced themselves, against those connected. */
  get introduced(): boolean {
    for (const id of this.#connected.keys())
      if (this.#context.roster.get(id) === undefined) return false
    return true
  }

  /** Nobody is silent or unheard of, and of each we have what it had when it was met. */
  get current(): boolean {
    const { roster } = this.#context
    for (const peer of roster.all()) {
      const alive = roster.membership.state(peer.id) === 'alive'
      if (!alive || !peer.connected || !peer.current) return false
    }
    return this.introduced
  }

  /** This member has all that the farm had. */
  complete(): void {
    this.#joining = false
    if (this.#context.options.datagrams) this.heartbeats.hurry(this.#context.now)
    else this.#introduceToAll()
  }

  /** Clients are served here, before this member has all that the farm had. */
  serve(): void {
    this.#serves = true
    this.#introduceToAll()
  }

  // -- streams

  up(peer: LinkedMember): void {
    this.#connected.set(peer.id, { peer, last: this.#context.sender.last })
    this.#introduce(peer.id)
  }

  down(id: string): void {
    this.#connected.delete(id)
    this.#hooks.changed()
    const peer = this.#context.roster.get(id)
    if (peer === undefined) return
    peer.connected = false
    this.#context.roster.membership.connected(id, false)
    this.#hooks.lost(peer)
  }

  /** Where a link is the only way, the link says who is there. */
  gone(id: string): void {
    const { options, roster } = this.#context
    if (!options.datagrams && roster.membership.gone(id)) this.#act({ kind: 'gone', id })
  }

  refused(id: string): void {
    this.#connected.delete(id)
    const peer = this.#context.roster.get(id)
    if (peer !== undefined) this.left(peer, 'gone')
  }

  announced(id: string, message: ControlMessage & { type: 'announce' }): void {
    const { options, roster, sender, now } = this.#context
    const link = this.#connected.get(id)
    const address = { host: link?.peer.host ?? '', port: message.port }
    const before = roster.get(id)
    const isNew = before?.sender !== message.sender
    const linked = isNew || !before.connected
    if (isNew) this.#meet(id, message, address)
    const peer = roster.get(id)
    if (peer === undefined) return
    peer.connected = true
    peer.dialAddress = link?.peer.address
    if (!isNew) {
      peer.address = address
      peer.rekey(message.epoch, message.epochKey, now)
      peer.window.learn(message.last)
      roster.membership.connected(id, true)
      this.heard(peer)
      peer.head = message.last
      peer.ready ||= !message.joining
      peer.serves ||= message.serves
      peer.metRepository ||= message.metRepository
      if (!peer.settled) this.#hooks.incomplete(peer)
    }
    if (linked) {
      // What it was told over an earlier link may be lost, or it may have forgotten us.
      sender.acks.remove(peer.sender)
      peer.asked = 0
    }
    if (options.datagrams) {
      // What we hear may have changed while no stream could say so.
      this.#tellHearing(peer, this.#hearing(peer), true)
      // The first heartbeat is the probe for both kinds of datagram.
      this.heartbeats.hurry(now)
    } else if (linked) this.#hooks.linked(peer, link?.last ?? sender.last)
    this.#hooks.changed()
  }

  rekeyed(peer: Peer, message: ControlMessage & { type: 'key' }): void {
    peer.rekey(message.epoch, message.epochKey, this.#context.now)
  }

  /** It answers us, so what it says is newer than our question. */
  answered(peer: Peer, last: number): void {
    if (this.#context.options.datagrams) return
    peer.window.learn(last)
    if (peer.head === Infinity) peer.head = last
  }

  /** The other side says which of our datagrams reach it. */
  hears(peer: Peer, hearing: Hearing): void {
    peer.hearsUnicast = hearing.unicast
    const path = this.#bestPath(hearing)
    if (path === peer.path) return
    peer.path = path
    // While it is probed, a datagram of its own may arrive before the first multicast.
    const best = this.#context.options.multicast ? 'multicast' : 'unicast'
    if (path === best || this.#isProbed(peer)) this.#sayPath(peer)
    this.#hooks.changed()
  }

  // -- signs of life

  /** Something authentic came from a member. */
  heard(peer: Peer): void {
    if (!this.#context.roster.membership.heard(peer.id, this.#context.now)) return
    peer.head = Infinity
    this.#context.outlet.push({ kind: 'member', id: peer.id, change: 'back' })
    this.#hooks.changed()
  }

  heardBy(peer: Peer, by: Path): void {
    if (by === 'multicast') peer.heardMulticastAt = this.#context.now
    else if (by === 'unicast') peer.heardUnicastAt = this.#context.now
    this.heard(peer)
    if (by !== 'stream' && !peer.told[by])
      this.#tellHearing(peer, this.#hearing(peer), false)
  }

  heartbeat(peer: Peer, heartbeat: Heartbeat): void {
    const fresh = this.#context.now >= peer.headFrom
    if (peer.head === Infinity && fresh) peer.head = heartbeat.last
    if (heartbeat.ready === peer.ready) return
    peer.ready = heartbeat.ready
    this.#hooks.changed()
  }

  accused(subject: SenderTag): void {
    const { options, roster, sender, outlet, counters, now } = this.#context
    if (subject === options.sender) {
      this.#refutations = (this.#refutations + 1) % 256
      counters.refutations += 1
      this.heartbeats.hurry(this.#context.now)
      return
    }
    const peer = roster.bySender(subject)
    if (peer === undefined) return
    const ago = now - roster.membership.heardAt(peer.id)
    if (ago > options.settings.heartbeat * 2) return
    const body = writeAccusation({ subject, number: ago })
    outlet.spread(sender.control(datagramTypes.vouch, body, now), false)
  }

  vouched(subject: SenderTag, ago: number): void {
    const peer = this.#context.roster.bySender(subject)
    if (peer !== undefined)
      this.#context.roster.membership.vouched(peer.id, ago, this.#context.now)
  }

  left(peer: Peer, change: 'left' | 'gone' = 'left'): void {
    this.#context.roster.remove(peer.id)
    this.#context.outlet.push({ kind: 'member', id: peer.id, change })
    this.#hooks.lost(peer)
    if (change === 'gone') this.#hooks.died(peer)
    this.#hooks.changed()
  }

  /** Membership and paths; `healthy`: our own silence does not come from ourselves. */
  check(healthy: boolean): void {
    const { options, roster, now } = this.#context
    // A link that stands is a sign of life: its own heartbeats see to that.
    if (!options.datagrams)
      for (const peer of roster.all()) if (peer.connected) this.heard(peer)
    for (const answer of roster.membership.check(now, healthy)) this.#act(answer)
    if (!options.datagrams) return
    for (const peer of roster.all()) {
      const hearing = this.#hearing(peer)
      const { told } = peer
      if (hearing.multicast !== told.multicast || hearing.unicast !== told.unicast)
        this.#tellHearing(peer, hearing, false)
      peer.dropOldKey(now)
      // A member that was never reached by datagrams has changed its path as little.
      if (!peer.pathSaid && peer.connected && this.#isProbed(peer)) this.#sayPath(peer)
    }
    this.keys.turn()
  }

  /** Our own loop stood still for `ms`: what it did not hear meanwhile proves nothing. */
  excuse(ms: number): void {
    const { roster, options, now } = this.#context
    roster.membership.excuse(now)
    for (const peer of roster.all()) {
      peer.heardMulticastAt += ms
      peer.heardUnicastAt += ms
      if (ms <= standstill(options)) continue
      peer.head = Infinity
      peer.headFrom = now + backlogTime
      if (!options.datagrams && peer.connected)
        this.#context.outlet.message(peer.id, { type: 'ping' })
    }
    this.#hooks.changed()
  }

  #introduceToAll(): void {
    for (const id of this.#connected.keys()) this.#introduce(id)
  }

  #introduce(id: string): void {
    const { options, sender, outlet } = this.#context
    outlet.message(id, {
      type: 'announce',
      joining: this.#joining,
      serves: this.#serves,
      repository: options.repository,
      metRepository: this.#metRepository,
      sender: options.sender,
      last: sender.last,
      port: options.port,
      ...this.keys.current,
    })
    this.keys.introduced(id)
  }

  /** A member that we do not know, or a new life of one that we did. */
  #meet(
    id: string,
    message: ControlMessage & { type: 'announce' },
    address: { host: string; port: number },
  ): void {
    const { options, roster, outlet, now } = this.#context
    const before = roster.remove(id)
    if (before !== undefined) {
      this.#hooks.lost(before)
      this.#hooks.died(before)
    }
    const { epoch, epochKey, sender, repository, metRepository, serves } = message
    this.#metRepository ||= repository
    const peer = new Peer(
      { id, sender, repository, metRepository, serves, ready: !message.joining },
      address,
      { epoch, epochKey },
      message.last,
      options,
      now,
    )
    roster.add(peer, now)
    outlet.push({ kind: 'member', id, change: 'joined' })
    // One that is joining and never wrote has nothing that we could lack.
    if (!message.joining || message.last > 0) this.#hooks.incomplete(peer)
  }

  #act({ kind, id }: MembershipAnswer): void {
    const { roster, outlet, sender, counters, now } = this.#context
    const peer = roster.get(id)
    if (peer === undefined) return
    if (kind === 'probe') {
      if (peer.connected) outlet.message(id, { type: 'ping' })
    } else if (kind === 'suspect') {
      counters.suspicions += 1
      const body = writeAccusation({ subject: peer.sender, number: 0 })
      outlet.spread(sender.control(datagramTypes.suspect, body, now), false)
      outlet.push({ kind: 'member', id, change: 'suspect' })
      this.#hooks.changed()
    } else if (kind === 'gone') {
      outlet.push({ kind: 'member', id, change: 'gone' })
      this.#hooks.lost(peer)
      this.#hooks.died(peer)
      this.#hooks.changed()
    } else roster.remove(id)
  }

  #hearing(peer: Peer): Hearing {
    const { now, options } = this.#context
    const time = missedOnPath * options.settings.heartbeat
    const multicast = peer.heardMulticastAt > now - time
    // Whom multicast reaches is sent a heartbeat of its own less often.
    const unicast = peer.heardUnicastAt > now - (multicast ? probeEvery * time : time)
    return { multicast, unicast }
  }

  #tellHearing(peer: Peer, hearing: Hearing, always: boolean): void {
    if (!peer.connected) return
    if (!always && !hearing.multicast && !hearing.unicast) {
      // Silence on every way is for the membership to judge, unless the stream says otherwise.
      const { membership } = this.#context.roster
      if (membership.state(peer.id) !== 'alive') return
    }
    peer.told = hearing
    this.#context.outlet.message(peer.id, { type: 'hears', ...hearing })
    wake(this.#context, this.#context.now)
  }

  #isProbed({ metAt }: Peer): boolean {
    const { now, options } = this.#context
    return now - metAt > missedOnPath * options.settings.heartbeat
  }

  #sayPath(peer: Peer): void {
    peer.pathSaid = true
    this.#context.outlet.push({ kind: 'path', id: peer.id, path: peer.path })
  }

  #bestPath({ multicast, unicast }: Hearing): Path {
    if (multicast && this.#context.options.multicast) return 'multicast'
    return unicast ? 'unicast' : 'stream'
  }
}
