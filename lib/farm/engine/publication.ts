import type { CacheRecord } from '../../record/record.ts'
import type { SenderTag } from '../../wire/datagram.ts'
import type { SequenceRange, Status } from '../../wire/datagram-control.ts'
import type { Peer } from '../peer/peer.ts'
import { maxRepairsPerNack } from '../sending/repairs.ts'
import { type Settlement, type WriteWait, WriteWaits } from '../sending/write-waits.ts'
import type { WriteLevel } from '../transport.ts'
import { type EngineContext, wake } from './engine-context.ts'
import { LinkFeeds } from './link-feeds.ts'

export interface Write {
  readonly record: CacheRecord
  readonly level: WriteLevel
  readonly budget: number
  /** Comes back when the write is settled. */
  readonly token: number
}

/** What this member writes: out to the others, repaired for them, acknowledged by them. */
export class Publication {
  readonly feeds: LinkFeeds
  readonly #context: EngineContext
  readonly #introduced: () => boolean
  readonly #waits = new WriteWaits()
  /** Levels that the ackers alone can't tell us about: then everybody is asked. */
  #asks: Record<WriteLevel, boolean> = {
    local: false,
    one: true,
    repositories: true,
    all: true,
  }

  /** Nobody serves, so `all` asks nobody; nobody is there, so no level does. */
  #alone = true
  #deserted = true
  /** Who serves may have changed since writes were queued that are waited for. */
  #isRearranged = false

  /** `introduced`: nobody has a link and has not said yet who it is. */
  constructor(context: EngineContext, introduced: () => boolean) {
    this.#introduced = introduced
    this.#context = context
    this.feeds = new LinkFeeds(context)
  }

  get waiting(): number {
    return this.#waits.size
  }

  /** Somebody waits for an acknowledgement of something that has left. */
  get unanswered(): boolean {
    const { sender } = this.#context
    return this.#waits.unanswered || sender.acks.behind(sender.last)
  }

  get deadline(): number {
    return this.#waits.deadline
  }

  write({ record, level, budget, token }: Write): void {
    const { roster, sender, outlet, now } = this.#context
    // Nobody else is known: who comes later gets this record with the whole table.
    if (roster.size === 0 && this.#introduced()) {
      outlet.settle([{ token, reached: true }])
      return
    }
    // Nobody to wait for is no reason to wait.
    const nobody = level === 'all' ? this.#alone : this.#deserted
    const alone = nobody && this.#introduced()
    const waiting = level !== 'local' && !alone && budget > 0
    const wait: WriteWait = { token, level, expires: now + budget, sequence: 0 }
    if (waiting) this.#waits.add(wait)
    else outlet.settle([{ token, reached: level === 'local' || alone }])
    const dropped = sender.enqueue(
      {
        record,
        ackRequested: waiting && this.#asksAll(level),
        wait: waiting ? wait : undefined,
      },
      now,
    )
    this.#giveUp(dropped)
    wake(this.#context, this.#waits.deadline)
  }

  /** Sends what may be sent. True when datagrams left, that may get lost. */
  pump(): boolean {
    const isSent = this.#send()
    if (this.#isRearranged) this.#askLate()
    return isSent
  }

  #send(): boolean {
    const { options, sender, outlet, roster, counters, now } = this.#context
    const datagrams = sender.pump(now)
    counters.datagramsSent += datagrams.length
    if (!options.datagrams) {
      if (datagrams.length > 0) this.feeds.flush()
      return false
    }
    for (const datagram of datagrams) outlet.spread(datagram, true)
    for (const { datagram, to } of sender.repairs.take(now)) {
      counters.repairsSent += 1
      const peer = to === undefined ? undefined : roster.bySender(to)
      if (to === undefined) outlet.multicast(datagram)
      else if (peer !== undefined) outlet.direct(peer, datagram)
    }
    return datagrams.length > 0
  }

  /** A receiver asks for datagrams. True when some of them are no longer here. */
  repair(peer: Peer, ranges: readonly SequenceRange[]): boolean {
    const { sender, counters, now } = this.#context
    counters.nacksReceived += 1
    const asked = ranges.reduce((sum, { length }) => sum + length, 0)
    sender.ownLoop.asked(Math.min(asked, maxRepairsPerNack))
    const to = peer.path === 'multicast' ? undefined : peer.sender
    return sender.repairs.request(ranges, to, now)
  }

  /** The same over the stream: at once, for that path has its own flow control. */
  pulled(peer: Peer, ranges: readonly SequenceRange[]): void {
    const { sender, outlet } = this.#context
    let left = maxRepairsPerNack
    for (const { first, length } of ranges)
      for (let i = 0; i < length && left > 0; i++, left--) {
        const datagram = sender.ring.get(first + i)
        if (datagram !== undefined)
          outlet.message(peer.id, { type: 'datagram', datagram })
      }
    if (ranges.some(({ first }) => first < sender.tail))
      outlet.message(peer.id, { type: 'gone', tail: sender.tail })
  }

  acknowledged(peer: Peer, status: Status): void {
    const { sender, counters, now } = this.#context
    if (status.contiguous > sender.last) return
    counters.acksReceived += 1
    // It can't answer for anything yet; nobody should wait for it.
    if (status.window === 0) {
      sender.acks.leaveOut(peer.sender)
      return
    }
    peer.acked = Math.max(peer.acked, status.contiguous)
    sender.acks.acked(peer.sender, status.contiguous, status.window, sender.last, now)
    this.settle()
  }

  /** The same from a link. */
  reached(peer: Peer, status: { settled: boolean; contiguous: number }): void {
    this.acknowledged(peer, {
      target: this.#context.options.sender,
      contiguous: status.contiguous,
      highest: status.contiguous,
      window: status.settled ? Infinity : 0,
      echo: 0,
      held: 0,
    })
  }

  /** After acknowledgements, and after members have come or gone. */
  settle(): void {
    const { roster, sender, outlet } = this.#context
    // Who has just met us may serve, and must have it too.
    const meeting = !this.#introduced()
    outlet.settle(
      this.#waits.settle(level =>
        meeting && level === 'all' ? 0 : roster.reached(level, sender.last),
      ),
    )
  }

  /** Appoints the ackers that follow from who is there. */
  reappoint(): void {
    const { roster, sender, outlet, options, now } = this.#context
    const ackers = roster.ackers(options.settings)
    const tags = new Set<SenderTag>(ackers.map(peer => peer.sender))
    for (const tag of sender.acks.ids())
      if (!tags.has(tag)) {
        sender.acks.remove(tag)
        const dismissed = roster.bySender(tag)
        if (dismissed?.connected === true)
          outlet.message(dismissed.id, { type: 'acker', on: false })
      }
    for (const peer of ackers)
      if (!sender.acks.has(peer.sender)) {
        sender.acks.add(peer.sender, sender.last, now)
        outlet.message(peer.id, { type: 'acker', on: true })
      }
    const [serving, acting] = [roster.serving(), roster.acting()]
    this.#isRearranged = true
    this.#alone = acting.length === 0
    this.#deserted = [...roster.all()].every(peer => roster.gone(peer))
    const repositories = serving.filter(({ repository }) => repository)
    const answers = (peers: readonly Peer[]) => peers.every(peer => tags.has(peer.sender))
    this.#asks = {
      local: false,
      one: tags.size === 0,
      repositories: tags.size === 0 || !answers(repositories),
      all: !answers(acting),
    }
  }

  expire(late: boolean): void {
    const { sender, outlet, now } = this.#context
    sender.expire(now, late)
    outlet.settle(this.#waits.expire(now))
  }

  close(): void {
    this.#context.sender.clear()
    this.#context.outlet.settle(this.#waits.clear())
  }

  /**
   * Whom a write waits for is decided when it is settled, who is asked when it is queued: those
   * that have come to serve in between, or are ackers no longer, are asked one by one.
   */
  #askLate(): void {
    const { roster, sender, outlet } = this.#context
    const all = this.#waits.awaited('all')
    const kept = this.#waits.awaited('repositories')
    this.#isRearranged = all.isUnsent || kept.isUnsent
    const last = Math.max(all.last, kept.last)
    if (last === 0) return
    for (const peer of roster.acting()) {
      const upTo = peer.repository && peer.ready ? last : all.last
      if (!peer.connected || sender.acks.has(peer.sender)) continue
      if (upTo <= Math.max(peer.acked, peer.asked)) continue
      peer.asked = upTo
      outlet.message(peer.id, { type: 'ask', upTo })
    }
  }

  #asksAll(level: WriteLevel): boolean {
    const { size, silent } = this.#context.sender.acks
    return this.#asks[level] || (level !== 'all' && size === silent)
  }

  #giveUp(dropped: readonly WriteWait[] | undefined): void {
    if (dropped === undefined) return
    const settlements: Settlement[] = this.#waits.drop(dropped)
    this.#context.counters.dropped += 1
    this.#context.outlet.settle(settlements)
  }
}
