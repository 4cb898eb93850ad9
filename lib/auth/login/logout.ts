import type { Clock } from '../../clock.ts'
import type { AuthRequest } from '../request/request.ts'
import type { ConnectionState } from './connection-state.ts'
import { type Login, ownPlace } from './identity-record.ts'
import type { Logins } from './logins.ts'
import type { Remembered } from './remembered.ts'

export interface LogoutOptions {
  readonly logins: Logins
  readonly remembered: Remembered
  readonly clock: Clock
  /** Whether the TLS session alone tells the user of this request; see `rememberBy`. */
  readonly bySession: (request: AuthRequest) => boolean
  /** Print of the credentials in a request that the client would show again. */
  readonly printOf: (request: AuthRequest) => Buffer | undefined
}

/** Ends what is remembered of the user of a request, on all members. */
export class Logout {
  readonly #options: LogoutOptions

  constructor(options: LogoutOptions) {
    this.#options = options
  }

  /**
   * Ends the log-ins of the cookie, of the credentials and of the certificate that the request
   * brings, and, where it is the user's, of the TLS session. True when every member knows.
   */
  async end(request: AuthRequest, state: ConnectionState | undefined): Promise<boolean> {
    const ends = [this.#options.remembered.endCookies(request)]
    if (state !== undefined) ends.push(this.#endConnection(request, state))
    return (await Promise.all(ends)).every(reached => reached)
  }

  async #endConnection(request: AuthRequest, state: ConnectionState): Promise<boolean> {
    const { clock, printOf } = this.#options
    const print = printOf(request)
    const shown = print && state.shown(print)
    const login = await shown?.login(clock.now())
    const ends = [this.#endSession(request, state, login)]
    // Of what nobody remembers there is nothing to tell: else anybody could make all members
    // take notes, with credentials that nobody has checked.
    const here = login === undefined
    if (shown && (!here || shown.checking)) ends.push(shown.end(here))
    if (print) state.tidy(print)
    return (await Promise.all(ends)).every(reached => reached)
  }

  /** `left`: the log-in of who leaves, by the credentials that were shown. */
  async #endSession(
    request: AuthRequest,
    state: ConnectionState,
    left: Login | undefined,
  ): Promise<boolean> {
    const { clock, logins, bySession } = this.#options
    const { session, handshake } = state
    const login = await session.login(clock.now())
    // A shared one stays so, for it is a gateway's whoever leaves.
    const theirs =
      login?.kind !== 'shared' && (bySession(request) || isSameUser(login, left))
    if (!theirs && !handshake.clientAuthorized) return true
    const ends = [session.end(login === undefined && !handshake.clientAuthorized)]
    if (bySession(request) && login?.kind === 'reference') {
      ends.push(logins.end(ownPlace(login.key)))
    }
    return (await Promise.all(ends)).every(reached => reached)
  }
}

function isSameUser(a: Login | undefined, b: Login | undefined): boolean {
  if (a?.kind !== 'identity' || b?.kind !== 'identity') return false
  return a.identity.subject === b.identity.subject
}
