import type { SecureContext, Server, TLSSocket } from 'node:tls'
import { handleNow, type NativeHandle } from '../native/native-handle.ts'
import type { PendingHandshake } from '../session/pending-handshake.ts'
import { ExternalPsk } from './external-psk.ts'
import { isSessionEvent } from './session-events.ts'

const handshakeSymbol: unique symbol = Symbol('handfast.pendingHandshake')

interface StandIn extends Server {
  readonly [handshakeSymbol]: PendingHandshake
}

interface NotedHandle extends NativeHandle {
  [handshakeSymbol]?: {
    readonly correlation: Correlation
    readonly handshake: PendingHandshake
  }
}

/**
 * Whose connection an event of the server is about: `newSession` and `resumeSession` name no
 * socket. Each connection is begun with a stand-in for the server, whose `emit` notes the
 * connection and then has the server emit. An AsyncLocalStorage would tell the same, but on
 * Node 20 and 22 it makes every callback and promise of the whole process dearer: a tenth of
 * the handshake's cost.
 */
export class Correlation {
  readonly #psk: ExternalPsk
  /** What all stand-ins have in common. */
  readonly #seen: Server
  /** The same for connections whose sessions TLS need not tell us of. */
  readonly #seenWithout: Server
  #current: PendingHandshake | undefined

  constructor(server: Server) {
    this.#psk = new ExternalPsk(server)
    const correlation = this
    this.#seen = Object.create(server, {
      emit: {
        value(this: StandIn, ...event: Parameters<Server['emit']>): boolean {
          const outer = correlation.#current
          correlation.#current = this[handshakeSymbol]
          const socket = socketOf(event)
          if (socket !== undefined) Object.assign(socket, { server })
          try {
            return server.emit(...event)
          } finally {
            correlation.#current = outer
          }
        },
      },
      listenerCount: {
        // Node asks so whether it shall raise them at all.
        value(...event: Parameters<Server['listenerCount']>): number {
          return isSessionEvent(event[0]) ? 1 : server.listenerCount(...event)
        },
      },
    })
    this.#seenWithout = Object.create(this.#seen, {
      listenerCount: {
        value(...event: Parameters<Server['listenerCount']>): number {
          return isSessionEvent(event[0]) ? 0 : server.listenerCount(...event)
        },
      },
    })
  }

  /**
   * The server as the TLS of this one connection is to see it. In a `context` of its own it raises
   * no events about sessions: to make their bytes, and to read the hello for them, is for nothing.
   */
  standIn(handshake: PendingHandshake, context?: SecureContext): Server {
    const seen = Object.create(context === undefined ? this.#seen : this.#seenWithout)
    seen[handshakeSymbol] = handshake
    if (context !== undefined) seen._sharedCreds = context
    this.#psk.note(seen, handshake)
    return seen
  }

  /** Inside an event: the connection that it is about. */
  get current(): PendingHandshake | undefined {
    if (this.#current !== undefined) return this.#current
    const noted = (handleNow() as NotedHandle)[handshakeSymbol]
    // Two servers may hand their sockets to one.
    return noted?.correlation === this ? noted.handshake : undefined
  }

  /** The handshake is over: later events are known by the native handle. */
  handOver(socket: TLSSocket, handshake: PendingHandshake): void {
    const { _handle: handle } = socket as TLSSocket & { _handle?: NotedHandle | null }
    if (handle) handle[handshakeSymbol] = { correlation: this, handshake }
  }
}

/**
 * The socket that its owner gets with the event. From here on it is theirs: they may ask whose
 * it is, and make another server its `server`.
 */
function socketOf([name, first, second]: readonly unknown[]): object | undefined {
  if (name === 'secureConnection') return first as TLSSocket
  return name === 'tlsClientError' ? (second as TLSSocket) : undefined
}
