import type { Socket } from 'node:net'
import type { Clock, Timer } from '../../../clock.ts'
import type { NativeSocket, RestorePoint } from '../../native/native-socket.ts'
import type { PacketPort } from '../../native/packet-port.ts'
import type { Segment } from '../../native/segment.ts'
import {
  ConnectionTakeover,
  type KnownConnection,
  type Place,
  type ResetCause,
  type TakeoverAction,
  type TakeoverEvent,
  type TakeoverTimes,
  takeoverTimes,
} from '../restore/connection-takeover.ts'

export interface TakeoverParts<Subject> {
  readonly sockets: NativeSocket
  /** Of the address; this takeover starts it, and closes it. */
  readonly port: PacketPort
  /** The interface that it is on. */
  readonly device: string
  readonly clock: Clock
  /** Makes the address one of this host. */
  bring(): Promise<void>
  /** Goes on with a connection. Whoever has the socket sees it closed when it has to let go. */
  serve(socket: Socket, subject: Subject, place: Place): void
  onReset(subject: Subject, cause: ResetCause): void
  /** No connection is watched any more. */
  onOver?(): void
  readonly times?: TakeoverTimes | undefined
}

export interface Bequest<Subject> {
  readonly known: KnownConnection
  readonly subject: Subject
}

/** What became of the connections of one host. */
export interface TakeoverReport {
  readonly served: number
  readonly reset: number
  /** From the first probe until the address was here, milliseconds. */
  readonly wait: number
}

/** All who can be asked soon have answered by then; for the others the address does not wait. */
const addressPatience = 100
/** Caches of ARP that missed the first word hear it again; ms after the address came. */
const announcements = [0, 30, 200, 1_000]

/**
 * All connections of a host that is gone and fenced, in the order of the patent: probe them while
 * nobody has their address, so that no kernel answers in between; restore those that answer; bring
 * the address; serve. Whoever answers later is served later.
 */
export class Takeover<Subject> {
  readonly #parts: TakeoverParts<Subject>
  readonly #connections = new Map<string, Taken<Subject>>()
  readonly #timers: Timer[] = []
  #unanswered = 0
  #onAnswered: (() => void) | undefined
  #timer: Timer | undefined
  #isAnnounced = false
  #served = 0
  #reset = 0

  constructor(parts: TakeoverParts<Subject>, bequests: readonly Bequest<Subject>[]) {
    this.#parts = parts
    for (const { known, subject } of bequests) {
      const machine = new ConnectionTakeover(known, parts.times ?? takeoverTimes)
      const key = keyOf(known.remote, known.local)
      const taken = { key, machine, subject, fd: undefined, socket: undefined }
      this.#connections.set(key, taken)
    }
  }

