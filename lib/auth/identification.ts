import type { AuthCounters } from './auth-counters.ts'
import { type AuthDecision, answer, answered } from './decision.ts'
import type { FormLogin } from './form/form-login.ts'
import type { LogoutPath } from './form/logout-path.ts'
import type { ConnectionState, ConnectionStates } from './login/connection-state.ts'
import type { KnownLogin } from './login/identity-record.ts'
import type { LoginTerms } from './login/login-terms.ts'
import type { Remembered } from './login/remembered.ts'
import type { Showing } from './login/showing.ts'
import { decisionOf, type ShownLogins } from './login/shown-login.ts'
import { proveByCertificate } from './method/certificate.ts'
import type { ForwardAuth } from './method/forward-auth.ts'
import type { Credentials, Methods } from './method/methods.ts'
import type { AuthSettings } from './options.ts'
import { fromOwnSite, isAmbient } from './request/own-site.ts'
import { type AuthRequest, headerOf, wantsPage } from './request/request.ts'

export interface IdentificationOptions {
  readonly settings: AuthSettings
  readonly methods: Methods
  readonly states: ConnectionStates
  readonly terms: LoginTerms
  readonly remembered: Remembered
  readonly showing: Showing
  readonly shownLogins: ShownLogins
  readonly form: FormLogin | undefined
  readonly logoutPath: LogoutPath | undefined
  readonly counters: AuthCounters
}

/**
 * Finds out who the user of a request is. In this order: credentials in the request, which are
 * checked once for the farm and each session; then the log-in that is remembered for the cookie,
 * by whatever member; then the client certificate; then the other server that forward-auth asks.
 * The TLS session alone tells a user only where `rememberBy` says so.
 */
export class Identification {
  readonly #options: IdentificationOptions

  constructor(options: IdentificationOptions) {
    this.#options = options
  }

  async decide(request: AuthRequest): Promise<AuthDecision> {
    const { methods, states, form, logoutPath, remembered, counters } = this.#options
    const looking = methods.refresh()
    if (looking !== undefined) await looking
    const state = states.of(request.socket)
    const page =
      (await form?.handle(request, state)) ?? (await logoutPath?.handle(request, state))
    if (page !== undefined) return answered(page)
    const { required, trustedOrigins } = this.#options.settings
    const { forward } = methods
    const given = methods.read(headerOf(request, 'authorization'))
    const ownSite = fromOwnSite(request, trustedOrigins)
    const foreign = !ownSite && given !== undefined && isAmbient(given.scheme)
    if (given !== undefined && !foreign) {
      const presented = this.#byCredentials(request, state, given)
      if (presented !== undefined) return await presented
    }
    if (ownSite) {
      const recalled = await remembered.recall(request, state)
      // Where another server is asked, its own answers may be remembered.
      if (recalled !== undefined) counters.countLookup('hit')
      else if (forward === undefined) counters.countLookup('miss')
      const known = recalled ?? (await this.#byCertificate(request, state))
      if (known !== undefined) return decisionOf(known)
    }
    if (forward !== undefined && !foreign) {
      const decision = await this.#ask(forward, request, state)
      if (required || decision.outcome !== 'answered') return decision
      if (decision.answer.status !== 401) return decision
    }
    if (!required) return { outcome: 'anonymous' }
    if (!ownSite) return answered(answer(403, 'This came from a page of another site.\n'))
    if (form !== undefined && wantsPage(request)) return answered(form.redirect(request))
    return answered(methods.challenge())
  }

  /** Credentials in the request count for it, whoever the connection is known for. */
  #byCredentials(
    request: AuthRequest,
    state: ConnectionState | undefined,
    { method, credentials }: Credentials,
  ): Promise<AuthDecision> | undefined {
    const { methods, showing, shownLogins } = this.#options
    if (method === undefined) {
      const { forward } = methods
      return forward?.remember ? this.#ask(forward, request, state) : undefined
    }
    return shownLogins.decide(showing.credentials(request, method, credentials), state)
  }

  async #byCertificate(
    request: AuthRequest,
    state: ConnectionState | undefined,
  ): Promise<KnownLogin | undefined> {
    const { methods, terms, remembered, counters } = this.#options
    const { certificate, certificateBasis: basis } = methods
    if (certificate === undefined || state === undefined) return undefined
    const { session, handshake } = state
    if (session.ended || session.revoked) return undefined
    const proof = proveByCertificate(request.socket, handshake, certificate)
    const login = proof && terms.loginOf({ ...proof, basis }, 'certificate', state)
    if (login === undefined || !terms.holds(login, state, session)) {
      return undefined
    }
    counters.countLogin('certificate', 'proved', login.identity.subject)
    await remembered.claimSession(login, request, state)
    return login
  }

  /** Its yes is about this very request, and so it is remembered for the same question only. */
  #ask(
    forward: ForwardAuth,
    request: AuthRequest,
    state: ConnectionState | undefined,
  ): Promise<AuthDecision> {
    const { showing, shownLogins } = this.#options
    const remembered = forward.remember ? state : undefined
    return shownLogins.decide(showing.question(request, forward), remembered)
  }
}
