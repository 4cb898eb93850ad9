import type { Handshake } from '../../resumption/handshake.ts'
import type { AuthDecision } from '../decision.ts'
import { Waiters } from '../request/waiters.ts'
import type { Binding, Login } from './identity-record.ts'
import type { Logins, SeenLogin } from './logins.ts'

/** How long it is not asked for in the farm again after a miss, in milliseconds. */
const askInterval = 1_000

/** What the log-ins of one connection have in common. */
export interface RememberedIn {
  readonly handshake: Handshake
  readonly logins: Logins
  /** Whether the farm may be asked now: strangers' credentials must not flood it. */
  mayAsk(now: number): boolean
}

/**
 * What is remembered of a log-in on one connection: of the credentials with a certain print, or
 * of the TLS session itself. Where the client holds a session the log-in lies in the farm, under
 * the session's lineage, and is looked up for each request, so that a log-out anywhere is seen;
 * where it does not, it lies here and ends with the connection.
 */
export class RememberedLogin {
  readonly #connection: RememberedIn
  readonly #print: Buffer | undefined
  #place: Binding | undefined
  /** The log-in of a connection without lineage. */
  #own: Login | undefined
  #ownEnded = false
  readonly #seen: SeenLogin = {}
  #askAt = 0
  /** The credentials are being checked for another request right now. */
  checking: Promise<AuthDecision> | undefined
  /** For what is being checked. */
  readonly waiters: Waiters = new Waiters()
  /** How often it was ended here: what is being checked may have been overtaken. */
  ends = 0
  /** It was believed on this connection before, within the limits on guesses. */
  believed = false
  /** A revocation was met here: who sends credentials by itself is to be asked once. */
  revoked = false
  /** The client has been asked since the last log-out. */
  asked = false

  /** `print`: of the credentials; undefined for the session itself. */
  constructor(connection: RememberedIn, print?: Buffer) {
    this.#connection = connection
    this.#print = print
    // A lineage that began here can't be known anywhere else.
    this.#askAt = connection.handshake.resumed ? 0 : Number.POSITIVE_INFINITY
  }

  /** Where it lies in the farm. */
  get key(): Buffer | undefined {
    return this.#placeNow()?.key
  }

  /** The user logged out, and has not logged in since. */
  get ended(): boolean {
    const place = this.#placeNow()
    return (
      this.#ownEnded || (place !== undefined && this.#connection.logins.isEnded(place))
    )
  }

  /** It is good: whatever ended before is over. */
  believe(): void {
    this.believed = true
    this.revoked = false
    this.asked = false
  }

  /** There is something here that a later request must find. */
  get matters(): boolean {
    const { believed, revoked, asked, checking } = this
    return believed || revoked || asked || this.#ownEnded || checking !== undefined
  }

  /** What this member has where it belongs; nobody is asked. */
  local(): Login | undefined {
    const place = this.#placeNow()
    if (place === undefined) return this.#own
    if (this.#own !== undefined) return undefined
    return this.#connection.logins.local(place, this.#seen)
  }

  async login(now: number): Promise<Login | undefined> {
    const { logins } = this.#connection
    await this.settle()
    const place = this.#placeNow()
    if (place === undefined) return this.#own
    const local = logins.local(place, this.#seen)
    if (local !== undefined || now < this.#askAt) return local
    if (!this.#connection.mayAsk(now)) return undefined
    this.#askAt = now + askInterval
    return logins.find(place)
  }

  /** Takes the log-in into the farm: TLS 1.3 may give a session after the first request. */
  async settle(): Promise<void> {
    const place = this.#placeNow()
    const own = this.#own
    if (place === undefined || own === undefined) return
    this.#own = undefined
    await this.#connection.logins.add(place, own)
  }

  async remember(login: Login): Promise<void> {
    const place = this.#placeNow()
    this.#ownEnded = false
    this.believe()
    if (place === undefined) this.#own = login
    else {
      this.#askAt = 0
      await this.#connection.logins.add(place, login)
    }
  }

  /**
   * True when every reachable member knows. `here`: nothing is remembered yet that other
   * members could have.
   */
  async end(here = false): Promise<boolean> {
    const place = this.#placeNow()
    this.ends += 1
    this.#own = undefined
    this.#ownEnded = here || place === undefined
    this.believed = false
    this.asked = false
    this.#connection.logins.forgotten(this)
    return here || place === undefined || (await this.#connection.logins.end(place))
  }

  #placeNow(): Binding | undefined {
    if (this.#place !== undefined) return this.#place
    const { handshake, logins } = this.#connection
    const { lineage, serverName } = handshake
    if (lineage === undefined) return undefined
    this.#place = logins.placeOf(lineage, serverName, this.#print)
    return this.#place
  }
}
