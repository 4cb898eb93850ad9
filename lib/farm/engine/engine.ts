import type { TableId } from '../../record/key.ts'
import { datagramTypes, type SenderTag } from '../../wire/datagram.ts'
import { writeHeartbeat } from '../../wire/datagram-control.ts'
import type { Peer } from '../peer/peer.ts'
import { Roster } from '../peer/roster.ts'
import type { Owners, PlacedMember } from '../placement/ownership.ts'
import { Placement } from '../placement/placement.ts'
import { spreadReplica } from '../placement/spread-replica.ts'
import { replicated } from '../placement/topology.ts'
import { Sender } from '../sending/sender.ts'
import type { TransportStats } from '../transport.ts'
import { Counters } from './counters.ts'
import { type EngineContext, type EngineOptions, wake } from './engine-context.ts'
import type { PacketAction, PacketEvent } from './engine-event.ts'
import { engineStats } from './engine-stats.ts'
import { Incoming } from './incoming.ts'
import { Outlet } from './outlet.ts'
import { Peers, probeEvery, standstill } from './peers.ts'
import { Publication } from './publication.ts'
import { Reception } from './reception.ts'

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
  readonly #incoming: Incoming
  readonly #publication: Publication
  readonly #reception: Reception
  readonly #peers: Peers
  readonly #placement: Placement
  #roundAt: number
  /** When all but the placement is next due. */
  #restAt: number
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
    this.#placement = this.#createPlacement()
    this.#publication = new Publication(this.#context, () => this.#peers.introduced)
    const spread = spreadReplica(options.replica, record =>
      this.#placement.isSpread(record),
    )
    this.#reception = new Reception(this.#context, {
      spread: other => (this.#isAlike(other) ? options.replica : spread),
      isAlike: other => this.#isAlike(other),
      ready: () => !this.#joining,
      came: record => this.#placement.spread(record),
    })
    this.#peers = new Peers(this.#context, epochKey, {
      incomplete: peer => this.#reception.fetchTable(peer),
      changed: () => {
        this.#changed = true
      },
      lost: peer => this.#lost(peer),
      died: () => this.#placement.died(),
      linked: (peer, told) => {
        this.#publication.feeds.begin(peer.id, told)
        this.#reception.linked(peer)
      },
    })
    this.#incoming = new Incoming(this.#context, {
      publication: this.#publication,
      reception: this.#reception,
      peers: this.#peers,
      placement: this.#placement,
    })
    this.#roundAt = now + settings.antiEntropy
    this.#restAt = now
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

  /** The others have given this member what it is to hold. */
  get isBrought(): boolean {
    return this.#placement.isBrought
  }

  /** Members to ask for a key; undefined: all. */
  owners(table: TableId, key: Buffer, now: number): Owners | undefined {
    return this.#placement.ownership.owners(table, key, now)
  }

  stats(): TransportStats {
    return engineStats(this.#context, {
      lag: this.#lag,
      waiting: this.#publication.waiting,
      synchronizer: this.#reception.synchronizer,
      placement: this.#placement,
    })
  }

  handle(event: PacketEvent, now: number): PacketAction[] {
    const late = Math.max(0, now - this.#context.wakeAt)
    this.#context.now = now
    this.#context.wakeAt = this.#restAt
    if (late > lateLoop) this.#excuse(late)
    switch (event.kind) {
      case 'datagram':
        this.#incoming.datagram(event.datagram, event.from, event.by)
        break
      case 'message':
        this.#incoming.message(event.from, event.message)
        break
      case 'up':
        this.#placement.up(event.peer.id)
        this.#peers.up(event.peer)
        break
      case 'down':
        this.#placement.down(event.id)
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
        if (!this.#placement.ownership.isDurable)
          this.#context.counters.writesNotDurable += 1
        if (this.#placement.write(event.record, event, now)) break
        this.#placement.spread(event.record)
        this.#publication.write(event)
        break
      case 'tick':
        this.#tick(late)
        break
      case 'rotate':
        this.#peers.keys.rotate()
        break
      case 'serve':
        this.#peers.serve()
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
    this.#restAt = this.#context.wakeAt
    wake(this.#context, this.#placement.deadline(now))
    return this.#context.outlet.take()
  }

  #tick(late: number): void {
    const { options, roster, sender, now } = this.#context
    if (now >= this.#placement.deadline(now)) this.#placement.tick(now)
    // What follows looks at every other member.
    if (now < this.#restAt) return
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

  // -- what goes out

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
    this.#placement.close(now)
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
    if (options.datagrams) roster.regroup(options.multicast)
    this.#publication.reappoint()
    this.#publication.settle()
    this.#placement.arrange(this.#placed(), this.#context.now)
    if (this.#joining) wake(this.#context, this.#context.now)
  }

  #placed(): PlacedMember[] {
    const { roster } = this.#context
    const connected = [...roster.all()].filter(peer => peer.connected)
    return connected.map(({ id, sender, ready, repository, metRepository }) => {
      const alive = roster.membership.state(id) === 'alive'
      return { id, life: sender, ready, alive, repository, metRepository }
    })
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

  #createPlacement(): Placement {
    const { options, outlet } = this.#context
    const { id, topology = replicated, replica, wall, repository } = options
    return new Placement({
      self: id,
      repository,
      topology,
      replica,
      wall,
      send: (to, message) => outlet.message(to, message),
      settle: (token, reached) => outlet.settle([{ token, reached }]),
      apply: (record, from) => this.#reception.apply(record, from),
      compare: other => {
        this.#reception.synchronizer.want(other, 'round', this.#context.now)
        wake(this.#context, this.#context.now)
      },
    })
  }

  /** Both are repositories that have all. */
  #isAlike(other: string): boolean {
    if (!this.#placement.ownership.isAlike) return false
    return this.#context.roster.get(other)?.repository === true
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
