import type { SenderTag } from '../../wire/datagram.ts'
import { ReplayWindow } from '../../wire/replay-window.ts'
import { Opener } from '../../wire/seal.ts'
import { Backed } from '../backed.ts'
import { AckSchedule, ackInterval } from './ack-schedule.ts'
import { LossDetector } from './loss-detector.ts'
import type { NackGroup } from './nack-delay.ts'
import { Reassembly } from './reassembly.ts'
import { ReceiveWindow } from './receive-window.ts'

/** Datagrams under the key before the current one are taken for so long, ms: more than a
 * sender repairs. */
const oldKeyLife = 30_000

export interface Address {
  readonly host: string
  readonly port: number
}

/** How a datagram reaches a member, best first. */
export type Path = 'multicast' | 'unicast' | 'stream'

/** Which datagrams of a member reach another. */
export interface Hearing {
  readonly multicast: boolean
  readonly unicast: boolean
}

/** Another member, for one life of it: what came from it and how it is reached. */
export class Peer {
  readonly id: string
  readonly sender: SenderTag
  readonly repository: boolean
  /** It says that it has had a link with a repository. */
  metRepository: boolean
  address: Address
  /** `host:port` of its stream. */
  dialAddress: string | undefined
  /** A stream to it is open. */
  connected = true
  /** It has everything that the farm had when it came. */
  ready: boolean
  /** Clients are served there, though it may not be ready. */
  serves: boolean
  /** The stream is the path until it says that it hears our datagrams. */
  path: Path = 'stream'
  /** It says that datagrams for it alone arrive; multicast does not imply that. */
  hearsUnicast = false
  /** It was said which path that is. */
  pathSaid = false
  readonly metAt: number

  readonly window: ReceiveWindow
  readonly detector: LossDetector
  readonly reassembly: Reassembly = new Reassembly()
  readonly control: ReplayWindow = new ReplayWindow()
  readonly ack: AckSchedule
  readonly backed: Backed = new Backed()
  /** An acknowledgement waits for what backs it. */
  isHeld = false
  group: NackGroup = { size: 1, rank: 0 }
  /**
   * Everything up to the window's `contiguous` is in our table. False from a first meeting
   * until what the other wrote before is here too: then nothing is acknowledged.
   */
  settled: boolean
  /**
   * Its last number when it was last heard of again: by its introduction, or by the first
   * heartbeat after a silence. Until then not known, so Infinity.
   */
  head: number
  /** Heartbeats before are older than our own standstill: they lay in the socket. */
  headFrom: number = -Infinity
  /** The lowest number that it can still repair. */
  tail = 1

  /** Of our datagrams, it has everything up to here in its table. */
  acked = 0
  /** Up to where it alone was asked, over the link that stands, whether it has everything. */
  asked = 0
  /** How its datagrams come to us. */
  heardMulticastAt: number = -Infinity
  heardUnicastAt: number = -Infinity
  /** What we told it of that. */
  told: Hearing = { multicast: false, unicast: false }

  readonly #openers = new Map<number, Opener>()
  #epoch: number
  #rekeyedAt = -Infinity

  constructor(
    member: Pick<
      Peer,
      'id' | 'sender' | 'repository' | 'metRepository' | 'ready' | 'serves'
    >,
    address: Address,
    key: { epoch: number; epochKey: Buffer },
    last: number,
    { random, datagrams }: { random: () => number; datagrams: boolean },
    now: number,
  ) {
    this.ack = new AckSchedule(datagrams ? ackInterval : 0)
    this.metAt = now
    this.id = member.id
    this.sender = member.sender
    this.repository = member.repository
    this.metRepository = member.metRepository
    this.ready = member.ready
    this.serves = member.serves
    this.address = address
    this.window = new ReceiveWindow(last)
    this.detector = new LossDetector(this.window, random)
    // What others wrote may be in its table, though it never wrote itself.
    this.settled = last === 0 && !member.ready
    this.head = last
    this.#epoch = key.epoch
    this.#openers.set(key.epoch, new Opener(key.epochKey, member.sender))
  }

  /** All that it had written when it was last heard of again is in our table. */
  get current(): boolean {
    return this.settled && this.window.contiguous >= this.head
  }

  /** All up to here is in our table: of a record of fragments, all of them must have come. */
  get whole(): number {
    return Math.min(this.window.contiguous, this.reassembly.firstIncomplete - 1)
  }

  opener(epoch: number): Opener | undefined {
    return this.#openers.get(epoch)
  }

  /** Takes a new epoch key; the one before stays good for what is still on its way. */
  rekey(epoch: number, epochKey: Buffer, now: number): void {
    if (epoch === this.#epoch) return
    for (const old of this.#openers.keys())
      if (old !== this.#epoch) this.#openers.delete(old)
    this.#openers.set(epoch, new Opener(epochKey, this.sender))
    this.#epoch = epoch
    this.#rekeyedAt = now
  }

  /** Forgets the key before when its time is over. */
  dropOldKey(now: number): void {
    if (now - this.#rekeyedAt < oldKeyLife) return
    for (const old of this.#openers.keys())
      if (old !== this.#epoch) this.#openers.delete(old)
  }
}
