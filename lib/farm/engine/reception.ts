import { maxClockLead } from '../../record/hybrid-clock.ts'
import { type CacheRecord, readRecord, recordLength } from '../../record/record.ts'
import type { ControlMessage } from '../../wire/control-message.ts'
import { ackRequestedFlag, datagramTypes } from '../../wire/datagram.ts'
import { readFragment } from '../../wire/datagram-batch.ts'
import {
  type Heartbeat,
  type SequenceRange,
  writeNack,
  writeStatus,
} from '../../wire/datagram-control.ts'
import type { VectorEntry } from '../../wire/sync-message.ts'
import { backedPause } from '../backed.ts'
import type { Peer } from '../peer/peer.ts'
import { receiveWindowLength } from '../peer/receive-window.ts'
import { Synchronizer } from '../sync/synchronizer.ts'
import type { Reason } from '../sync/table-want.ts'
import type { Replica } from '../transport.ts'
import { type EngineContext, wake } from './engine-context.ts'
import type { Opened } from './intake.ts'
import { Orphans } from './orphans.ts'

/** Between two looks at whether what is in the table is everywhere behind it, ms. */
const settlePause = 2

export interface ReceptionParts {
  /** Of this member, what the other is to have too. */
  spread(other: string): Replica
  /** The other is to have all that is here, and we what it has. */
  isAlike(other: string): boolean
  ready(): boolean
  /** A record comes that is for every member. */
  came(record: CacheRecord): void
}

/**
 * What the others write: into the table on arrival, in whatever order it comes, for records
 * carry versions. Sequence numbers only say what is missing and what may be acknowledged.
 */
export class Reception {
  readonly synchronizer: Synchronizer
  readonly orphans: Orphans
  readonly #context: EngineContext
  readonly #came: ReceptionParts['came']
  readonly #isAlike: ReceptionParts['isAlike']
  /** Whose windows begin where the table that is being fetched ends. */
  readonly #lowered = new Set<Peer>()

  constructor(context: EngineContext, parts: ReceptionParts) {
    const { spread, isAlike, ready } = parts
    this.#context = context
    this.#came = parts.came
    this.#isAlike = isAlike
    const { random, wall } = context.options
    this.orphans = new Orphans(context, (peer, lacked) => this.fetchTable(peer, lacked))
    this.synchronizer = new Synchronizer(
      spread,
      {
        ready,
        wall,
        vector: () => this.#vector(),
        send: (to, message) => context.outlet.message(to, message),
        apply: (record, donor) =>
          isAlike(donor) ? this.apply(record, donor) : this.#spread(record, donor),
        started: (donor, donorReady, vector) => this.#started(donor, donorReady, vector),
        completed: (donor, donorReady, vector) =>
          this.#completed(donor, donorReady, vector),
      },
      random,
    )
  }

  /** Data that came over a link: in order, and once but after a rewind. */
  message(peer: Peer, message: ControlMessage & { type: 'data' }): void {
    const { sequence, ackRequested: requested, tail, body } = message
    const { window } = peer
    if (!window.fresh(sequence)) {
      this.#context.counters.duplicates += 1
      return
    }
    try {
      this.#applyRecords(peer, body)
    } catch {
      this.#context.counters.malformed += 1
      this.#lack(peer)
    }
    window.mark(sequence)
    const { now } = this.#context
    peer.ack.data({ sequence, sentAt: 0, requested }, window.contiguous, now)
    peer.tail = Math.max(peer.tail, tail)
    this.#look(peer, sequence)
  }

