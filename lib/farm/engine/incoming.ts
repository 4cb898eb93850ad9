import { type ControlMessage, readControlMessage } from '../../wire/control-message.ts'
import { datagramTypes, isDataType } from '../../wire/datagram.ts'
import {
  readAccusation,
  readGone,
  readHeartbeat,
  readNack,
  readStatus,
  type SequenceRange,
  writeGone,
} from '../../wire/datagram-control.ts'
import type { Path, Peer } from '../peer/peer.ts'
import type { Placement } from '../placement/placement.ts'
import { type EngineContext, wake } from './engine-context.ts'
import { Intake, type Opened } from './intake.ts'
import type { Peers } from './peers.ts'
import type { Publication } from './publication.ts'
import type { Reception } from './reception.ts'

/** Who is told of what comes in. */
export interface IncomingParts {
  readonly publication: Publication
  readonly reception: Reception
  readonly peers: Peers
  readonly placement: Placement
}

/** What others say, in datagrams and over links: read, and taken to whom it concerns. */
export class Incoming {
  readonly #context: EngineContext
  readonly #intake: Intake
  readonly #parts: IncomingParts

  constructor(context: EngineContext, parts: IncomingParts) {
    const { sender, farmTag } = context.options
    this.#context = context
    this.#intake = new Intake(sender, farmTag, context)
    this.#parts = parts
  }

  datagram(datagram: Buffer, from: string, by: Path): void {
    const { peers, reception } = this.#parts
    this.#context.counters.datagramsReceived += 1
    const opened = this.#intake.open(datagram, from, this.#context.now)
    if (opened === undefined) return
    peers.heardBy(opened.peer, by)
    if (isDataType(opened.header.type)) {
      reception.data(opened)
      return
    }
    try {
      this.#control(opened)
    } catch {
      this.#context.counters.malformed += 1
    }
  }

  message(from: string, bytes: Buffer): void {
    const { peers } = this.#parts
    let message: ControlMessage
    try {
      message = readControlMessage(bytes)
    } catch {
      this.#context.counters.malformed += 1
      return
    }
    if (message.type === 'announce') {
      peers.announced(from, message)
      return
    }
    const peer = this.#context.roster.get(from)
    if (peer === undefined) return
    peers.heard(peer)
    this.#fromPeer(peer, message)
  }

  #control({ peer, header, body }: Opened): void {
    const { options, roster, now } = this.#context
    const { publication, reception, peers } = this.#parts
    switch (header.type) {
      case datagramTypes.heartbeat: {
        const heartbeat = readHeartbeat(body)
        peers.heartbeat(peer, heartbeat)
        reception.heartbeat(peer, heartbeat)
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
        if (status.target === options.sender) publication.acknowledged(peer, status)
        return
      }
      case datagramTypes.gone: {
        const gone = readGone(body)
        if (gone.target === options.sender) reception.gone(peer, gone.tail)
        return
      }
      case datagramTypes.suspect:
        peers.accused(readAccusation(body).subject)
        return
      case datagramTypes.vouch: {
        const { subject, number } = readAccusation(body)
        peers.vouched(subject, number)
        return
      }
      case datagramTypes.leave:
        peers.left(peer)
        return
    }
  }

  #fromPeer(peer: Peer, message: ControlMessage): void {
    const { outlet, sender, now } = this.#context
    const { publication, reception, peers, placement } = this.#parts
    switch (message.type) {
      case 'key':
        peers.rekeyed(peer, message)
        return
      case 'acker':
        peer.ack.appoint(message.on, now)
        wake(this.#context, peer.ack.deadline)
        return
      case 'hears':
        peers.hears(peer, message)
        return
      case 'datagram':
        this.datagram(message.datagram, peer.id, 'stream')
        return
      case 'pull':
        publication.pulled(peer, message.ranges)
        return
      case 'gone':
        reception.gone(peer, message.tail)
        return
      case 'ping':
        outlet.message(peer.id, { type: 'pong', last: sender.last })
        return
      case 'pong':
        peers.answered(peer, message.last)
        return
      case 'data':
        reception.message(peer, message)
        return
      case 'status':
        publication.reached(peer, message)
        return
      case 'start':
        publication.feeds.rewind(peer.id, message.after)
        return
      case 'ask':
        peer.ack.ask(message.upTo, peer.window.contiguous, now)
        wake(this.#context, peer.ack.deadline)
        return
      case 'held':
        reception.orphans.told(peer, message.sender, message.contiguous)
        return
      case 'leave':
        peers.left(peer)
        return
      case 'hint':
        reception.synchronizer.want(peer.id, 'round', now)
        wake(this.#context, now)
        return
      case 'open':
      case 'vector':
      case 'next':
      case 'page':
        reception.synchronizer.message(peer.id, message, now)
        wake(this.#context, reception.synchronizer.deadline())
        return
      case 'give':
      case 'taken':
      case 'moved':
        placement.message(peer.id, message, now)
        return
    }
  }

  #repair(peer: Peer, ranges: readonly SequenceRange[]): void {
    const { sender, outlet, now } = this.#context
    if (!this.#parts.publication.repair(peer, ranges)) return
    const body = writeGone({ target: peer.sender, tail: sender.tail })
    outlet.direct(peer, sender.control(datagramTypes.gone, body, now))
  }
}
