import { type ConnectionOptions, connect } from 'node:tls'
import type { Address } from '../../address.ts'
import type { Clock, Timer } from '../../clock.ts'
import { HandfastError } from '../../errors.ts'
import type { HybridClock } from '../../record/hybrid-clock.ts'
import { frameTypes, readMessage } from '../../wire/frame.ts'
import {
  type Greeting,
  type MemberState,
  readGreeting,
  readState,
  streamVersion,
  writeGreeting,
  writeState,
} from '../../wire/frame-greeting.ts'
import { readMissed, readSequence, writeSequence } from '../../wire/frame-log.ts'
import {
  type AnswerFrame,
  type GetFrame,
  readAnswer,
  writeGet,
} from '../../wire/frame-query.ts'
import {
  readSnapshot,
  readSynced,
  readSyncId,
  readVector,
  type SnapshotFrame,
  type SyncedFrame,
  type VectorEntry,
  type VectorFrame,
  writeHeld,
  writeSyncId,
} from '../../wire/frame-sync.ts'
import type { OutLog } from '../log/out-log.ts'
import { FrameLink, notAllowed, type Traffic } from './frame-link.ts'
import { isPskLink } from './psk.ts'
import { type ReadRefusal, readRefusal } from './refusal.ts'

export interface OutboundOwner {
  /** The acceptor refuses our clock. Answers how to say so. */
  onClockRefusal(link: OutboundLink, refusal: Extract<ReadRefusal, object>): string
  /** The acceptor said who it is. Answers whether the link is wanted. */
  onWelcome(link: OutboundLink, greeting: Greeting): boolean
  /** The acceptor holds the entries behind `after`, up to and with `upTo`. */
  onCredit(link: OutboundLink, after: number, upTo: number): void
  /** The acceptor could not take these entries, whatever it acknowledges next. */
  onMissed(link: OutboundLink, sequences: readonly number[]): void
  /** The acceptor said where to start, for the first time on this link. */
  onStarted(link: OutboundLink): void
  onPeerState(link: OutboundLink): void
  /** The acceptor's place is no longer in the log; it was told. */
  onGap(link: OutboundLink): void
  onAnswer(link: OutboundLink, answer: AnswerFrame): void
  onVector(link: OutboundLink, frame: VectorFrame): void
  onSnapshot(link: OutboundLink, frame: SnapshotFrame): void
  onSynced(link: OutboundLink, frame: SyncedFrame): void
  onSyncRefused(link: OutboundLink, id: number): void
  onMessage(link: OutboundLink, message: Buffer): void
  onLeave(link: OutboundLink): void
  onEnd(link: OutboundLink, error: Error | undefined): void
}

export interface OutboundParts {
  readonly address: string
  readonly target: Address
  readonly tls: ConnectionOptions
  readonly clock: Clock
  readonly versions: HybridClock
  readonly traffic: Traffic
  readonly log: OutLog
  readonly socketBytes: number
  readonly handshakeTimeout: number
  readonly greeting: () => Greeting
  readonly owner: OutboundOwner
}

/**
 * The dialling end of a link: what this member writes goes out, acknowledgements come back;
 * questions go out, answers come back.
 */
export class OutboundLink {
  readonly #parts: OutboundParts
  readonly #link: FrameLink
  readonly #deadline: Timer
  #peer: Greeting | undefined
  #peerState: MemberState = 'joining'
  /** The entry to send next; undefined until the acceptor said where to start. */
  #cursor: number | undefined
  #acked = 0
  /** Where a member that is still joining said to start: held once its snapshot is complete. */
  #promised = 0
  #blocked = false
  #toldState: MemberState | undefined

