import type { Socket } from 'node:net'
import { type Clock, systemClock } from '../clock.ts'
import { showEndpoints } from '../proxy-protocol/show-endpoints.ts'
import { handshakeOf } from '../resumption/handshake.ts'
import type { Checkpoint, Endpoint } from '../takeover/checkpoint/checkpoint.ts'
import type {
  Acknowledged,
  CheckpointedConnection,
  Recordable,
} from '../takeover/checkpoint/checkpointed-connection.ts'
import { type CheckpointCounts, Checkpoints } from '../takeover/checkpoint/checkpoints.ts'
import { decodeCheckpoint, encodeCheckpoint } from '../takeover/checkpoint/codec.ts'
import { wipe } from '../takeover/connection/connection-state.ts'
import { ProtectedConnection } from '../takeover/connection/protected-connection.ts'
import {
  type Adoption,
  judgeAdoption,
  type LeftBehind,
} from '../takeover/guardian/adoption.ts'
import {
  handleOf,
  type SystemHandle,
  socketOf,
} from '../takeover/guardian/system-handle.ts'
import type { Holding, MovedConnection } from '../takeover/host/move/holding.ts'
import type { NativeSocket } from '../takeover/native/native-socket.ts'
import { withoutMapping } from '../takeover/native/socket-address.ts'
import { endOf } from '../takeover/plan/planned-response.ts'
import type {
  Base,
  Inheritance,
  ProtectionOptions,
} from '../takeover/protection-options.ts'
import { AddressHolding, type OpenConnection } from './address-holding.ts'
import {
  type AdoptedConnection,
  AdoptedConnections,
} from './client/adopted-connections.ts'
import type { ClientConnection } from './client/client-connection.ts'
import type { Exchange } from './client/exchange.ts'
import { WrittenConnection } from './client/written-connection.ts'
import { ConnectionHolding } from './connection-holding.ts'

/** What a proxy does for connections that have begun in another process. */
export interface ProtectionParts {
  /** Counts the connection, and knows whose it is; undefined: there is no room for it. */
  readonly admit: (transport: ProtectedConnection) => ClientConnection | undefined
  /** Serves one request. */
  readonly handle: (exchange: Exchange) => void
  /** Reads requests from now on. */
  readonly accept: (connection: ClientConnection) => void
  readonly idleTimeout: () => number
}

/** The connections of a proxy that are written down, and those that others have written down. */
export class Protection {
  readonly #options: ProtectionOptions
  readonly #parts: ProtectionParts
  readonly #clock: Clock
  readonly #checkpoints: Checkpoints<Socket>
  readonly #adopted: AdoptedConnections
  readonly #open = new Map<ProtectedConnection, OpenConnection>()
  /** By the checkpoint that they had from another host. */
  readonly #inherited = new WeakMap<Buffer, OpenConnection>()

