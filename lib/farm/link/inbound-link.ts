import type { TLSSocket } from 'node:tls'
import { plainHost } from '../../address.ts'
import type { Clock } from '../../clock.ts'
import type { HybridClock } from '../../record/hybrid-clock.ts'
import type { CacheRecord } from '../../record/record.ts'
import { frameTypes, notAllowed, readMessage } from '../../wire/frame.ts'
import {
  type Greeting,
  type MemberState,
  readGreeting,
  readState,
  writeGreeting,
  writeState,
} from '../../wire/frame-greeting.ts'
import { type GetFrame, readGet, writeAnswer } from '../../wire/frame-query.ts'
import { FrameLink, type Traffic } from './frame-link.ts'
import { type Refusal, writeRefusal } from './refusal.ts'

export interface InboundOwner {
  /** The dialler said who it is. Answers our own greeting, or why it is refused. */
  onHello(link: InboundLink, greeting: Greeting): Greeting | Refusal
  /** The greeting has been sent. */
  onGreeted(link: InboundLink): void
  onPeerState(link: InboundLink, state: MemberState): void
  onGet(link: InboundLink, question: GetFrame): CacheRecord | undefined
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

/** The accepting end of a link. Questions come in over it, answers go back. */
export class InboundLink {
  readonly #parts: InboundParts
  readonly #link: FrameLink
  /** As an IPv4 address where it is one. */
  readonly remoteAddress: string
  readonly since: number
  #peer: Greeting | undefined
  #retired = false

  constructor(socket: TLSSocket, parts: InboundParts) {
    this.#parts = parts
    this.since = parts.clock.monotonic()
    this.remoteAddress = plainHost(socket.remoteAddress ?? '')
    this.#link = new FrameLink(socket, {
      clock: parts.clock,
      versions: parts.versions,
      traffic: parts.traffic,
      events: {
        onFrame: (type, body) => this.#onFrame(type, body),
        onEnd: error => parts.owner.onEnd(this, error),
      },
    })
  }

  get peer(): Greeting | undefined {
    return this.#peer
  }

  get link(): FrameLink {
    return this.#link
  }

  tellState(state: MemberState): void {
    if (this.#peer !== undefined) this.#link.send(frameTypes.state, writeState(state))
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
      case frameTypes.state:
        owner.onPeerState(this, readState(body[0]))
        return
      case frameTypes.get:
        this.#onGet(body)
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

  #onGet(body: Buffer): void {
    const question = readGet(body)
    // The dialler's budget is over long before such a backlog is read: no answer is enough.
    if (this.#link.waiting > this.#parts.socketBytes) return
    const record = this.#parts.owner.onGet(this, question)
    this.#link.send(frameTypes.answer, writeAnswer({ id: question.id, record }))
  }
}