  /** A link stands: what the one before it did not bring must be sent once more. */
  linked(peer: Peer): void {
    const { window, ack } = peer
    this.orphans.met(peer)
    if (!window.complete) this.#rewind(peer, window.contiguous)
    // What we said last may have been lost with the link.
    ack.flush(window.known, window.contiguous, this.#context.now)
    wake(this.#context, ack.deadline)
  }

  data({ peer, header, body }: Opened): void {
    const { window } = peer
    try {
      if (header.type !== datagramTypes.fragment) this.#applyRecords(peer, body)
      else if (!this.#takeFragment(peer, header.sequence, body)) return
    } catch {
      // Authentic and still not readable: another version, or a member gone wrong.
      this.#context.counters.malformed += 1
    }
    window.mark(header.sequence)
    this.#context.sender.ownLoop.passed()
    const requested = (header.flags & ackRequestedFlag) !== 0
    peer.ack.data({ ...header, requested }, window.contiguous, this.#context.now)
    peer.tail = Math.max(peer.tail, header.tail)
    this.#look(peer, header.sequence)
  }

  heartbeat(peer: Peer, heartbeat: Heartbeat): void {
    peer.window.learn(heartbeat.last)
    peer.tail = Math.max(peer.tail, heartbeat.tail)
    if (heartbeat.flush)
      peer.ack.flush(heartbeat.last, peer.window.contiguous, this.#context.now)
    this.#look(peer, heartbeat.last)
  }

  /** The other side says that it can't repair below `tail`. */
  gone(peer: Peer, tail: number): void {
    peer.window.learn(tail - 1)
    peer.tail = Math.max(peer.tail, tail)
    this.#look(peer, 0)
  }

  /** Fetches what the member's table has and ours may lack. */
  fetchTable(peer: Peer, reason: Reason = 'met'): void {
    const { counters, now } = this.#context
    if (this.synchronizer.want(peer.id, reason, now)) counters.resyncs += 1
    wake(this.#context, now)
  }

  /** Asks for what is missing and acknowledges what is due, for one sender. */
  due(peer: Peer): void {
    const { now } = this.#context
    const loss = peer.detector.due(now)
    const ranges = loss === undefined ? [] : repairable(loss.ranges, peer.tail)
    if (loss !== undefined && ranges.length > 0) {
      if (loss.kind === 'pull' && peer.connected) this.#pull(peer, ranges)
      else this.#nack(peer, ranges)
    }
    if (!this.#isSettled || now < peer.ack.deadline) return
    const { contiguous } = peer.window
    const upTo = peer.settled
      ? peer.backed.upTo(contiguous, this.#context.options.replica.backing)
      : contiguous
    peer.isHeld = upTo < contiguous
    if (peer.isHeld && upTo <= peer.ack.said) return
    const echo = peer.ack.due(upTo, now)
    if (echo !== undefined) this.#acknowledge(peer, echo, upTo)
    if (peer.isHeld) peer.ack.again(now)
  }

  /** False when the record is not in the table, nor need not be. */
  apply(record: CacheRecord, from: string): boolean {
    const { counters } = this.#context
    const { replica, wall, ahead } = this.#context.options
    if (record.version.ms > wall() + maxClockLead) {
      counters.refusedFuture += 1
      return false
    }
    const lead = ahead?.(from) ?? 0
    const expiresAt = Math.max(0, record.expiresAt - lead)
    try {
      if (replica.apply(lead === 0 ? record : { ...record, expiresAt }))
        counters.recordsApplied += 1
      else counters.recordsIgnored += 1
      return true
    } catch {
      counters.applyErrors += 1
      return false
    }
  }

  /** When something of this sender's is next due. */
  deadline(peer: Peer): number {
    const { ack, detector } = peer
    const pause = peer.isHeld ? backedPause : this.#isSettled ? 0 : settlePause
    const ackAt = Math.max(ack.deadline, pause > 0 ? this.#context.now + pause : 0)
    return Math.min(detector.deadline, ackAt)
  }

  get #isSettled(): boolean {
    return this.#context.options.replica.isSettled?.() !== false
  }

  #nack(peer: Peer, ranges: readonly SequenceRange[]): void {
    const { sender, outlet, counters, now } = this.#context
    counters.nacksSent += 1
    const body = writeNack({ target: peer.sender, ranges })
    outlet.aloud(peer, sender.control(datagramTypes.nack, body, now))
  }

  #pull(peer: Peer, ranges: readonly SequenceRange[]): void {
    this.#context.counters.pullsSent += 1
    this.#context.outlet.message(peer.id, { type: 'pull', ranges })
  }

  #acknowledge(
    peer: Peer,
    { echo, held }: { echo: number; held: number },
    contiguous: number,
  ): void {
    const { options, sender, outlet, counters, now } = this.#context
    const { highest } = peer.window
    counters.acksSent += 1
    if (!options.datagrams) {
      outlet.message(peer.id, { type: 'status', settled: peer.settled, contiguous })
      return
    }
    const body = writeStatus({
      target: peer.sender,
      // Until our table backs it, an acknowledgement would be a lie.
      contiguous: peer.settled ? contiguous : 0,
      highest,
      window: peer.settled ? receiveWindowLength : 0,
      echo,
      held,
    })
    outlet.direct(peer, sender.control(datagramTypes.status, body, now))
  }

  #look(peer: Peer, sequence: number): void {
    if (peer.tail > peer.window.contiguous + 1 && this.#cutOff(peer)) this.#lack(peer)
    if (this.#context.options.datagrams)
      peer.detector.look(sequence, peer.group, this.#context.now)
    wake(this.#context, Math.min(peer.detector.deadline, peer.ack.deadline))
  }

  /** Something is missing that the sender no longer has. */
  #cutOff(peer: Peer): boolean {
    return peer.window.missing(0, peer.tail - 1, 1, 1).length > 0
  }

  #takeFragment(peer: Peer, sequence: number, body: Buffer): boolean {
    if (!peer.reassembly.accepts(sequence, peer.window.contiguous)) return false
    const whole = peer.reassembly.add(sequence, readFragment(body))
    if (whole !== undefined) this.#take(peer, readRecord(whole, 0))
    return true
  }

  #applyRecords(peer: Peer, body: Buffer): void {
    for (let offset = 0; offset < body.length; ) {
      const record = readRecord(body, offset)
      this.#take(peer, record)
      offset += recordLength(record)
    }
  }

  /** One that can't be taken leaves the table without it: nothing more is acknowledged then. */
  #take(peer: Peer, record: CacheRecord): void {
    if (!this.#spread(record, peer.id)) this.#lack(peer)
  }

  #spread(record: CacheRecord, from: string): boolean {
    this.#came(record)
    return this.apply(record, from)
  }

  #lack(peer: Peer): void {
    peer.settled = false
    if (peer.connected && !this.synchronizer.lacks(peer.id)) this.fetchTable(peer, 'lost')
  }

  /** Of each sender, up to where our table has everything that it wrote. */
  #vector(): VectorEntry[] {
    const { roster, sender, options } = this.#context
    const vector = [{ sender: options.sender, contiguous: sender.last }]
    for (const { settled, sender: from, whole } of roster.all())
      if (settled) vector.push({ sender: from, contiguous: whole })
    for (const [from, contiguous] of this.orphans.past())
      vector.push({ sender: from, contiguous })
    return vector
  }

  /** What came to the donor after its walk began must come to us as datagrams. */
  #started(donor: string, donorReady: boolean, vector: readonly VectorEntry[]): void {
    this.#lowered.clear()
    for (const { peer, contiguous } of this.#backed(donor, donorReady, vector))
      this.#lower(peer, contiguous)
  }

  #completed(donor: string, donorReady: boolean, vector: readonly VectorEntry[]): void {
    for (const { peer, contiguous } of this.#backed(donor, donorReady, vector)) {
      // We may have met it while the pages came: 1. vector: D has 1..7 of P; 2. P says that
      // its next is 12; 3. last page. 8..11 are neither in the pages nor awaited yet.
      if (!this.#lowered.has(peer)) this.#lower(peer, contiguous)
      peer.window.skip(contiguous)
      peer.reassembly.forget(peer.window.contiguous)
      // What was lost while the table came may not be in it.
      if (this.synchronizer.lacks(peer.id)) continue
      // What was said before our table backed it counted for nothing.
      const counts = !peer.settled || !this.#context.options.datagrams
      peer.settled = true
      // One that has not all sessions tells nothing of those that have.
      if (this.#isAlike(donor) || !this.#isAlike(peer.id))
        this.synchronizer.satisfied(peer.id)
      if (counts)
        peer.ack.flush(peer.window.contiguous, peer.window.contiguous, this.#context.now)
      this.#look(peer, 0)
    }
    if (!donorReady) return
    this.synchronizer.has(vector)
    const { roster, options } = this.#context
    for (const { sender, contiguous } of vector)
      if (sender !== options.sender && roster.bySender(sender) === undefined)
        this.orphans.note(sender, contiguous)
  }

  #lower(peer: Peer, contiguous: number): void {
    this.#lowered.add(peer)
    if (peer.settled || contiguous >= peer.window.contiguous) return
    peer.window.lower(contiguous)
    if (!this.#context.options.datagrams) {
      this.#rewind(peer, contiguous)
      return
    }
    peer.detector.restart(peer.group, this.#context.now)
    wake(this.#context, peer.detector.deadline)
  }

  #rewind(peer: Peer, after: number): void {
    if (peer.connected) this.#context.outlet.message(peer.id, { type: 'start', after })
  }

  /** A donor that is still joining can answer for what it wrote itself, no more. */
  *#backed(
    donor: string,
    donorReady: boolean,
    vector: readonly VectorEntry[],
  ): Generator<{ peer: Peer; contiguous: number }> {
    for (const { sender, contiguous } of vector) {
      const peer = this.#context.roster.bySender(sender)
      if (peer !== undefined && (donorReady || peer.id === donor))
        yield { peer, contiguous }
    }
  }
}

/** What lies below the sender's tail is not worth asking for. */
function repairable(ranges: readonly SequenceRange[], tail: number): SequenceRange[] {
  return ranges
    .map(({ first, length }) => {
      const from = Math.max(first, tail)
      return { first: from, length: first + length - from }
    })
    .filter(({ length }) => length > 0)
}
