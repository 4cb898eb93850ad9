import type { Clock } from '../../clock.ts'
import {
  type Basis,
  type Identity,
  isSubject,
  type MethodName,
  maxClaimsBytes,
  noBasis,
  type Proof,
} from '../identity.ts'
import type { Admission } from '../open-exchanges.ts'
import { type AuthRequest, headerOf } from '../request.ts'
import type { ConnectionState } from './connection-state.ts'
import type { Binding, KnownLogin, Login } from './identity-record.ts'
import { type LoginCookie, loginKey } from './login-cookie.ts'
import type { Logins } from './logins.ts'
import type { RememberedLogin } from './remembered-login.ts'

export interface MemoryOptions {
  readonly logins: Logins
  readonly clock: Clock
  readonly random: (bytes: number) => Buffer
  /** Only with form log-in. */
  readonly cookie: LoginCookie | undefined
  readonly ttl: number
  readonly lineageTimeout: number
  /** Whether the TLS session alone tells the user of this request; see `rememberBy`. */
  readonly bySession: (request: AuthRequest) => boolean
  /** The TLS session alone may tell the user of some requests. */
  readonly sessionsTell: boolean
  /** Print of the credentials in a request that the client would show again. */
  readonly printOf: (request: AuthRequest) => Buffer | undefined
  /** Whether the log-in still stands with the method that made it. */
  readonly stands: (method: MethodName, subject: string, basis: Basis) => boolean
  readonly isRevoked: (identity: Identity, lineage: Buffer | undefined) => boolean
}

/**
 * Who is known without being asked: by what the user's agent shows above TLS, which is its
 * cookie or its credentials again, or by its client certificate. A TLS session alone may belong
 * to a gateway, which puts the requests of many users on it.
 */
export class Memory {
  readonly #options: MemoryOptions

  constructor(options: MemoryOptions) {
    this.#options = options
  }

  /** By what a client sends along unasked. The cookie says more than the connection does. */
  async recall(
    request: AuthRequest,
    state: ConnectionState | undefined,
  ): Promise<KnownLogin | undefined> {
    for (const place of this.#cookiePlaces(request)) {
      const login = await this.#options.logins.find(place)
      if (login?.kind === 'identity' && this.holds(login, state, undefined)) return login
    }
    return state && this.#recallSession(request, state)
  }

