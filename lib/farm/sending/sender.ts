import { timingSafeEqual } from 'node:crypto'
import { TokenBucket } from '../../limit/token-bucket.ts'
import { dataHeaderLength, writeControlMessage } from '../../wire/control-message.ts'
import {
  ackRequestedFlag,
  type DatagramHeader,
  type DatagramType,
  datagramOverhead,
  datagramTypes,
  type SenderTag,
  tagLength,
} from '../../wire/datagram.ts'
import { Sealer } from '../../wire/seal.ts'
import type { PacketSettings } from '../settings.ts'
import { AckWindow } from './ack-window.ts'
import { type Batch, OutQueue, type QueuedWrite } from './out-queue.ts'
import { OwnLoop } from './own-loop.ts'
import { RepairRing } from './repair-ring.ts'
import { Repairs } from './repairs.ts'
import type { WriteWait } from './write-waits.ts'

const burst = 32
/** A record of any length fits. */
const linkMessageLength = 128 * 1024
/** Datagrams a second that every sender may send, however busy the others are. */
const floorRate = 50

/** Which brake held a full datagram back, and how often. */
export interface Blocked {
  ownLoop: number
  acks: number
  bucket: number
}

/**
 * The sending half: what is queued becomes sealed datagrams as fast as all brakes permit, and
 * stays repairable for a while. Knows nothing of where datagrams go.
 */
export class Sender {
  readonly ring: RepairRing
  readonly repairs: Repairs
  readonly ownLoop: OwnLoop
  readonly acks: AckWindow<SenderTag>
  readonly blocked: Blocked = { ownLoop: 0, acks: 0, bucket: 0 }
  readonly #settings: PacketSettings
  readonly #self: SenderTag
  readonly #farmTag: number
  readonly #queue: OutQueue<WriteWait>
  readonly #datagrams: boolean
  readonly #bucket: TokenBucket
  #sealer: Sealer
  /** Fragments of one record, and the writes that its last one completes. */
  #batch: Batch<WriteWait> | undefined
  #last: number
  #lastControl = 0
  #flushAt = Infinity
  #lastDataAt = -Infinity
  #records = 0

