import { type ControlMessage, readControlMessage } from '../../wire/control-message.ts'
import { datagramTypes, isDataType, type SenderTag } from '../../wire/datagram.ts'
import {
  readAccusation,
  readGone,
  readHeartbeat,
  readNack,
  readStatus,
  writeGone,
  writeHeartbeat,
} from '../../wire/datagram-control.ts'
import type { TransportStats } from '../transport.ts'
import { Counters } from './counters.ts'
import { type EngineContext, type EngineOptions, wake } from './engine-context.ts'
import type { PacketAction, PacketEvent } from './engine-event.ts'
import { engineStats } from './engine-stats.ts'
import { Intake, type Opened } from './intake.ts'
import { Outlet } from './outlet.ts'
import type { Path, Peer } from './peer.ts'
import { Peers, probeEvery, standstill } from './peers.ts'
import { Publication } from './publication.ts'
import { Reception } from './reception.ts'
import { Roster } from './roster.ts'
import { Sender } from './sender.ts'

/** An event loop that comes so much too late, ms, may have missed what others said. */
const lateLoop = 100
/** ... and so much, that its own datagrams may lie unread in the socket. */
const lateCopies = 5
/**
 * After a round, ms for each record in the table: looking at one costs some 2 us here and as
 * much at the one that is asked, so rounds take 2 % of a core at most, however large the table.
 */
const restPerRecord = 0.2
/** After a member is gone, others may hold what it sent last and we do not; ms. */
const roundAfterLoss = 1_000

/**
 * The communicator of one member without sockets, clocks or timers: an event goes in with the
 * time at which it happened, what is to be done comes out. A record is in the table before
 * anything that follows from it leaves; that is what an acknowledgement means here.
 */
export class PacketEngine {
  readonly roster: Roster
  readonly #context: EngineContext
  readonly #intake: Intake
  readonly #publication: Publication
  readonly #reception: Reception
  readonly #peers: Peers
  #roundAt: number
  #probedAt = -Infinity
  #lag = 0
  #connected = false
  #joining = true
  #left = false
  #changed = false

