import type { Socket } from 'node:net'
import type { Clock, Timer } from '../../../clock.ts'
import type { Endpoint, NativeSocket, RestorePoint } from '../../native/native-socket.ts'
import type { PacketPort } from '../../native/packets/packet-port.ts'
import type { Segment } from '../../native/packets/segment.ts'
import {
  ConnectionTakeover,
  type KnownConnection,
  type Place,
  type ResetCause,
  type TakeoverAction,
  type TakeoverEvent,
} from './connection-takeover.ts'
import { type Flow, flowOf } from './flow.ts'
import { type TakeoverTimes, takeoverTimes } from './takeover-times.ts'

export interface RestorationParts<Subject> {
  readonly sockets: NativeSocket
  readonly port: Pick<PacketPort, 'send'>
  /** The interface that clients are behind. */
  readonly device: string
  readonly clock: Clock
  readonly times?: TakeoverTimes | undefined
  /** Goes on with a connection. Whoever has the socket sees it closed when it has to let go. */
  serve(socket: Socket, subject: Subject, place: Place): void
  onReset(subject: Subject, cause: ResetCause): void
  /** Something has changed: one has answered, or is over. */
  onChange(): void
}

/** A connection that another host has left. */
export interface Bequest<Subject> {
  readonly known: KnownConnection
  readonly subject: Subject
}

/** Connections of another host on their way to sockets of this one, each by itself. */
export class Restorations<Subject> {
  readonly #parts: RestorationParts<Subject>
  readonly #connections = new Map<Flow, Taken<Subject>>()
  #timer: Timer | undefined
  #due = Infinity
  #unanswered = 0
  #served = 0
  #reset = 0

  constructor(parts: RestorationParts<Subject>) {
    this.#parts = parts
  }

  /** Those that are not over. */
  get size(): number {
    return this.#connections.size
  }

  /** Those that have said nothing yet, and are not held. */
  get unanswered(): number {
    return this.#unanswered
  }

  /** Since the start. */
  get served(): number {
    return this.#served
  }

  get reset(): number {
    return this.#reset
  }

  /** Of those that are not over. */
  get remotes(): Endpoint[] {
    return [...this.#connections.values()].map(({ remote }) => remote)
  }

  has(flow: Flow): boolean {
    return this.#connections.has(flow)
  }

  /** Asks the client where it is. In the place of the one of the same flow that may be there. */
  begin({ known, subject }: Bequest<Subject>): Flow {
    const flow = flowOf(known.remote, known.local)
    this.drop(flow)
    const machine = new ConnectionTakeover(known, this.#parts.times ?? takeoverTimes)
    const { remote } = known
    const taken = { flow, remote, machine, subject, fd: undefined, socket: undefined }
    this.#connections.set(flow, taken)
    this.#unanswered += 1
    this.#handle(taken, { kind: 'begin' })
    return flow
  }

  /** See TakeoverEvent. Without a flow: for all. */
  tell(kind: 'hold' | 'here', flow?: Flow): void {
    const one = flow === undefined ? undefined : this.#connections.get(flow)
    const all = flow === undefined ? [...this.#connections.values()] : one ? [one] : []
    for (const taken of all) this.#handle(taken, { kind })
  }

  /** Something of a client. */
  hear(segment: Segment): void {
    const taken = this.#connections.get(flowOf(segment.source, segment.destination))
    if (taken !== undefined) {
      this.#handle(taken, { kind: 'segment', segment, ...this.#told(taken) })
    }
  }

  /** It is somebody else's: nothing more is done for it. What is served stays so. */
  drop(flow: Flow): void {
    const taken = this.#connections.get(flow)
    if (taken === undefined) return
    this.#letGo(taken)
    if (taken.machine.state === 'probed') this.#unanswered -= 1
    this.#forget(taken)
    this.#parts.onChange()
  }

  close(): void {
    this.#timer?.cancel()
    for (const taken of this.#connections.values()) this.#letGo(taken)
    this.#connections.clear()
    this.#due = Infinity
    this.#unanswered = 0
  }

  #onTick(): void {
    this.#timer = undefined
    this.#due = Infinity
    const now = this.#parts.clock.monotonic()
    for (const taken of this.#connections.values()) {
      if ((taken.machine.deadline ?? Infinity) > now) continue
      this.#handle(taken, { kind: 'tick', ...this.#told(taken) })
    }
    for (const { machine } of this.#connections.values()) this.#arm(machine.deadline)
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
    const { machine } = taken
    const before = machine.state
    for (const action of machine.handle(event, this.#parts.clock.monotonic())) {
      try {
        this.#perform(taken, action)
      } catch {
        // Of the kernel: an address that is none here, a table that is full, no memory.
        this.#handle(taken, { kind: 'refused', cause: 'kernel' })
        break
      }
    }
    const isAnswered = before === 'probed' && machine.state !== 'probed'
    if (isAnswered) this.#unanswered -= 1
    if (machine.state === 'over') this.#forget(taken)
    if (isAnswered || machine.state === 'over') this.#parts.onChange()
    this.#arm(machine.deadline)
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
        this.#letGo(taken)
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

  /** What is served is no longer this one's. */
  #letGo(taken: Taken<Subject>): void {
    if (taken.socket === undefined) this.#silence(taken)
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

  #forget(taken: Taken<Subject>): void {
    if (this.#connections.get(taken.flow) === taken) this.#connections.delete(taken.flow)
  }

  /** One timer for all; it may come early. */
  #arm(deadline: number | undefined): void {
    if (deadline === undefined || deadline >= this.#due) return
    this.#due = deadline
    this.#timer?.cancel()
    const wait = Math.max(1, deadline - this.#parts.clock.monotonic())
    this.#timer = this.#parts.clock.after(wait, () => this.#onTick())
  }
}

interface Taken<Subject> {
  readonly flow: Flow
  readonly remote: Endpoint
  readonly machine: ConnectionTakeover
  readonly subject: Subject
  /** The socket that stands for it now: ours alone until it is served. */
  fd: number | undefined
  socket: Socket | undefined
}