  /** By the credentials that the client has shown again; the limits on guesses are yours. */
  async recallShown(
    shown: RememberedLogin,
    state: ConnectionState,
  ): Promise<KnownLogin | undefined> {
    await state.session.settle()
    const login = await shown.login(this.#options.clock.now())
    if (login?.kind !== 'identity') return undefined
    return this.holds(login, state, shown) ? login : undefined
  }

  /** Whether the log-in may be used now. `met` takes note of a revocation. */
  holds(
    { identity, basis }: KnownLogin,
    state: ConnectionState | undefined,
    met: RememberedLogin | undefined,
  ): boolean {
    const { clock, stands, isRevoked } = this.#options
    const { method, subject, expiresAt } = identity
    if (expiresAt <= clock.now() || !stands(method, subject, basis)) return false
    // What the handshake did not prove, no record can make true.
    if (method === 'certificate' && state?.handshake.clientAuthorized !== true)
      return false
    if (!isRevoked(identity, state?.handshake.lineage)) return true
    if (met !== undefined) met.revoked = true
    return false
  }

  /** The log-in that a proof makes; undefined when the proof says nothing sound. */
  loginOf(
    proof: Proof,
    method: MethodName,
    state: ConnectionState | undefined,
    ttl: number = this.#options.ttl,
  ): KnownLogin | undefined {
    const now = this.#options.clock.now()
    const text = proof.claims === undefined ? '{}' : JSON.stringify(proof.claims)
    if (!isSubject(proof.subject) || !text?.startsWith('{')) return undefined
    if (Buffer.byteLength(text) > maxClaimsBytes) return undefined
    const identity = Object.freeze({
      subject: proof.subject,
      // The same as they will come back from a record.
      claims: Object.freeze(JSON.parse(text)),
      method,
      at: Math.max(0, Math.floor(Math.min(now, proof.at ?? now))),
      expiresAt: Math.floor(
        Math.min(
          now + ttl,
          proof.expiresAt ?? Number.POSITIVE_INFINITY,
          this.#end(state),
        ),
      ),
    })
    return { kind: 'identity', identity, basis: proof.basis ?? noBasis }
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
    const { clock, sessionsTell, bySession } = this.#options
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
      return state.session.remember({ kind: 'shared', expiresAt: this.#end(state) })
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
    const { logins, clock, random, cookie, sessionsTell, bySession } = this.#options
    if (cookie === undefined) throw new Error('a form log-in without a form')
    const { expiresAt } = login.identity
    await this.#endAll(this.#cookiePlaces(request))
    const id = random(32)
    const key = loginKey(id)
    await logins.add({ key, serverName: '' }, login)
    if (state !== undefined) {
      const before = await state.session.login(clock.now())
      const known = await this.#resolve(before)
      const other = known && known.identity.subject !== login.identity.subject
      const end = this.#end(state)
      if (other || (sessionsTell && !bySession(request))) {
        await state.session.remember({ kind: 'shared', expiresAt: end })
      } else if (before?.kind !== 'shared') {
        const until = Math.min(expiresAt, end)
        await state.session.remember({ kind: 'reference', key, expiresAt: until })
      }
    }
    return cookie.issue(id, clock.now(), expiresAt)
  }

  /** By what the request was let in: what ends it when it ends. */
  admission(
    { identity, basis }: Pick<KnownLogin, 'identity' | 'basis'>,
    request: AuthRequest,
    state: ConnectionState | undefined,
  ): Admission {
    const { printOf, bySession, stands } = this.#options
    const keys = this.#cookiePlaces(request).map(({ key }) => key)
    const remembered: RememberedLogin[] = []
    if (state !== undefined) {
      const print = printOf(request)
      if (print !== undefined) remembered.push(state.shown(print))
      if (identity.method === 'certificate' || bySession(request)) {
        remembered.push(state.session)
        const login = state.session.local()
        if (login?.kind === 'reference') keys.push(login.key)
      }
    }
    const lineage = state?.handshake.lineage
    return { identity, basis, stands, lineage, keys, remembered }
  }

  /** Who is logged in under a lineage, as far as this member knows. */
  subjectOf(lineage: Buffer): string | undefined {
    const { logins } = this.#options
    const login = logins.local(logins.placeOf(lineage, undefined))
    const found =
      login?.kind === 'reference'
        ? logins.local({ key: login.key, serverName: '' })
        : login
    return found?.kind === 'identity' ? found.identity.subject : undefined
  }

  /**
   * Ends the log-ins of the cookie, of the credentials and of the certificate that the request
   * brings, and, where it is the user's, of the TLS session. True when every member knows.
   */
  async forget(
    request: AuthRequest,
    state: ConnectionState | undefined,
  ): Promise<boolean> {
    const ends = [this.#endAll(this.#cookiePlaces(request))]
    if (state !== undefined) ends.push(this.#forgetConnection(request, state))
    return (await Promise.all(ends)).every(reached => reached)
  }

  async #forgetConnection(
    request: AuthRequest,
    state: ConnectionState,
  ): Promise<boolean> {
    const { clock, printOf } = this.#options
    const print = printOf(request)
    const shown = print && state.shown(print)
    const login = await shown?.login(clock.now())
    const ends = [this.#forgetSession(request, state, login)]
    // Of what nobody remembers there is nothing to tell: else anybody could make all members
    // take notes, with credentials that nobody has checked.
    const here = login === undefined
    if (shown && (!here || shown.checking)) ends.push(shown.end(here))
    if (print) state.tidy(print)
    return (await Promise.all(ends)).every(reached => reached)
  }

  async #recallSession(
    request: AuthRequest,
    state: ConnectionState,
  ): Promise<KnownLogin | undefined> {
    const { clock, bySession } = this.#options
    const tells = bySession(request)
    if (!tells && !state.handshake.clientAuthorized) return undefined
    const login = await this.#resolve(await state.session.login(clock.now()))
    if (login === undefined || !this.holds(login, state, state.session)) return undefined
    const { method } = login.identity
    // A yes of another server was about one request, whoever's session it is.
    if (method === 'forward' || (!tells && method !== 'certificate')) return undefined
    return login
  }

  /** The log-in itself, where the record says only where it is. */
  async #resolve(login: Login | undefined): Promise<KnownLogin | undefined> {
    const found =
      login?.kind === 'reference'
        ? await this.#options.logins.find({ key: login.key, serverName: '' })
        : login
    return found?.kind === 'identity' ? found : undefined
  }

  /** `left`: the log-in of who leaves, by the credentials that were shown. */
  async #forgetSession(
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
      ends.push(logins.end({ key: login.key, serverName: '' }))
    }
    return (await Promise.all(ends)).every(reached => reached)
  }

  async #endAll(places: readonly Binding[]): Promise<boolean> {
    const { logins } = this.#options
    const ends = await Promise.all(places.map(place => logins.end(place)))
    return ends.every(reached => reached)
  }

  #cookiePlaces(request: AuthRequest): Binding[] {
    const { cookie, clock } = this.#options
    const keys = cookie?.read(headerOf(request, 'cookie'), clock.now()) ?? []
    return keys.map(key => ({ key, serverName: '' }))
  }

  #end(state: ConnectionState | undefined): number {
    if (state === undefined) return Number.POSITIVE_INFINITY
    return state.handshake.originalAt + this.#options.lineageTimeout
  }
}

function isSameUser(a: Login | undefined, b: Login | undefined): boolean {
  if (a?.kind !== 'identity' || b?.kind !== 'identity') return false
  return a.identity.subject === b.identity.subject
}