  constructor(parts: OutboundParts) {
    this.#parts = parts
    const { target, tls, clock, versions, traffic, handshakeTimeout } = parts
    const socket = connect({ ...tls, host: target.host, port: target.port })
    socket.once('secureConnect', () => {
      if (isPskLink(socket)) this.#greet()
      else this.#link.destroy(new Error('handshake without the farm key'))
    })
    this.#link = new FrameLink(socket, {
      clock,
      versions,
      traffic,
      events: {
        onFrame: (type, body) => this.#onFrame(type, body),
        onDrain: () => this.flush(),
        onEnd: error => {
          this.#deadline.cancel()
          parts.owner.onEnd(this, error)
        },
      },
    })
    this.#deadline = clock.after(handshakeTimeout, () => {
      if (this.#peer === undefined) this.#link.destroy(new Error('no greeting in time'))
    })
  }

  get address(): string {
    return this.#parts.address
  }

  /** Who the acceptor is, once it said so. */
  get peer(): Greeting | undefined {
    return this.#peer
  }

  get peerState(): MemberState {
    return this.#peerState
  }

  get started(): boolean {
    return this.#cursor !== undefined
  }

  get ended(): boolean {
    return this.#link.ended
  }

  get link(): FrameLink {
    return this.#link
  }

  /** Sends what the log has beyond the cursor, as far as the socket takes it. */
  flush(): void {
    if (this.#cursor === undefined || this.#link.ended) return
    const { log, socketBytes, owner } = this.#parts
    // From its first full buffer on it waits for the drain: a slow link costs nothing per write.
    if (this.#blocked && this.#link.waiting > 0) return
    this.#blocked = false
    while (this.#cursor <= log.head) {
      if (this.#link.waiting >= socketBytes) {
        this.#blocked = true
        return
      }
      if (this.#cursor < log.tail) {
        this.#link.send(frameTypes.gap, writeSequence(log.tail))
        // What lies in the gap may reach the member by snapshot, but it never acked it.
        this.#acked = Math.max(this.#acked, log.tail - 1)
        this.#cursor = log.tail
        owner.onGap(this)
      }
      const batch = log.batch(this.#cursor)
      if (batch === undefined) return
      this.#link.send(frameTypes.records, batch.body)
      this.#cursor = batch.next
    }
  }

  /** Asks for a record. False when the link is too full to bother. */
  get(question: GetFrame): boolean {
    if (this.#link.ended || this.#link.waiting > this.#parts.socketBytes) return false
    this.#link.send(frameTypes.get, writeGet(question))
    return true
  }

  sync(id: number): void {
    this.#link.send(frameTypes.sync, writeSyncId(id))
  }

  /** Tells what is held here of logs that the acceptor may have lost the end of. */
  tellHeld(entries: readonly VectorEntry[]): void {
    if (entries.length > 0) this.#link.send(frameTypes.held, writeHeld(entries))
  }

  tellState(state: MemberState): void {
    if (this.#peer !== undefined) this.#link.send(frameTypes.state, writeState(state))
  }

  leave(): void {
    if (this.#peer !== undefined) this.#link.send(frameTypes.leave, Buffer.alloc(0))
    this.#link.end()
  }

  destroy(error?: Error): void {
    this.#link.destroy(error)
  }

  #greet(): void {
    const greeting = this.#parts.greeting()
    this.#toldState = greeting.state
    // First, for by it the acceptor decides whether to let us in.
    this.#link.tellTime()
    this.#link.send(frameTypes.hello, writeGreeting(greeting))
  }

  #onFrame(type: number, body: Buffer): void {
    const { owner } = this.#parts
    if (this.#peer === undefined) {
      this.#onGreeting(type, body)
      return
    }
    switch (type) {
      case frameTypes.start:
        if (this.#peer.carrier !== 'stream') throw notAllowed(type)
        this.#start(readSequence(body))
        return
      case frameTypes.ack:
        this.#ack(readSequence(body))
        return
      case frameTypes.state:
        this.#onState(readState(body[0]))
        return
      case frameTypes.missed:
        owner.onMissed(this, readMissed(body))
        return
      case frameTypes.answer:
        this.#onAnswer(readAnswer(body))
        return
      case frameTypes.vector:
        owner.onVector(this, readVector(body))
        return
      case frameTypes.snapshot:
        this.#onSnapshot(readSnapshot(body))
        return
      case frameTypes.synced:
        owner.onSynced(this, readSynced(body))
        return
      case frameTypes.syncRefused:
        owner.onSyncRefused(this, readSyncId(body))
        return
      case frameTypes.message:
        owner.onMessage(this, readMessage(body))
        return
      case frameTypes.leave:
        owner.onLeave(this)
        return
      default:
        throw notAllowed(type)
    }
  }

  #onGreeting(type: number, body: Buffer): void {
    if (type === frameTypes.refused) {
      const refusal = readRefusal(body)
      const reason =
        typeof refusal === 'string'
          ? refusal
          : this.#parts.owner.onClockRefusal(this, refusal)
      throw new HandfastError('ERR_HANDFAST_JOIN', reason)
    }
    if (type !== frameTypes.welcome) throw notAllowed(type)
    const greeting = readGreeting(body)
    if (greeting.version !== streamVersion) {
      const versions = `${greeting.version}, this one ${streamVersion}`
      const message = `the member speaks version ${versions}`
      throw new HandfastError('ERR_HANDFAST_JOIN', message)
    }
    this.#peer = greeting
    this.#link.isGreeted = true
    this.#peerState = greeting.state
    this.#deadline.cancel()
    if (!this.#parts.owner.onWelcome(this, greeting)) {
      this.#link.destroy()
      return
    }
    // We may have become ready while the hello was on its way.
    const { state } = this.#parts.greeting()
    if (state !== this.#toldState) this.tellState(state)
  }

  #onAnswer({ id, record }: AnswerFrame): void {
    const ours = record && this.#link.byOurClock(record)
    this.#parts.owner.onAnswer(this, { id, record: ours })
  }

  #onSnapshot({ id, records }: SnapshotFrame): void {
    const ours = records.map(record => this.#link.byOurClock(record))
    this.#parts.owner.onSnapshot(this, { id, records: ours })
  }

  #start(after: number): void {
    if (after > this.#parts.log.head) {
      throw new HandfastError('ERR_HANDFAST_PROTOCOL', 'start beyond the end of the log')
    }
    const first = this.#cursor === undefined
    this.#cursor = after + 1
    if (first) this.#parts.owner.onStarted(this)
    if (this.#peerState === 'ready') {
      this.#ack(after)
    } else {
      this.#promised = Math.max(this.#promised, after)
      this.#acked = Math.max(this.#acked, after)
    }
    this.flush()
  }

  #onState(state: MemberState): void {
    this.#peerState = state
    if (state === 'ready') this.#parts.owner.onCredit(this, 0, this.#promised)
    this.#parts.owner.onPeerState(this)
  }

  #ack(upTo: number): void {
    if (this.#cursor === undefined || upTo > this.#parts.log.head)
      throw notAllowed(frameTypes.ack)
    if (upTo <= this.#acked) return
    const after = this.#acked
    this.#acked = upTo
    this.#parts.owner.onCredit(this, after, upTo)
  }
}
