import { BoundedMap } from '../../bounded-map.ts'
import { TokenBucket } from '../../limit/token-bucket.ts'
import { type Handshake, handshakeOf } from '../../resumption/handshake.ts'
import type { Logins } from './logins.ts'
import { type RememberedIn, RememberedLogin } from './remembered-login.ts'

/**
 * Credentials that one connection may have shown before the first is looked up in the table
 * again: a gateway brings those of many users.
 */
const maxShown = 256
/** Questions to the farm, and records into it, that one connection may cause. */
const asks = { perSecond: 32, atOnce: 32 }
const writes = { perSecond: 1, atOnce: 256 }

/** What is known of the users of one connection, and of what they have shown. */
export class ConnectionState implements RememberedIn {
  readonly handshake: Handshake
  readonly logins: Logins
  /** Who the TLS session as such belongs to, as far as that is known. */
  readonly session: RememberedLogin
  /** Somebody has guessed here: each request counts towards the limits on log-ins. */
  suspect = false
  /** By the print of the credentials. */
  readonly #shown = new BoundedMap<string, RememberedLogin>(maxShown)
  #asks: TokenBucket | undefined
  #writes: TokenBucket | undefined

  constructor(handshake: Handshake, logins: Logins) {
    this.handshake = handshake
    this.logins = logins
    this.session = new RememberedLogin(this)
  }

  /** What is remembered of the credentials with this print. */
  shown(print: Buffer): RememberedLogin {
    const name = print.toString('latin1')
    let remembered = this.#shown.get(name)
    if (remembered === undefined) {
      remembered = new RememberedLogin(this, print)
      this.#shown.set(name, remembered)
    }
    return remembered
  }

  /** Lets go of credentials of which there is nothing to remember: most guesses are wrong. */
  tidy(print: Buffer): void {
    const name = print.toString('latin1')
    if (this.#shown.get(name)?.matters === false) this.#shown.delete(name)
  }

  mayAsk(now: number): boolean {
    this.#asks ??= new TokenBucket(asks.perSecond, asks.atOnce)
    return this.#asks.take(now)
  }

  /** Whether another record may go into the farm: a client can vary what it shows at will. */
  mayRemember(now: number): boolean {
    this.#writes ??= new TokenBucket(writes.perSecond, writes.atOnce)
    return this.#writes.take(now)
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
