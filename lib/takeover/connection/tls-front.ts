import type { Socket } from 'node:net'
import type { Server, TLSSocket } from 'node:tls'
import { type Clock, systemClock } from '../../clock.ts'
import { handshakeOf } from '../../resumption/handshake.ts'
import { tellSuccessor } from '../../resumption/server/successor.ts'
import { isSuiteName } from '../record-layer/suite.ts'
import { type Tls13State, wipe } from './connection-state.ts'
import { type Handover, HandshakeTap } from './handshake-tap.ts'
import { ProtectedConnection } from './protected-connection.ts'

/**
 * Has a TLS server make the handshakes of connections that go on without it. The server need
 * not listen, and everything that is attached to it works as ever: it is given a stream in the
 * place of each socket.
 *
 * What Node tells of the secrets (`keylog`) is documented; that TLS sends what it has to say in
 * order, and nothing by itself later on, is how TLS 1.3 works. Where a connection can't be taken
 * it stays with TLS.
 */
export class TlsFront {
  readonly #server: Server
  readonly #clock: Clock
  readonly #taps = new Map<string, HandshakeTap>()
  readonly #bound = new WeakMap<TLSSocket, HandshakeTap>()

  constructor(server: Server, clock: Clock = systemClock) {
    this.#server = server
    this.#clock = clock
    server.on('keylog', this.#onKeylog)
  }

  /** A connection begins: the server has its 'connection' with a stream in its place. */
  accept(socket: Socket): void {
    // Half open, for what is said last to go out before the end.
    socket.allowHalfOpen = true
    let random: string | undefined
    const tap: HandshakeTap = new HandshakeTap(socket, {
      onRandom: said => {
        const other = this.#taps.get(said)
        // A hello that is sent twice: nobody can tell whose secrets are whose.
        if (other !== undefined) {
          other.pass()
          return false
        }
        random = said
        this.#taps.set(said, tap)
        return true
      },
      onOver: () => {
        if (random !== undefined) this.#taps.delete(random)
      },
    })
    this.#server.emit('connection', tap)
  }

  /**
   * To be called in the server's 'secureConnection', where nothing was written to the socket
   * yet. `done` is told the connection that takes the socket's place, whose own end is then
   * come; undefined when the socket is to be served itself, if it is not destroyed.
   */
  take(
    socket: TLSSocket,
    done: (connection: ProtectedConnection | undefined) => void,
  ): void {
    const tap = this.#bound.get(socket)
    const isOurs = socket.getProtocol() === 'TLSv1.3' && socket.alpnProtocol !== 'h2'
    if (tap === undefined || !isOurs) {
      tap?.pass()
      done(undefined)
      return
    }
    const timer = this.#clock.after(longestTaking, () => socket.destroy())
    const write = (marker: Buffer) => {
      // Inside this event TLS has not written its tickets yet.
      setImmediate(() => socket.write(marker))
    }
    tap.takeAway(write, handover => {
      timer.cancel()
      if (handover === undefined) {
        tap.pass()
        done(undefined)
        return
      }
      const connection = connectionOf(socket, handover)
      this.#tell(connection, socket)
      socket.on('error', () => {})
      socket.destroy()
      done(connection)
    })
  }

  /**
   * A connection that such a server had in another process: whatever is attached to this one
   * may end it, too.
   */
  adopt(connection: ProtectedConnection): void {
    this.#tell(connection, undefined)
  }

  /** Connections that are not taken stay with TLS. */
  close(): void {
    this.#server.off('keylog', this.#onKeylog)
    for (const tap of [...this.#taps.values()]) tap.pass()
  }

  readonly #onKeylog = (line: Buffer, socket: TLSSocket): void => {
    const [label = '', random = '', secret = ''] = line
      .toString('latin1')
      .trim()
      .split(' ')
    const tap = this.#bound.get(socket) ?? this.#bind(socket, random)
    const which = secretLabels[label]
    if (tap === undefined || which === undefined) return
    const suite = socket.getCipher()?.standardName
    if (isSuiteName(suite)) tap.tell(suite, which, Buffer.from(secret, 'hex'))
    else tap.pass()
  }

  #tell(connection: ProtectedConnection, before: TLSSocket | undefined): void {
    const handshake = handshakeOf(connection)
    if (handshake === undefined) return
    tellSuccessor(this.#server, { socket: connection, handshake, before })
  }

  #bind(socket: TLSSocket, random: string): HandshakeTap | undefined {
    const tap = this.#taps.get(random)
    if (tap === undefined) return undefined
    this.#bound.set(socket, tap)
    // Node asks the handle under TLS, and that of a stream has no address.
    for (const name of addresses) {
      const value = tap[name]
      Object.defineProperty(socket, name, { value, configurable: true })
    }
    return tap
  }
}

function connectionOf(
  socket: TLSSocket,
  { socket: transport, early, position, readPosition, ...keys }: Handover,
): ProtectedConnection {
  const { servername } = socket as TLSSocket & { servername?: string | false }
  const state: Tls13State = {
    kind: 'tls13',
    ...keys,
    readRecord: 0,
    serverName: servername || '',
    alpn: socket.alpnProtocol === 'http/1.1' ? 'http/1.1' : false,
    reused: socket.isSessionReused(),
    authorized: socket.authorized,
    certificate: socket.getPeerX509Certificate()?.raw,
    handshake: handshakeOf(socket),
  }
  const connection = ProtectedConnection.adopt(
    transport,
    state,
    position,
    readPosition,
    early,
  )
  wipe(state)
  return connection
}

const secretLabels: Readonly<Record<string, 'client' | 'server'>> = {
  CLIENT_TRAFFIC_SECRET_0: 'client',
  SERVER_TRAFFIC_SECRET_0: 'server',
}

const addresses = [
  'remoteAddress',
  'remotePort',
  'remoteFamily',
  'localAddress',
  'localPort',
] as const

/** Milliseconds for TLS to say what it still has to: tickets may wait for a store. */
const longestTaking = 10_000
