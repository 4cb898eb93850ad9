import type { Socket } from 'node:net'
import type { Checkpoint } from '../takeover/checkpoint/checkpoint.ts'
import type { CheckpointedConnection } from '../takeover/checkpoint/checkpointed-connection.ts'
import { encodeCheckpoint } from '../takeover/checkpoint/codec.ts'
import { wipe } from '../takeover/connection/connection-state.ts'
import type { ProtectedConnection } from '../takeover/connection/protected-connection.ts'
import { handleOf } from '../takeover/guardian/system-handle.ts'
import type {
  GivenConnections,
  Holding,
  MovedConnection,
} from '../takeover/host/move/holding.ts'
import type { NativeSocket } from '../takeover/native/native-socket.ts'
import { withoutMapping } from '../takeover/native/socket-address.ts'
import { endOf } from '../takeover/plan/planned-response.ts'
import type { Base } from '../takeover/protection-options.ts'

/** A connection that is written down, as this host has it. */
export interface OpenConnection {
  readonly transport: ProtectedConnection
  readonly one: CheckpointedConnection<Socket>
  readonly base: Base
}

export interface AddressHoldingParts {
  readonly address: string
  readonly native: NativeSocket
  /** Of the socket that listens; undefined where that is not this process's. */
  readonly listener: number | undefined
  /** All raw connections of clients, whatever is on them. */
  readonly sockets: () => Iterable<Socket>
  readonly open: () => Iterable<OpenConnection>
  /** Monotonic and wall time, ms. */
  readonly clock: { monotonic(): number; now(): number }
}

/** Milliseconds: what can't be moved for so long is not about to end. */
const lastsFor = 1_000
/** What may be asked for once more and does nothing by that: RFC 9110 9.2.1. */
const safe = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE'])

/**
 * What comes for a held connection is dropped before TCP sees it, and what its user writes waits,
 * so that of it nothing is anywhere but where its checkpoint says. New connections are dropped in
 * the same way: a client that hears nothing asks again, a second later.
 */
export class AddressHolding implements Holding {
  readonly #parts: AddressHoldingParts
  readonly #held = new Map<Socket, HeldConnection>()
  /** Those in an answer, which nothing is added to any more. */
  readonly #stopped = new Set<ProtectedConnection>()
  /** Since when they could not be moved, one look after the other. */
  readonly #unmovable = new Map<Socket, number>()

  constructor(parts: AddressHoldingParts) {
    this.#parts = parts
  }

  lasting(): number {
    const now = this.#parts.clock.monotonic()
    const open = this.#open()
    const before = new Map(this.#unmovable)
    this.#unmovable.clear()
    let count = 0
    for (const socket of this.#here()) {
      const connection = open.get(socket)
      if (connection !== undefined && this.#pointOf(connection, true) !== undefined)
        continue
      const since = before.get(socket) ?? now
      this.#unmovable.set(socket, since)
      if (now - since >= lastsFor) count += 1
    }
    return count
  }

  hold(late: boolean): number {
    const { native, listener, address } = this.#parts
    if (listener !== undefined) native.block(listener, address)
    const open = this.#open()
    let left = 0
    for (const socket of this.#here()) {
      if (this.#held.has(socket)) continue
      const connection = open.get(socket)
      if (connection === undefined || !this.#hold(socket, connection, late)) left += 1
    }
    return left
  }

  moved(): readonly MovedConnection[] {
    return this.#standing().map(({ moved }) => moved)
  }

  release(): void {
    const { native, listener } = this.#parts
    for (const { socket } of this.#standing()) {
      const handle = handleOf(socket)
      if (handle !== undefined) native.unblock(handle.fd)
    }
    for (const transport of this.#stopped) transport.release()
    this.#stopped.clear()
    this.#held.clear()
    if (listener !== undefined) native.unblock(listener)
  }

  give(leave: () => void): GivenConnections {
    const { native, listener } = this.#parts
    const cut = this.#here().filter(socket => !this.#held.has(socket))
    // As long as the address is here: they are to hear of it.
    for (const socket of cut) socket.destroy()
    // While it is here the kernel would refuse what comes for a socket that is gone.
    leave()
    const standing = this.#standing()
    for (const { socket, transport } of standing) {
      const handle = handleOf(socket)
      if (handle !== undefined) native.silence(handle.fd)
      transport.destroy()
    }
    this.#held.clear()
    this.#stopped.clear()
    if (listener !== undefined) native.unblock(listener)
    return { moved: standing.length, cut: cut.length }
  }

  /** Those that have not ended meanwhile. */
  #standing(): HeldConnection[] {
    return [...this.#held.values()].filter(({ socket }) => !socket.destroyed)
  }

  #here(): Socket[] {
    const { sockets, address } = this.#parts
    return [...sockets()].filter(
      socket =>
        !socket.destroyed && withoutMapping(socket.localAddress ?? '') === address,
    )
  }

  #open(): Map<Socket, OpenConnection> {
    return new Map([...this.#parts.open()].map(each => [each.transport.transport, each]))
  }

  #hold(socket: Socket, connection: OpenConnection, late: boolean): boolean {
    const { native } = this.#parts
    const handle = handleOf(socket)
    if (handle === undefined || this.#pointOf(connection, late) === undefined)
      return false
    const { transport, one } = connection
    transport.hold()
    this.#stopped.add(transport)
    // Once its last packets are over, none of them can come to the client in the new host's time.
    const isOver = () => this.#pointOf(connection, late)?.acked === transport.position
    if (!late && !isOver()) return false
    native.block(handle.fd)
    // Something may have come in between.
    const point = this.#pointOf(connection, late)
    if (point === undefined) {
      native.unblock(handle.fd)
      this.#stopped.delete(transport)
      transport.release()
      return false
    }
    const moved = { id: one.id, ...point }
    this.#held.set(socket, { socket, transport, moved })
    return true
  }

  /** Undefined when it is not one that another host can go on with as it is. */
  #pointOf(
    { transport, one, base }: OpenConnection,
    late: boolean,
  ): Omit<MovedConnection, 'id'> | undefined {
    const handle = handleOf(transport.transport)
    if (handle === undefined || transport.destroyed) return undefined
    const state = one.checkpoint(this.#parts.clock.now())
    if (state === undefined) return undefined
    try {
      const acked = this.#ackedOf(state, handle.fd, base, late)
      const checkpoint = acked === undefined ? undefined : encodeCheckpoint(state)
      return checkpoint && { acked: acked ?? 0, checkpoint }
    } catch {
      return undefined
    } finally {
      wipe(state.transport)
    }
  }

  #ackedOf(
    { owed, position, readPosition }: Checkpoint,
    fd: number,
    base: Base,
    late: boolean,
  ): number | undefined {
    const { native } = this.#parts
    // What the client has said is known, all of it; its end would count, too.
    if (base.readPosition + native.received(fd) !== readPosition) return undefined
    if (base.readPosition + native.read(fd) !== readPosition) return undefined
    const acked = base.position + native.acked(fd)
    if (owed?.response !== undefined) {
      // What comes before it could not be made again.
      const { planned } = owed.response
      return acked >= planned.at && acked <= endOf(planned) ? acked : undefined
    }
    if (acked !== position) return undefined
    if (owed === undefined) return acked
    const { method, hasBody } = owed.request
    return late && safe.has(method) && !hasBody ? acked : undefined
  }
}

interface HeldConnection {
  readonly socket: Socket
  readonly transport: ProtectedConnection
  readonly moved: MovedConnection
}
