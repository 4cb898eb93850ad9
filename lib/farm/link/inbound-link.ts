import type { TLSSocket } from 'node:tls'
import type { Clock } from '../../clock.ts'
import type { HybridClock } from '../../record/hybrid-clock.ts'
import type { CacheRecord } from '../../record/record.ts'
import { frameTypes, readMessage } from '../../wire/frame.ts'
import { malformed } from '../../wire/frame-bytes.ts'
import {
  type Greeting,
  type MemberState,
  readGreeting,
  readState,
  writeGreeting,
  writeState,
} from '../../wire/frame-greeting.ts'
import {
  readRecords,
  readSequence,
  writeMissed,
  writeSequence,
} from '../../wire/frame-log.ts'
import { type GetFrame, readGet, writeAnswer } from '../../wire/frame-query.ts'
import {
  readHeld,
  readSyncId,
  type VectorEntry,
  writeSyncId,
} from '../../wire/frame-sync.ts'
import { FrameLink, notAllowed, type Traffic } from './frame-link.ts'
import { type Refusal, writeRefusal } from './refusal.ts'

export interface InboundOwner {
  /** The dialler said who it is. Answers our own greeting, or why it is refused. */
  onHello(link: InboundLink, greeting: Greeting): Greeting | Refusal
  /** The greeting has been sent. */
  onGreeted(link: InboundLink): void
  /** Answers whether they are the ones that had to come; when not, the link ends. */
  onRecords(link: InboundLink, first: number, entries: readonly CacheRecord[]): boolean
  /** The log goes on at entry `next`; what was before is gone. */
  onGap(link: InboundLink, next: number): void
  /** The newest entry of the dialler that is in the table here. */
  applied(link: InboundLink): number
  onPeerState(link: InboundLink, state: MemberState): void
  onGet(link: InboundLink, question: GetFrame): CacheRecord | undefined
  onSync(link: InboundLink, id: number): void
  onHeld(link: InboundLink, entries: readonly VectorEntry[]): void
  onMessage(link: InboundLink, message: Buffer): void
  onLeave(link: InboundLink): void
  onEnd(link: InboundLink, error: Error | undefined): void
}

export interface InboundParts {
  readonly clock: Clock
  readonly versions: HybridClock
  readonly traffic: Traffic
  readonly socketBytes: number
  readonly owner: InboundOwner
}

/** The accepting end of a link: takes what another member writes and answers its questions. */
export class InboundLink {
  readonly #parts: InboundParts
  readonly #link: FrameLink
  readonly remoteAddress: string
  readonly since: number
  #peer: Greeting | undefined
  #started = false
  #retired = false
  #ackDue = false
  #acked = 0

  constructor(socket: TLSSocket, parts: InboundParts) {
    this.#parts = parts
    this.since = parts.clock.monotonic()
    this.remoteAddress = socket.remoteAddress ?? ''
    this.#link = new FrameLink(socket, {
      clock: parts.clock,
      versions: parts.versions,
      traffic: parts.traffic,
      events: {
        onFrame: (type, body) => this.#onFrame(type, body),
        onDrain: () => {},
        onEnd: error => parts.owner.onEnd(this, error),
      },
    })
  }

  get peer(): Greeting | undefined {
    return this.#peer
  }

  get started(): boolean {
    return this.#started
  }

  get link(): FrameLink {
    return this.#link
  }

  /** Asks the dialler for its log from behind `after` on. */
  start(after: number): void {
    this.#started = true
    this.#acked = after
    this.#link.send(frameTypes.start, writeSequence(after))
  }

  tellState(state: MemberState): void {
    if (this.#peer !== undefined) this.#link.send(frameTypes.state, writeState(state))
  }

  /** These entries could not be taken; told before the acknowledgement that covers them. */
  tellMissed(sequences: readonly number[]): void {
    if (sequences.length > 0) this.#link.send(frameTypes.missed, writeMissed(sequences))
  }

  refuseSync(id: number): void {
    this.#link.send(frameTypes.syncRefused, writeSyncId(id))
  }

  /** The dialler has another link now: what still comes over this one counts no more. */
  retire(): void {
    this.#retired = true
  }

  leave(): void {
    if (this.#peer !== undefined) this.#link.send(frameTypes.leave, Buffer.alloc(0))
    this.#link.end()
  }

  destroy(error?: Error): void {
    this.#link.destroy(error)
  }

  #onFrame(type: number, body: Buffer): void {
    const { owner } = this.#parts
    if (this.#retired) return
    if (this.#peer === undefined) {
      this.#onHello(type, body)
      return
    }
    switch (type) {
      case frameTypes.records:
        this.#onRecords(body)
        return
      case frameTypes.gap:
        this.#onGap(body)
        return
      case frameTypes.state:
        owner.onPeerState(this, readState(body[0]))
        return
      case frameTypes.get:
        this.#onGet(body)
        return
      case frameTypes.sync:
        owner.onSync(this, readSyncId(body))
        return
      case frameTypes.held:
        owner.onHeld(this, readHeld(body))
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

  #onHello(type: number, body: Buffer): void {
    if (type !== frameTypes.hello) throw notAllowed(type)
    const greeting = readGreeting(body)
    const answer = this.#parts.owner.onHello(this, greeting)
    if (typeof answer === 'string' || 'reason' in answer) {
      this.#link.send(frameTypes.refused, writeRefusal(answer))
      this.#link.end()
      return
    }
    this.#peer = greeting
    this.#link.isGreeted = true
    this.#link.send(frameTypes.welcome, writeGreeting(answer))
    this.#parts.owner.onGreeted(this)
    this.#link.tellTime()
  }

  #onRecords(body: Buffer): void {
    if (!this.#started) throw notAllowed(frameTypes.records)
    const { first, entries } = readRecords(body)
    const ours = entries.map(entry => this.#link.byOurClock(entry))
    if (!this.#parts.owner.onRecords(this, first, ours)) {
      throw new Error(`entries before ${first} are missing`)
    }
    this.#ackSoon()
  }

  #onGap(body: Buffer): void {
    if (!this.#started) throw notAllowed(frameTypes.gap)
    const next = readSequence(body)
    if (next < 1) throw malformed('gap')
    this.#parts.owner.onGap(this, next)
  }

  /** One acknowledgement for all that came in this turn of the event loop. */
  #ackSoon(): void {
    if (this.#ackDue) return
    this.#ackDue = true
    setImmediate(() => {
      this.#ackDue = false
      if (this.#link.ended) return
      const applied = this.#parts.owner.applied(this)
      if (applied <= this.#acked) return
      this.#acked = applied
      this.#link.send(frameTypes.ack, writeSequence(applied))
    })
  }

  #onGet(body: Buffer): void {
    const question = readGet(body)
    // The dialler's budget is over long before such a backlog is read: no answer is enough.
    if (this.#link.waiting > this.#parts.socketBytes) return
    const record = this.#parts.owner.onGet(this, question)
    this.#link.send(frameTypes.answer, writeAnswer({ id: question.id, record }))
  }
}
