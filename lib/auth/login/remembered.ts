import type { Clock } from '../../clock.ts'
import { type AuthRequest, headerOf } from '../request/request.ts'
import type { ConnectionState } from './connection-state.ts'
import { type Binding, type KnownLogin, type Login, ownPlace } from './identity-record.ts'
import { type LoginCookie, loginKey } from './login-cookie.ts'
import type { LoginTerms } from './login-terms.ts'
import type { Logins } from './logins.ts'
import type { RememberedLogin } from './remembered-login.ts'

export interface RememberedOptions {
  readonly logins: Logins
  readonly terms: LoginTerms
  readonly clock: Clock
  readonly random: (bytes: number) => Buffer
  /** Only with form log-in. */
  readonly cookie: LoginCookie | undefined
  /** Whether the TLS session alone tells the user of this request; see `rememberBy`. */
  readonly bySession: (request: AuthRequest) => boolean
  /** The TLS session alone may tell the user of some requests. */
  readonly sessionsTell: boolean
}

/**
 * Who is known without being asked: by what the user's agent shows above TLS, which is its
 * cookie or its credentials again, or by its client certificate. A TLS session alone may belong
 * to a gateway, which puts the requests of many users on it.
 */
export class Remembered {
  readonly #options: RememberedOptions

  constructor(options: RememberedOptions) {
    this.#options = options
  }

  /** By what a client sends along unasked. The cookie says more than the connection does. */
  async recall(
    request: AuthRequest,
    state: ConnectionState | undefined,
  ): Promise<KnownLogin | undefined> {
    const { logins, terms } = this.#options
    for (const place of this.cookiePlaces(request)) {
      const login = await logins.find(place)
      if (login?.kind === 'identity' && terms.holds(login, state, undefined)) return login
    }
    return state && this.#recallSession(request, state)
  }

  /** By the credentials that the client has shown again; the limits on guesses are yours. */
  async recallShown(
    shown: RememberedLogin,
    state: ConnectionState,
  ): Promise<KnownLogin | undefined> {
    await state.session.settle()
    const { clock, terms } = this.#options
    const login = await shown.login(clock.now())
    if (login?.kind !== 'identity') return undefined
    return terms.holds(login, state, shown) ? login : undefined
  }

  /**
   * Notes whose the TLS session is, so that a revocation finds it. One that has spoken for
   * somebody else already is a gateway's, not a user's: it is remembered as shared, and nobody
   * is known by it.
   */
  async claimSession(
    login: KnownLogin,
    request: AuthRequest,
    state: ConnectionState,
  ): Promise<void> {
    const { clock, terms, sessionsTell, bySession } = this.#options
    const now = clock.now()
    const before = await state.session.login(now)
    if (before?.kind === 'shared') return
    const known = await this.#resolve(before)
    const { subject, expiresAt } = login.identity
    const other =
      before !== undefined &&
      (before.kind === 'reference' || known !== undefined) &&
      known?.identity.subject !== subject
    if (other || (sessionsTell && !bySession(request))) {
      return state.session.remember({ kind: 'shared', expiresAt: terms.endOf(state) })
    }
    const same =
      known?.identity.method === login.identity.method && known.basis.equals(login.basis)
    // Short ones come again and again, and each is a write to all members.
    const left = (known?.identity.expiresAt ?? 0) - now
    if (!sessionsTell && same && left * 2 > expiresAt - now) return
    await state.session.remember(login)
  }

  /**
   * Keeps a log-in by form under an id that is drawn now, never one that the client brought
   * along (session fixation). Answers the Set-Cookie.
   */
  async rememberForm(
    login: KnownLogin,
    request: AuthRequest,
    state: ConnectionState | undefined,
  ): Promise<string> {
    const { logins, terms, clock, random, cookie, sessionsTell, bySession } =
      this.#options
    if (cookie === undefined) throw new Error('a form log-in without a form')
    const { expiresAt } = login.identity
    await this.endCookies(request)
    const id = random(32)
    const key = loginKey(id)
    await logins.add(ownPlace(key), login)
    if (state !== undefined) {
      const before = await state.session.login(clock.now())
      const known = await this.#resolve(before)
      const other = known && known.identity.subject !== login.identity.subject
      const end = terms.endOf(state)
      if (other || (sessionsTell && !bySession(request))) {
        await state.session.remember({ kind: 'shared', expiresAt: end })
      } else if (before?.kind !== 'shared') {
        const until = Math.min(expiresAt, end)
        await state.session.remember({ kind: 'reference', key, expiresAt: until })
      }
    }
    return cookie.issue(id, clock.now(), expiresAt)
  }

  /** Who is logged in under a lineage, as far as this member knows. */
  subjectOf(lineage: Buffer): string | undefined {
    const { logins } = this.#options
    const login = logins.local(logins.placeOf(lineage, undefined))
    const found = login?.kind === 'reference' ? logins.local(ownPlace(login.key)) : login
    return found?.kind === 'identity' ? found.identity.subject : undefined
  }

  /** Where the log-ins are that the cookie names. */
  cookiePlaces(request: AuthRequest): Binding[] {
    const { cookie, clock } = this.#options
    const keys = cookie?.read(headerOf(request, 'cookie'), clock.now()) ?? []
    return keys.map(ownPlace)
  }

  /** Ends those. True when every member knows. */
  async endCookies(request: AuthRequest): Promise<boolean> {
    const { logins } = this.#options
    const places = this.cookiePlaces(request)
    const ends = await Promise.all(places.map(place => logins.end(place)))
    return ends.every(reached => reached)
  }

  async #recallSession(
    request: AuthRequest,
    state: ConnectionState,
  ): Promise<KnownLogin | undefined> {
    const { clock, terms, bySession } = this.#options
    const tells = bySession(request)
    if (!tells && !state.handshake.clientAuthorized) return undefined
    const login = await this.#resolve(await state.session.login(clock.now()))
    if (login === undefined || !terms.holds(login, state, state.session)) return undefined
    const { method } = login.identity
    // A yes of another server was about one request, whoever's session it is.
    if (method === 'forward' || (!tells && method !== 'certificate')) return undefined
    return login
  }

  /** The log-in itself, where the record says only where it is. */
  async #resolve(login: Login | undefined): Promise<KnownLogin | undefined> {
    const found =
      login?.kind === 'reference'
        ? await this.#options.logins.find(ownPlace(login.key))
        : login
    return found?.kind === 'identity' ? found : undefined
  }
}
