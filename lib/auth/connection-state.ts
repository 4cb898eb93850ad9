import { type Handshake, handshakeOf } from '../resumption/handshake.ts'
import type { Identity } from './identity.ts'
import type { Binding, Login } from './identity-record.ts'
import type { Logins, SeenLogin } from './logins.ts'
import type { AuthDecision } from './request.ts'

/** Users that one connection may bring credentials of before the first is checked again. */
const maxProved = 16

/** How long a connection waits before it asks the farm again after a miss, in milliseconds. */
const askInterval = 1_000

/**
 * What is known of the user of one connection. Where the client holds a session, the log-in
 * lies under its lineage and is looked up for each request, so that a log-out anywhere is seen;
 * where it does not, it lies here and ends with the connection.
 */
export class ConnectionState {
  readonly handshake: Handshake
  readonly #logins: Logins
  /**
   * Credentials that were right here, and for whom; they are not checked again. Credentials
   * are known by a digest under a key of this process.
   */
  readonly #proved = new Map<string, Identity>()
  /** Credentials that are being checked for another request right now. */
  readonly checking: Map<string, Promise<AuthDecision>> = new Map()
  /** The log-in of a connection without lineage. */
  #own: Login | undefined
  #ownEnded = false
  readonly #seen: SeenLogin = {}
  #askAt = 0
  /** A revocation was met here: who sends credentials by itself is to be asked once. */
  revoked = false
  /** The client has been asked since the last log-out. */
  asked = false

  constructor(handshake: Handshake, logins: Logins) {
    this.handshake = handshake
    this.#logins = logins
    // A lineage that began here can't be known anywhere else.
    this.#askAt = handshake.resumed ? 0 : Number.POSITIVE_INFINITY
  }

  get place(): Binding | undefined {
    const { lineage, serverName } = this.handshake
    return lineage && this.#logins.placeOf(lineage, serverName)
  }

  /** The user logged out, and has not logged in since. */
  get ended(): boolean {
    const { place } = this
    return this.#ownEnded || (place !== undefined && this.#logins.isEnded(place))
  }

  provedBy(digest: string): Identity | undefined {
    return this.#proved.get(digest)
  }

  keepProved(digest: string, identity: Identity): void {
    this.#proved.delete(digest)
    this.#proved.set(digest, identity)
    const [oldest] = this.#proved.keys()
    if (this.#proved.size > maxProved && oldest !== undefined) this.#proved.delete(oldest)
  }

  async login(now: number): Promise<Login | undefined> {
    const { place } = this
    if (place === undefined) return this.#own
    const own = this.#own
    if (own !== undefined) {
      // TLS 1.3 may give the client its session after the first request.
      this.#own = undefined
      await this.#logins.add(place, own)
    }
    const local = this.#logins.local(place, this.#seen)
    if (local !== undefined || now < this.#askAt) return local
    this.#askAt = now + askInterval
    return this.#logins.find(place)
  }

  async remember(login: Login): Promise<void> {
    const { place } = this
    this.#ownEnded = false
    this.revoked = false
    this.asked = false
    if (place === undefined) this.#own = login
    else {
      this.#askAt = 0
      await this.#logins.add(place, login)
    }
  }

  /** True when every reachable member knows. */
  async end(): Promise<boolean> {
    const { place } = this
    this.#own = undefined
    this.#ownEnded = place === undefined
    this.#proved.clear()
    this.asked = false
    return place === undefined || (await this.#logins.end(place))
  }
}

/**
 * The states of the connections of attached servers. Keyed by the handshake, which is one
 * object per connection, while HTTP/2 hands out a new socket proxy for each request.
 */
export class ConnectionStates {
  readonly #logins: Logins
  readonly #states = new WeakMap<Handshake, ConnectionState>()

  constructor(logins: Logins) {
    this.#logins = logins
  }

  of(socket: object): ConnectionState | undefined {
    const handshake = handshakeOf(socket)
    if (handshake === undefined) return undefined
    let state = this.#states.get(handshake)
    if (state === undefined) {
      state = new ConnectionState(handshake, this.#logins)
      this.#states.set(handshake, state)
    }
    return state
  }
}