  constructor(options: EngineOptions, now: number) {
    const { settings, sender: self, farmTag } = options
    const epochKey = options.newKey()
    const counters = new Counters()
    const identity = { self, farmTag, epoch: 0, epochKey }
    const sender = new Sender(settings, identity, options.last, options.datagrams)
    this.roster = new Roster(options.id, settings.heartbeat, now, options.datagrams)
    const { roster } = this
    const outlet = new Outlet(roster)
    this.#context = { options, roster, sender, counters, outlet, now, wakeAt: now }
    this.#intake = new Intake(self, farmTag, this.#context)
    this.#publication = new Publication(this.#context, () => this.#peers.introduced)
    this.#reception = new Reception(this.#context, () => !this.#joining)
    this.#peers = new Peers(this.#context, epochKey, {
      incomplete: peer => this.#reception.fetchTable(peer),
      changed: () => {
        this.#changed = true
      },
      lost: peer => this.#lost(peer),
      linked: (peer, told) => {
        this.#publication.feeds.begin(peer.id, told)
        this.#reception.linked(peer)
      },
    })
    this.#roundAt = now + settings.antiEntropy
  }

  /** When the next `tick` is wanted. */
  get deadline(): number {
    return this.#context.wakeAt
  }

  /** Under what name our datagrams travel. */
  get tag(): SenderTag {
    return this.#context.options.sender
  }

  get ready(): boolean {
    return !this.#joining
  }

  /** See Transport.isCurrent. Not after a standstill since which nothing was handled. */
  current(now: number): boolean {
    if (now - this.#context.wakeAt > standstill(this.#context.options)) return false
    const complete = !this.#joining && this.#reception.synchronizer.needed === 0
    return complete && this.#peers.current
  }

  stats(): TransportStats {
    return engineStats(this.#context, {
      lag: this.#lag,
      waiting: this.#publication.waiting,
      synchronizer: this.#reception.synchronizer,
    })
  }

  handle(event: PacketEvent, now: number): PacketAction[] {
    const late = Math.max(0, now - this.#context.wakeAt)
    this.#context.now = now
    if (late > lateLoop) this.#excuse(late)
    switch (event.kind) {
      case 'datagram':
        this.#datagram(event.datagram, event.from, event.by)
        break
      case 'message':
        this.#message(event.from, event.message)
        break
      case 'up':
        this.#peers.up(event.peer)
        break
      case 'down':
        this.#peers.down(event.id)
        break
      case 'gone':
        this.#peers.gone(event.id)
        break
      case 'refused':
        this.#peers.refused(event.id)
        break
      case 'drained':
        this.#publication.feeds.drained(event.id)
        break
      case 'connected':
        this.#connected = true
        wake(this.#context, now)
        break
      case 'publish':
        this.#publication.write(event)
        break
      case 'tick':
        this.#tick(late)
        break
      case 'rotate':
        this.#peers.rotate()
        break
      case 'leave':
        this.#leave()
        break
    }
    if (this.#changed) this.#rearrange()
    // Writes of one turn of the event loop share datagrams: they leave at its end, by a tick.
    const waits = event.kind === 'publish' && !this.#context.sender.full
    if (!this.#left && !waits && this.#publication.pump())
      this.#peers.heartbeats.data(now)
    wake(this.#context, this.#context.sender.deadline(now))
    wake(this.#context, this.#publication.deadline)
    if (this.#context.options.datagrams)
      wake(this.#context, this.#peers.heartbeats.deadline)
    return this.#context.outlet.take()
  }

  #tick(late: number): void {
    const { options, roster, sender, now } = this.#context
    this.#context.wakeAt = Infinity
    this.#lag += (late - this.#lag) / 8
    this.#publication.expire(late > lateCopies)
    if (now >= roster.membership.deadline) this.#check()
    for (const peer of roster.all()) {
      if (!roster.gone(peer)) this.#reception.due(peer)
      wake(this.#context, this.#reception.deadline(peer))
    }
    const { synchronizer } = this.#reception
    if (synchronizer.deadline() <= now)
      synchronizer.tick(now, donor => roster.get(donor)?.ready === true)
    if (now >= this.#roundAt) this.#round()
    if (options.datagrams && !this.#left && this.#peers.heartbeats.due(now)) this.#beat()
    if (this.#joining) this.#tryComplete()
    sender.ring.purge(now)
    wake(this.#context, roster.membership.deadline)
    wake(this.#context, synchronizer.deadline())
    wake(this.#context, this.#roundAt)
  }

  // -- what comes in

  #datagram(datagram: Buffer, from: string, by: Path): void {
    this.#context.counters.datagramsReceived += 1
    const opened = this.#intake.open(datagram, from, this.#context.now)
    if (opened === undefined) return
    this.#peers.heardBy(opened.peer, by)
    if (isDataType(opened.header.type)) {
      this.#reception.data(opened)
      return
    }
    try {
      this.#control(opened)
    } catch {
      this.#context.counters.malformed += 1
    }
  }

  #control({ peer, header, body }: Opened): void {
    const { options, roster, now } = this.#context
    switch (header.type) {
      case datagramTypes.heartbeat: {
        const heartbeat = readHeartbeat(body)
        this.#peers.heartbeat(peer, heartbeat)
        this.#reception.heartbeat(peer, heartbeat)
        return
      }
      case datagramTypes.nack: {
        const nack = readNack(body)
        if (nack.target === options.sender) this.#repair(peer, nack.ranges)
        else roster.bySender(nack.target)?.detector.overheard(nack.ranges, now)
        return
      }
      case datagramTypes.status: {
        const status = readStatus(body)
        if (status.target === options.sender) this.#publication.acknowledged(peer, status)
        return
      }
      case datagramTypes.gone: {
        const gone = readGone(body)
        if (gone.target === options.sender) this.#reception.gone(peer, gone.tail)
        return
      }
      case datagramTypes.suspect:
        this.#peers.accused(readAccusation(body).subject)
        return
      case datagramTypes.vouch: {
        const { subject, number } = readAccusation(body)
        this.#peers.vouched(subject, number)
        return
      }
      case datagramTypes.leave:
        this.#peers.left(peer)
        return
    }
  }

  #message(from: string, bytes: Buffer): void {
    let message: ControlMessage
    try {
      message = readControlMessage(bytes)
    } catch {
      this.#context.counters.malformed += 1
      return
    }
    if (message.type === 'announce') {
      this.#peers.announced(from, message)
      return
    }
    const peer = this.#context.roster.get(from)
    if (peer === undefined) return
    this.#peers.heard(peer)
    this.#fromPeer(peer, message)
  }

  #fromPeer(peer: Peer, message: ControlMessage): void {
    const { outlet, sender, now } = this.#context
    switch (message.type) {
      case 'key':
        this.#peers.rekeyed(peer, message)
        return
      case 'acker':
        peer.ack.appoint(message.on, now)
        wake(this.#context, peer.ack.deadline)
        return
      case 'hears':
        this.#peers.hears(peer, message)
        return
      case 'datagram':
        this.#datagram(message.datagram, peer.id, 'stream')
        return
      case 'pull':
        this.#publication.pulled(peer, message.ranges)
        return
      case 'gone':
        this.#reception.gone(peer, message.tail)
        return
      case 'ping':
        outlet.message(peer.id, { type: 'pong', last: sender.last })
        return
      case 'pong':
        this.#peers.answered(peer, message.last)
        return
      case 'data':
        this.#reception.message(peer, message)
        return
      case 'status':
        this.#publication.reached(peer, message)
        return
      case 'start':
        this.#publication.feeds.rewind(peer.id, message.after)
        return
      case 'held':
        this.#reception.orphans.told(peer, message.sender, message.contiguous)
        return
      case 'leave':
        this.#peers.left(peer)
        return
      case 'hint':
        this.#reception.synchronizer.want(peer.id, 'round', now)
        wake(this.#context, now)
        return
      case 'open':
      case 'vector':
      case 'next':
      case 'page':
        this.#reception.synchronizer.message(peer.id, message, now)
        wake(this.#context, this.#reception.synchronizer.deadline())
        return
    }
  }

  // -- what goes out

  #repair(peer: Peer, ranges: Parameters<Publication['repair']>[1]): void {
    const { sender, outlet, now } = this.#context
    if (!this.#publication.repair(peer, ranges)) return
    const body = writeGone({ target: peer.sender, tail: sender.tail })
    outlet.direct(peer, sender.control(datagramTypes.gone, body, now))
  }

  /** Heartbeats go every way, for they also find out which ways are open. */
  #beat(): void {
    const { roster, sender, outlet, options, counters, now } = this.#context
    const body = writeHeartbeat({
      last: sender.last,
      tail: sender.tail,
      lag: this.#lag,
      ready: !this.#joining,
      healthy: this.#healthy,
      flush: this.#publication.unanswered,
      refutations: this.#peers.refutations,
    })
    const seal = (): Buffer => {
      counters.heartbeatsSent += 1
      return sender.control(datagramTypes.heartbeat, body, now)
    }
    if (options.multicast && roster.size > 0) outlet.multicast(seal())
    const probing = now - this.#probedAt >= probeEvery * options.settings.heartbeat
    if (probing) this.#probedAt = now
    for (const peer of roster.all()) {
      if (peer.path !== 'multicast' || (probing && !roster.gone(peer)))
        outlet.unicast(peer, seal())
      if (peer.path === 'stream' && !roster.gone(peer)) outlet.direct(peer, seal())
    }
  }

  get #healthy(): boolean {
    return this.#context.sender.ownLoop.healthy && this.#lag < lateLoop
  }

  #leave(): void {
    const { roster, sender, outlet, now } = this.#context
    this.#publication.close()
    this.#left = true
    const body = Buffer.alloc(0)
    outlet.spread(sender.control(datagramTypes.leave, body, now), false)
    for (const peer of roster.all())
      if (peer.connected) outlet.message(peer.id, { type: 'leave' })
  }

  // -- who is there

  #check(): void {
    this.#peers.check(this.#healthy)
    // Silent ackers and late joiners change whom a write can count on.
    this.#changed = true
  }

  #rearrange(): void {
    this.#changed = false
    const { roster, options } = this.#context
    roster.regroup(options.multicast)
    this.#publication.reappoint()
    this.#publication.settle()
    if (this.#joining) wake(this.#context, this.#context.now)
  }

  #lost(peer: Peer): void {
    this.#reception.synchronizer.lost(peer.id)
    if (!this.#context.options.datagrams) {
      this.#publication.feeds.end(peer.id)
      this.#reception.orphans.lost(peer)
      return
    }
    this.#roundAt = Math.min(
      this.#roundAt,
      this.#context.now + roundAfterLoss * (1 + this.#context.options.random()),
    )
    wake(this.#context, this.#roundAt)
  }

  #excuse(late: number): void {
    this.#context.counters.lateTicks += 1
    this.#peers.excuse(late)
    this.#context.sender.expire(this.#context.now, true)
  }

  /** Compares tables with some other member. */
  #round(): void {
    const { roster, options, now } = this.#context
    const { antiEntropy } = options.settings
    const pause = Math.max(
      antiEntropy,
      this.#reception.synchronizer.tableLength * restPerRecord,
    )
    this.#roundAt = now + pause * (0.75 + options.random() / 2)
    const others = roster.serving().filter(peer => peer.connected)
    const other = others[Math.floor(options.random() * others.length)]
    if (other !== undefined) this.#reception.synchronizer.want(other.id, 'round', now)
  }

  #tryComplete(): void {
    const { options, roster, outlet } = this.#context
    if (!this.#connected || !this.#peers.introduced) return
    if (this.#reception.synchronizer.needed > 0) return
    for (const peer of roster.all())
      if (!roster.gone(peer) && !peer.settled && (peer.connected || !options.datagrams))
        return
    this.#joining = false
    this.#peers.complete()
    outlet.push({ kind: 'ready' })
  }
}
