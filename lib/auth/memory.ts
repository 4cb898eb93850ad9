import type { Clock } from '../clock.ts'
import type { ConnectionState } from './connection-state.ts'
import {
  type Identity,
  isSubject,
  type MethodName,
  maxClaimsBytes,
  type Proof,
} from './identity.ts'
import type { Binding, Login } from './identity-record.ts'
import { type LoginCookie, loginKey } from './login-cookie.ts'
import type { Logins } from './logins.ts'
import { type AuthRequest, headerOf } from './request.ts'

export interface MemoryOptions {
  readonly logins: Logins
  readonly clock: Clock
  readonly random: (bytes: number) => Buffer
  /** Only with form log-in. */
  readonly cookie: LoginCookie | undefined
  readonly ttl: number
  readonly lineageTimeout: number
  /** Whether the log-in still stands with the method that made it. */
  readonly stands: (method: MethodName, subject: string) => boolean
  readonly isRevoked: (identity: Identity, lineage: Buffer | undefined) => boolean
}

/** Who is known without being asked: by the cookie, or by the connection and its lineage. */
export class Memory {
  readonly #options: MemoryOptions

  constructor(options: MemoryOptions) {
    this.#options = options
  }

  /** The cookie goes first: it says more about the user agent than its connection does. */
  async recall(
    request: AuthRequest,
    state: ConnectionState | undefined,
  ): Promise<Identity | undefined> {
    for (const place of this.#cookiePlaces(request)) {
      const login = await this.#options.logins.find(place)
      if (login?.kind === 'identity' && this.holds(login.identity, state)) {
        return login.identity
      }
    }
    return state && this.recallConnection(state)
  }

  async recallConnection(state: ConnectionState): Promise<Identity | undefined> {
    const { logins, clock } = this.#options
    let login = await state.login(clock.now())
    if (login?.kind === 'reference') {
      login = await logins.find({ key: login.key, serverName: '' })
    }
    if (login?.kind !== 'identity') return undefined
    return this.holds(login.identity, state) ? login.identity : undefined
  }

  /** Whether the identity may be used now. */
  holds(identity: Identity, state: ConnectionState | undefined): boolean {
    const { clock, stands, isRevoked } = this.#options
    const { method, subject, expiresAt } = identity
    if (expiresAt <= clock.now() || !stands(method, subject)) return false
    // What the handshake did not prove, no record can make true.
    if (method === 'certificate' && state?.handshake.clientAuthorized !== true)
      return false
    if (!isRevoked(identity, state?.handshake.lineage)) return true
    if (state !== undefined) state.revoked = true
    return false
  }

  /** The identity that a proof makes; undefined when the proof says nothing sound. */
  identityOf(
    proof: Proof,
    method: MethodName,
    state: ConnectionState | undefined,
    ttl: number = this.#options.ttl,
  ): Identity | undefined {
    const now = this.#options.clock.now()
    const text = proof.claims === undefined ? '{}' : JSON.stringify(proof.claims)
    if (!isSubject(proof.subject) || !text?.startsWith('{')) return undefined
    if (Buffer.byteLength(text) > maxClaimsBytes) return undefined
    return Object.freeze({
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
  }

  /**
   * Keeps a log-in that was made with credentials. A connection that has already spoken for
   * somebody else is a gateway's, not a user's: it is remembered as shared, and nobody's
   * log-in is taken from memory there.
   */
  async remember(identity: Identity, state: ConnectionState): Promise<void> {
    const { clock } = this.#options
    const before = await state.login(clock.now())
    if (before?.kind === 'shared') return
    const other =
      (before?.kind === 'identity' && before.identity.subject !== identity.subject) ||
      (before?.kind === 'reference' &&
        (await this.recallConnection(state))?.subject !== identity.subject)
    const login: Login = other
      ? { kind: 'shared', expiresAt: this.#end(state) }
      : { kind: 'identity', identity }
    await state.remember(login)
  }

  /**
   * Keeps a log-in by form under an id that is drawn now, never one that the client brought
   * along (session fixation). Answers the Set-Cookie.
   */
  async rememberForm(
    identity: Identity,
    request: AuthRequest,
    state: ConnectionState | undefined,
  ): Promise<string> {
    const { logins, clock, random, cookie } = this.#options
    if (cookie === undefined) throw new Error('a form log-in without a form')
    const before = state && (await state.login(clock.now()))
    await this.forget(request, undefined)
    const id = random(32)
    const key = loginKey(id)
    await logins.add({ key, serverName: '' }, { kind: 'identity', identity })
    if (state !== undefined && before?.kind !== 'shared') {
      const expiresAt = Math.min(identity.expiresAt, this.#end(state))
      await state.remember({ kind: 'reference', key, expiresAt })
    }
    return cookie.issue(id, clock.now(), identity.expiresAt)
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

  /** Ends the log-ins of the cookie and the connection. True when every member knows. */
  async forget(
    request: AuthRequest,
    state: ConnectionState | undefined,
  ): Promise<boolean> {
    const { logins, clock } = this.#options
    const ends = this.#cookiePlaces(request).map(place => logins.end(place))
    if (state !== undefined) {
      const login = await state.login(clock.now())
      if (login?.kind === 'reference') {
        ends.push(logins.end({ key: login.key, serverName: '' }))
      }
      ends.push(state.end())
    }
    return (await Promise.all(ends)).every(reached => reached)
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