  /** Resolves when the address is here and all that answered are served. To be called once. */
  async run(): Promise<TakeoverReport> {
    const { port, clock } = this.#parts
    const begun = clock.monotonic()
    port.start(segment => this.#onSegment(segment))
    port.announce()
    this.#unanswered = this.#connections.size
    for (const taken of this.#connections.values()) this.#handle(taken, { kind: 'begin' })
    this.#arm()
    await this.#answers()
    for (const taken of this.#connections.values()) this.#handle(taken, { kind: 'hold' })
    await this.#parts.bring()
    for (const wait of announcements) {
      this.#timers.push(clock.after(wait, () => port.announce()))
    }
    const announced = clock.after(Math.max(...announcements) + 1, () => {
      this.#isAnnounced = true
      this.#closeIfOver()
    })
    this.#timers.push(announced)
    for (const taken of this.#connections.values()) this.#handle(taken, { kind: 'here' })
    this.#arm()
    return {
      served: this.#served,
      reset: this.#reset,
      wait: clock.monotonic() - begun,
    }
  }

  /** What is served stays so; it is no longer watched. */
  close(): void {
    this.#timer?.cancel()
    for (const timer of this.#timers.splice(0)) timer.cancel()
    for (const taken of this.#connections.values()) {
      if (taken.socket === undefined) this.#silence(taken)
    }
    this.#connections.clear()
    this.#onAnswered?.()
    this.#parts.port.close()
  }

  #answers(): Promise<void> {
    return new Promise(resolve => {
      if (this.#unanswered === 0) return resolve()
      const timer = this.#parts.clock.after(addressPatience, resolve)
      this.#timers.push(timer)
      this.#onAnswered = resolve
    })
  }

  #onSegment(segment: Segment): void {
    const taken = this.#connections.get(keyOf(segment.source, segment.destination))
    if (taken === undefined) return
    const before = taken.machine.deadline
    this.#handle(taken, { kind: 'segment', segment, ...this.#told(taken) })
    if (taken.machine.deadline !== before) this.#arm()
  }

  #onTick(): void {
    this.#timer = undefined
    const now = this.#parts.clock.monotonic()
    for (const taken of this.#connections.values()) {
      if ((taken.machine.deadline ?? Infinity) > now) continue
      this.#handle(taken, { kind: 'tick', ...this.#told(taken) })
    }
    this.#arm()
  }

  /** By the socket that is served; one of which the kernel tells nothing has done nothing. */
  #told({ fd, socket }: Taken<Subject>): { sent: number; received: number } {
    const { sockets } = this.#parts
    if (fd === undefined || socket?.destroyed !== false) return { sent: 0, received: 0 }
    try {
      return { sent: sockets.sent(fd), received: sockets.received(fd) }
    } catch {
      return { sent: 0, received: 0 }
    }
  }

  #handle(taken: Taken<Subject>, event: TakeoverEvent): void {
    const before = taken.machine.state
    for (const action of taken.machine.handle(event, this.#parts.clock.monotonic())) {
      try {
        this.#perform(taken, action)
      } catch {
        // Of the kernel: an address that is none here, a table that is full, no memory.
        this.#handle(taken, { kind: 'refused', cause: 'kernel' })
        break
      }
    }
    if (before === 'probed' && taken.machine.state !== 'probed') this.#answered()
    if (taken.machine.state === 'over') this.#forget(taken)
  }

  #perform(taken: Taken<Subject>, action: TakeoverAction): void {
    switch (action.kind) {
      case 'send':
        this.#parts.port.send(action.segment)
        break
      case 'restore':
        this.#restore(taken, action.point)
        break
      case 'serve':
        this.#serve(taken, action.place)
        break
      case 'reset':
        this.#reset += 1
        if (taken.socket === undefined) this.#silence(taken)
        else taken.socket.resetAndDestroy()
        this.#parts.onReset(taken.subject, action.cause)
        break
      case 'done':
        if (taken.socket === undefined) this.#silence(taken)
        break
    }
  }

  /** The one that may be there goes when the other one is there: else a client may meet neither. */
  #restore(taken: Taken<Subject>, point: RestorePoint): void {
    const { sockets, device } = this.#parts
    const { fd, socket } = taken
    if (fd !== undefined && socket?.destroyed !== true) sockets.giveWay(fd, device)
    const restored = sockets.restore(point)
    this.#silence(taken)
    taken.fd = restored
  }

  #serve(taken: Taken<Subject>, place: Place): void {
    const { fd, subject } = taken
    if (fd === undefined) return
    this.#parts.sockets.release(fd)
    const socket = this.#parts.sockets.stream(fd)
    taken.socket = socket
    if (place.healed === 0) this.#served += 1
    socket.once('close', () => {
      if (taken.socket === socket) this.#handle(taken, { kind: 'closed' })
    })
    this.#parts.serve(socket, subject, place)
  }

  /** Ends the socket that may be there, and nobody on the network hears of it. */
  #silence(taken: Taken<Subject>): void {
    const { fd, socket } = taken
    taken.fd = undefined
    taken.socket = undefined
    if (fd === undefined || socket?.destroyed === true) return
    this.#parts.sockets.silence(fd)
    if (socket === undefined) this.#parts.sockets.close(fd)
    else socket.destroy()
  }

  #answered(): void {
    this.#unanswered -= 1
    if (this.#unanswered === 0) this.#onAnswered?.()
  }

  #forget(taken: Taken<Subject>): void {
    this.#connections.delete(taken.key)
    this.#closeIfOver()
  }

  #closeIfOver(): void {
    if (this.#connections.size > 0 || !this.#isAnnounced) return
    this.#parts.port.close()
    this.#parts.onOver?.()
  }

  /** One timer for all. */
  #arm(): void {
    let next = Infinity
    for (const { machine } of this.#connections.values()) {
      next = Math.min(next, machine.deadline ?? Infinity)
    }
    this.#timer?.cancel()
    this.#timer = undefined
    if (next === Infinity) return
    const wait = Math.max(1, next - this.#parts.clock.monotonic())
    this.#timer = this.#parts.clock.after(wait, () => this.#onTick())
  }
}

interface Taken<Subject> {
  readonly key: string
  readonly machine: ConnectionTakeover
  readonly subject: Subject
  /** The socket that stands for it now: ours alone until it is served. */
  fd: number | undefined
  socket: Socket | undefined
}

interface End {
  readonly address: string
  readonly port: number
}

function keyOf(remote: End, local: End): string {
  return `${remote.address}:${remote.port} ${local.port}`
}
