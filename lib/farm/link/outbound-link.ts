import { type ConnectionOptions, connect } from 'node:tls'
import type { Address } from '../../address.ts'
import type { Clock, Timer } from '../../clock.ts'
import { HandfastError } from '../../errors.ts'
import type { HybridClock } from '../../record/hybrid-clock.ts'
import { frameTypes, notAllowed, readMessage } from '../../wire/frame.ts'
import {
  type Greeting,
  type MemberState,
  readGreeting,
  readState,
  streamVersion,
  writeGreeting,
  writeState,
} from '../../wire/frame-greeting.ts'
import {
  type AnswerFrame,
  type GetFrame,
  readAnswer,
  writeGet,
} from '../../wire/frame-query.ts'
import { FrameLink, type Traffic } from './frame-link.ts'
import { isPskLink } from './psk.ts'
import { type ReadRefusal, readRefusal } from './refusal.ts'

export interface OutboundOwner {
  /** The acceptor refuses us because of our clock or its own. Answers how to say so. */
  onClockRefusal(link: OutboundLink, refusal: Extract<ReadRefusal, object>): Error
  /** The acceptor said who it is. Answers whether the link is wanted. */
  onWelcome(link: OutboundLink, greeting: Greeting): boolean
  onPeerState(link: OutboundLink): void
  onAnswer(link: OutboundLink, answer: AnswerFrame): void
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
  readonly socketBytes: number
  readonly handshakeTimeout: number
  readonly greeting: () => Greeting
  readonly owner: OutboundOwner
}

/** The dialling end of a link. Questions go out over it, answers come back. */
export class OutboundLink {
  readonly #parts: OutboundParts
  readonly #link: FrameLink
  readonly #deadline: Timer
  #peer: Greeting | undefined
  #peerState: MemberState = 'joining'
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

  get ended(): boolean {
    return this.#link.ended
  }

  get link(): FrameLink {
    return this.#link
  }

  /** Asks for a record. False when the link is too full to bother. */
  get(question: GetFrame): boolean {
    if (this.#link.ended || this.#link.waiting > this.#parts.socketBytes) return false
    this.#link.send(frameTypes.get, writeGet(question))
    return true
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
      case frameTypes.state:
        this.#peerState = readState(body[0])
        owner.onPeerState(this)
        return
      case frameTypes.answer:
        this.#onAnswer(readAnswer(body))
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
      throw typeof refusal === 'string'
        ? new HandfastError('ERR_HANDFAST_JOIN', refusal)
        : this.#parts.owner.onClockRefusal(this, refusal)
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
}