  constructor(
    settings: PacketSettings,
    identity: { self: SenderTag; farmTag: number; epoch: number; epochKey: Buffer },
    last = 0,
    datagrams = true,
  ) {
    this.#datagrams = datagrams
    this.#settings = settings
    this.#self = identity.self
    this.#farmTag = identity.farmTag
    this.#sealer = new Sealer(
      identity.epoch,
      identity.epochKey,
      identity.self,
      identity.farmTag,
    )
    this.#last = last
    const { ringLength, ringBytes, ringAge } = settings
    this.ring = new RepairRing(
      { length: ringLength, bytes: ringBytes, age: ringAge },
      last,
    )
    this.repairs = new Repairs(this.ring, settings.ceiling)
    this.ownLoop = new OwnLoop(settings.ownWindow, last)
    this.acks = new AckWindow(settings.ackWindow)
    this.#bucket = new TokenBucket(settings.ceiling, burst)
    this.#queue = new OutQueue({
      length: settings.queueLength,
      room: datagrams
        ? settings.datagramLength - datagramOverhead
        : linkMessageLength - dataHeaderLength,
      perDatagram: settings.recordsPerDatagram,
    })
  }

  /** Last sequence number of data; 0 before the first. */
  get last(): number {
    return this.#last
  }

  get tail(): number {
    return this.ring.tail
  }

  get records(): number {
    return this.#records
  }

  /** More waits than one datagram holds. */
  get full(): boolean {
    return this.#queue.full
  }

  get queued(): number {
    return this.#queue.size
  }

  get coalesced(): number {
    return this.#queue.coalesced
  }

  get rate(): number {
    return this.#bucket.rate
  }

  /** Who waited for a write that had to make room for this one, if one had. */
  enqueue(write: QueuedWrite<WriteWait>, now: number): readonly WriteWait[] | undefined {
    const dropped = this.#queue.push(write)
    // After a rest at once; then no more than one partly filled datagram in that time.
    const linger = this.#datagrams ? this.#settings.linger : 0
    const lingered = Math.max(now, this.#lastDataAt + linger)
    this.#flushAt = Math.min(this.#flushAt, lingered)
    return dropped
  }

  /** The datagrams that may leave now, in order. */
  pump(now: number): Buffer[] {
    const datagrams: Buffer[] = []
    while (this.#wanted(now)) {
      if (this.#brake(now)) break
      this.#batch ??= this.#queue.take()
      const body = this.#batch?.bodies.shift()
      if (this.#batch === undefined || body === undefined) break
      datagrams.push(this.#sealData(this.#batch, body, now))
      if (this.#batch.bodies.length === 0) this.#finish(this.#batch)
      if (this.#queue.size === 0) this.#flushAt = Infinity
    }
    return datagrams
  }

  /** One datagram outside the data sequence: sent once, never repaired, never held back. */
  control(type: DatagramType, body: Buffer, now: number): Buffer {
    this.#lastControl += 1
    return this.#sealer.seal(
      this.#header(type, this.#lastControl, this.#lastControl, 0, now),
      body,
    )
  }

  /** One of our own data datagrams came back; anybody may have sent those bytes. */
  ownCopy(header: DatagramHeader, datagram: Buffer, now: number): boolean {
    const sent = this.ring.get(header.sequence)
    if (sent === undefined || sent.length !== datagram.length) return false
    const tag = datagram.length - tagLength
    if (!timingSafeEqual(sent.subarray(tag), datagram.subarray(tag))) return false
    this.ownLoop.returned(header.sequence, now)
    this.#pace(now)
    return true
  }

  /** Everything after the next datagram is sealed under this key. */
  rekey(epoch: number, epochKey: Buffer): void {
    this.#sealer = new Sealer(epoch, epochKey, this.#self, this.#farmTag)
  }

  get epoch(): number {
    return this.#sealer.epoch
  }

  /** Gives up what is overdue; see the brakes. */
  expire(now: number, late: boolean): void {
    this.ownLoop.expire(now, late)
    this.acks.expire(this.#last, now, late)
  }

  deadline(now: number): number {
    let deadline = this.repairs.deadline(now)
    if (this.#batch === undefined && this.#queue.size === 0) return deadline
    deadline = Math.min(deadline, this.ownLoop.deadline, this.acks.deadline(this.#last))
    if (!this.ownLoop.permits || !this.acks.permits(this.#last)) return deadline
    const pending = this.#batch !== undefined || this.#queue.full
    return Math.min(
      deadline,
      Math.max(pending ? now : this.#flushAt, this.#bucket.readyAt(now)),
    )
  }

  /** Everything that waits to be sent, given up. */
  clear(): WriteWait[] {
    const waits = [...(this.#batch?.waits ?? []), ...this.#queue.clear()]
    this.#batch = undefined
    return waits
  }

  #wanted(now: number): boolean {
    if (this.#batch !== undefined) return true
    return this.#queue.size > 0 && (this.#queue.full || this.#flushAt <= now)
  }

  #brake(now: number): boolean {
    // A link has its own flow control.
    if (!this.#datagrams) return false
    if (!this.ownLoop.permits) this.blocked.ownLoop += 1
    else if (!this.acks.permits(this.#last)) this.blocked.acks += 1
    else if (!this.#bucket.take(now)) this.blocked.bucket += 1
    else return false
    return true
  }

  #sealData(batch: Batch<WriteWait>, body: Buffer, now: number): Buffer {
    const sequence = this.#last + 1
    const type = batch.fragments ? datagramTypes.fragment : datagramTypes.data
    const flags = batch.ackRequested ? ackRequestedFlag : 0
    const tail = this.ring.tailAfterNext()
    const { ackRequested } = batch
    const datagram = this.#datagrams
      ? this.#sealer.seal(this.#header(type, sequence, tail, flags, now), body)
      : writeControlMessage({ type: 'data', ackRequested, sequence, tail, body })
    this.acks.sent(sequence, now)
    this.#last = sequence
    this.#lastDataAt = now
    this.ring.store(sequence, datagram, now)
    if (this.#datagrams) this.ownLoop.sent(sequence, now)
    return datagram
  }

  #finish(batch: Batch<WriteWait>): void {
    for (const wait of batch.waits) wait.sequence = this.#last
    this.#records += batch.records
    this.#batch = undefined
  }

  #header(
    type: DatagramType,
    sequence: number,
    tail: number,
    flags: number,
    now: number,
  ): DatagramHeader {
    const sentAt = Math.floor(now) % 2 ** 32
    return {
      type,
      flags,
      epoch: this.#sealer.epoch,
      sender: this.#self,
      sequence,
      tail,
      sentAt,
    }
  }

  /** The busier the others, the smaller our part of the farm's ceiling. */
  #pace(now: number): void {
    const rate = Math.max(floorRate, this.#settings.ceiling / (1 + this.ownLoop.mean))
    // Every own copy moves the mean a little; that is no reason to touch the bucket.
    if (Math.abs(rate - this.#bucket.rate) > this.#bucket.rate / 50)
      this.#bucket.setRate(rate, now)
  }
}
