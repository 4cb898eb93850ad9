import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls'
import { type Clock, systemClock } from '../clock.ts'

/** Sessions that are kept: as many connections that begin at once resume each from one of its own. */
const most = 16
/**
 * For so long, in milliseconds, sessions may follow from one full handshake: a certificate that has
 * run out, or was replaced for a reason, is not believed for ever.
 */
const longestChain = 24 * 3_600_000

/** Handshakes with a backend since start. */
export interface BackendHandshakes {
  readonly full: number
  readonly resumed: number
}

interface Session {
  readonly bytes: Buffer
  /** When the certificate behind it was verified, in monotonic milliseconds. */
  readonly verifiedAt: number
}

/**
 * The sessions that a backend has given, so that the next connection to it resumes. They belong to
 * one name, one set of authorities and one certificate of our own: backends that differ in any must
 * not share them.
 *
 * Each is used once as long as there are others, for some servers take none twice. The last one is
 * used again and again, for others give none when they resume. RFC 8446 C.4 asks clients not to, so
 * that nobody can follow them on the wire; where a proxy goes everybody can see.
 *
 * (undici keeps them, too, but only until the next garbage collection.)
 */
export class TlsSessions {
  readonly #clock: Clock
  /** The newest comes last. */
  readonly #kept: Session[] = []
  #full = 0
  #resumed = 0

  constructor(clock: Clock = systemClock) {
    this.#clock = clock
  }

  get handshakes(): BackendHandshakes {
    return { full: this.#full, resumed: this.#resumed }
  }

  /** As `connect` of node:tls. */
  connect(options: ConnectionOptions): TLSSocket {
    const offered = this.#take()
    const socket = connect(offered ? { ...options, session: offered.bytes } : options)
    let verifiedAt = offered?.verifiedAt ?? 0
    // Node tells of none before the certificate has been verified.
    socket.on('session', bytes => {
      this.#kept.push({ bytes, verifiedAt })
      if (this.#kept.length > most) this.#kept.shift()
    })
    // There are servers that a session which they can't use makes fail, or say nothing.
    const onClose = (): void => this.#forget(offered)
    socket.once('close', onClose).once('secureConnect', () => {
      socket.off('close', onClose)
      if (socket.isSessionReused()) {
        this.#resumed += 1
        return
      }
      this.#full += 1
      verifiedAt = this.#clock.monotonic()
      this.#forget(offered)
    })
    return socket
  }

  #take(): Session | undefined {
    const session = this.#kept.length > 1 ? this.#kept.pop() : this.#kept[0]
    const oldest = this.#clock.monotonic() - longestChain
    if (session === undefined || session.verifiedAt > oldest) return session
    // Those that came before it are hardly worth more.
    this.#kept.length = 0
    return undefined
  }

  #forget(session: Session | undefined): void {
    const at = session === undefined ? -1 : this.#kept.indexOf(session)
    if (at >= 0) this.#kept.splice(at, 1)
  }
}