  constructor(
    options: ProtectionOptions,
    parts: ProtectionParts,
    clock: Clock = systemClock,
  ) {
    this.#options = options
    this.#parts = parts
    this.#clock = clock
    this.#checkpoints = new Checkpoints(options.keeper, clock)
    this.#adopted = new AdoptedConnections({
      ...parts,
      clock,
      counters: options.counters,
    })
  }

  /** From now on it is written down how far the connection is. */
  begin(
    connection: ClientConnection,
    transport: ProtectedConnection,
    id?: Buffer,
    base: Base = fromAccept,
  ): CheckpointedConnection<Socket> {
    const { transport: socket } = transport
    const { kernelOf, native } = this.#options
    const handle = handleOf(socket)
    this.#options.watch?.(socket)
    const one = this.#checkpoints.open({
      connection: recordableOf(transport, native, base),
      socket,
      local: endpointOf(socket.localAddress, socket.localPort),
      remote: endpointOf(socket.remoteAddress, socket.remotePort),
      lineage: handshakeOf(transport)?.lineage,
      network: connection.network,
      kernel: handle && kernelOf?.(handle.fd, base),
      id,
    })
    const commit = () => this.#checkpoints.commit(one)
    connection.written = new WrittenConnection(transport, one, this.#clock, commit)
    if (this.#options.keeper.output !== undefined) {
      transport.guard = {
        suspend: () => this.#checkpoints.suspend(one),
        settled: () => this.#checkpoints.settled(one),
      }
    }
    this.#open.set(transport, { transport, one, base })
    transport.once('close', () => {
      this.#open.delete(transport)
      this.#checkpoints.end(one)
    })
    return one
  }

  /**
   * Goes on with a connection that another process of this host has begun, and can do nothing
   * with any more. The handle is this process's from now on. False: it is over.
   */
  adopt(handle: SystemHandle, bytes: Buffer): boolean {
    const { counters, native } = this.#options
    let left: LeftBehind
    try {
      left = { written: native.written(handle.fd), read: native.read(handle.fd) }
    } catch {
      counters.count('unreadable')
      handle.close()
      return false
    }
    // What the kernel has may be the end of a whole answer: it ends as without a guardian.
    const socket = socketOf(handle)
    return this.#take(socket, bytes, left, fromAccept, () => socket.destroy())
  }

  /**
   * The same for a connection of another host, with a socket that was made for where it is; once
   * more with the same bytes when the client turns out to be further. Unless it is `exact`, nobody
   * knows what that host has sealed last and lost on its way: under TLS nothing is sealed then but
   * the rest of a planned response, which is the same bytes again. One that was moved is exact.
   */
  inherit(socket: Socket, bytes: Buffer, at: Inheritance): boolean {
    const end = () => socket.resetAndDestroy()
    if (at.standing === 'suspended') {
      this.#options.counters.count('stale')
      end()
      return false
    }
    const before = this.#inherited.get(bytes)
    // What was said here meanwhile, or told to others, is not in the bytes.
    const hasMore = before?.transport.hasSpoken || before?.one.isWritten
    const from: Inheritance = hasMore ? { ...at, standing: 'loose' } : at
    const left = { written: at.position, read: at.readPosition }
    return this.#take(socket, bytes, left, from, end)
  }

  #take(
    socket: Socket,
    bytes: Buffer,
    left: LeftBehind,
    base: Inheritance,
    end: () => void,
  ): boolean {
    const { counters } = this.#options
    let checkpoint: Checkpoint
    try {
      checkpoint = decodeCheckpoint(bytes)
    } catch {
      counters.count('unreadable')
      end()
      return false
    }
    const { transport: state, owed, id, remote, local } = checkpoint
    const adoption = judgeAdoption(checkpoint, left)
    const isSealed =
      base !== fromAccept && base.standing !== 'exact' && state.kind === 'tls13'
    if (adoption.kind === 'reset' || (isSealed && adoption.kind !== 'resume')) {
      counters.count(adoption.kind === 'reset' ? adoption.cause : 'sealed')
      wipe(state)
      end()
      return false
    }
    const isSaid = owed?.response && left.written === endOf(owed.response.planned) + 1
    if (isSaid) {
      // Its end counts as a byte, and has been said, too.
      counters.count('complete')
      wipe(state)
      end()
      return false
    }
    if (socket.remoteAddress !== remote.address) {
      showEndpoints(socket, { source: remote, destination: local })
    }
    const transport = ProtectedConnection.adopt(socket, state, left.written, left.read)
    wipe(state)
    const connection = this.#parts.admit(transport)
    if (connection === undefined) {
      counters.count('refused')
      transport.resetAndDestroy()
      return false
    }
    // One of another host has a checkpoint of its own: the old one is that host's.
    const one = this.begin(
      connection,
      transport,
      base === fromAccept ? id : undefined,
      base,
    )
    if (base !== fromAccept) this.#inherited.set(bytes, { transport, one, base })
    this.#goOn({ connection, transport }, adoption, checkpoint, one, isSealed)
    return true
  }

  counts(): CheckpointCounts {
    return this.#checkpoints.counts()
  }

  /**
   * The connections that can be gone on with as they are go to another process. `held`: the ids, in
   * hexadecimal, of those of which there is a duplicate; without one a connection ends here.
   */
  leave(held: ReadonlySet<string>): void {
    for (const one of this.#checkpoints.all()) {
      if (!held.has(one.id.toString('hex'))) continue
      const { socket } = one.opened
      const handle = handleOf(socket)
      if (handle === undefined || !this.#isStill(one, handle)) continue
      const given = this.#checkpoints.give(one, closed => {
        // With the duplicate of the guardian open the client hears nothing of it.
        socket.once('close', closed)
        socket.destroy()
      })
      // What the client says from now on is for whoever reads it next.
      if (given) handle.readStop?.()
    }
  }

  /** Ends what is served at an address of this host, and not a word of it goes out. */
  silence(address: string): void {
    for (const transport of this.#open.keys()) {
      const { transport: socket } = transport
      const handle = handleOf(socket)
      if (handle === undefined || withoutMapping(socket.localAddress ?? '') !== address)
        continue
      this.#options.native.silence(handle.fd)
      transport.destroy()
    }
  }

  /** The connections of an address of this host, on their way to another host. */
  holding(
    address: string,
    listener: number | undefined,
    sockets: () => Iterable<Socket>,
  ): Holding {
    return new AddressHolding({
      address,
      native: this.#options.native,
      listener,
      sockets,
      open: () => this.#open.values(),
      clock: this.#clock,
    })
  }

  /**
   * One of them alone, by its id in hexadecimal. Undefined when there is none, and where others could
   * go on with it from what they were told before.
   */
  holdingOf(id: string): Holding | undefined {
    const name = Buffer.from(id, 'hex')
    const { native, keeper } = this.#options
    const open = [...this.#open.values()].find(({ one }) => one.id.equals(name))
    if (open === undefined || keeper.output === undefined) return undefined
    const { transport: socket } = open.transport
    return new ConnectionHolding({
      holding: new AddressHolding({
        address: withoutMapping(socket.localAddress ?? ''),
        native,
        listener: undefined,
        sockets: () => [socket],
        open: () => [open],
        clock: this.#clock,
      }),
      recall: async () => (await this.#checkpoints.recall(open.one)) ?? false,
      resume: () => open.one.changed(this.#clock.monotonic()),
    })
  }

  /** Those that `holdingOf` could hold now, as they are. */
  movable(): MovedConnection[] {
    if (this.#options.keeper.output === undefined) return []
    return [...this.#open.values()].flatMap(({ one }) => {
      const state = one.checkpoint(this.#clock.now())
      const acked = one.opened.connection.acked()
      const checkpoint = state && encodeCheckpoint(state)
      if (state !== undefined) wipe(state.transport)
      return checkpoint && acked !== undefined ? [{ id: one.id, acked, checkpoint }] : []
    })
  }

  drain(): void {
    this.#adopted.drain()
  }

  close(): void {
    this.#checkpoints.close()
  }

  /** Neither has the client said anything that is here alone, nor is anything on its way to it. */
  #isStill(one: CheckpointedConnection<Socket>, handle: SystemHandle): boolean {
    const checkpoint = one.checkpoint(0)
    if (checkpoint === undefined) return false
    const { owed, position, readPosition, transport } = checkpoint
    wipe(transport)
    if (owed !== undefined && owed.response === undefined) return false
    try {
      const { native } = this.#options
      if (native.read(handle.fd) !== readPosition) return false
      return owed !== undefined || native.written(handle.fd) === position
    } catch {
      return false
    }
  }

  #goOn(
    adopted: AdoptedConnection,
    adoption: Exclude<Adoption, { kind: 'reset' }>,
    { owed, readPosition }: Checkpoint,
    one: CheckpointedConnection<Socket>,
    isSealed: boolean,
  ): void {
    const { counters } = this.#options
    if (adoption.kind === 'idle' || owed === undefined) {
      counters.count('idle')
      this.#adopted.idle(adopted)
    } else if (adoption.kind === 'ask') {
      counters.count('asked')
      this.#adopted.ask(adopted, owed.request, adoption.last)
    } else if (adoption.kind === 'fail' || owed.response === undefined) {
      counters.count('failed')
      this.#adopted.fail(adopted)
    } else {
      const { request, response } = owed
      const { planned } = response
      const last = adoption.last || isSealed
      const missing = adopted.transport.resumeResponse(planned, isSealed)
      if (missing === 'impossible') {
        counters.count('stale')
        adopted.transport.resetAndDestroy()
      } else if (missing === 'complete') {
        counters.count('complete')
        this.#adopted.after(adopted, planned.keepAlive && !last)
      } else {
        one.resumed(owed, readPosition, this.#clock.monotonic())
        this.#adopted.resume(adopted, request, response, missing, last)
      }
    }
  }
}

/** Where a connection begins that was accepted here. */
const fromAccept: Inheritance = { position: 0, readPosition: 0, standing: 'loose' }

function recordableOf(
  transport: ProtectedConnection,
  native: NativeSocket,
  base: Base,
): Recordable & Acknowledged {
  return {
    get position() {
      return transport.position
    },
    get readPosition() {
      return transport.readPosition
    },
    state: () => transport.state(),
    acked: () => {
      const handle = handleOf(transport.transport)
      return handle && base.position + native.acked(handle.fd)
    },
  }
}

function endpointOf(address: string | undefined, port: number | undefined): Endpoint {
  return { address: address ?? '', port: port ?? 0 }
}
