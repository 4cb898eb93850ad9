import { createHmac, randomBytes } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2'
import type { Clock, Timer } from '../clock.ts'
import { LimitCounters } from '../limit/limit-counters.ts'
import { Shares } from '../limit/shares.ts'
import type { Log } from '../log.ts'
import { type AuthContext, deriveKey } from './auth-context.ts'
import { AuthCounters } from './auth-counters.ts'
import {
  type Answer,
  type AuthDecision,
  answer,
  type Identified,
  unauthorized,
} from './decision.ts'
import { FormLogin } from './form/form-login.ts'
import { LoginForm } from './form/login-form.ts'
import { LogoutPath } from './form/logout-path.ts'
import { basisLength, type MakeBasis } from './identity.ts'
import { Attempts } from './login/attempts.ts'
import { type ConnectionState, ConnectionStates } from './login/connection-state.ts'
import type { KnownLogin } from './login/identity-record.ts'
import { LoginCheck } from './login/login-check.ts'
import { LoginCookie } from './login/login-cookie.ts'
import { Logins } from './login/logins.ts'
import { Memory } from './login/memory.ts'
import { Showing } from './login/showing.ts'
import { decisionOf, ShownLogins } from './login/shown-login.ts'
import { proveByCertificate } from './method/certificate.ts'
import type { ForwardAuth } from './method/forward-auth.ts'
import { causeOf } from './method/method.ts'
import { type Credentials, createMethods, type Methods } from './method/methods.ts'
import { type Authenticated, authRequest, sendAnswer } from './node-request.ts'
import { type IsRevoked, OpenExchanges } from './open-exchanges.ts'
import {
  type AuthOptions,
  type AuthSettings,
  authSettings,
  formSettings,
  logoutPathOf,
} from './options.ts'
import { fromOwnSite, isAmbient } from './own-site.ts'
import { type AuthRequest, cameThroughProxy, headerOf, wantsPage } from './request.ts'

export interface AuthMiddleware {
  (
    request: IncomingMessage | Http2ServerRequest,
    response: ServerResponse | Http2ServerResponse,
    next: (error?: unknown) => void,
  ): void
  /** What it stands for, to log out with. */
  readonly auth: Auth
}

/**
 * Knows who the user of a request is. Throws ERR_HANDFAST_CONFIG for a bad option.
 *
 * In this order: credentials in the request, which are checked once for the farm and each
 * session; then the log-in that is remembered for the cookie, by whatever member; then the client
 * certificate; then the other server that forward-auth asks. The TLS session alone tells a user
 * only where `rememberBy` says so.
 */
export function createAuth(options: AuthOptions, context: AuthContext): Auth {
  return new Auth(options, context)
}

export class Auth {
  readonly #settings: AuthSettings
  readonly #log: Log
  readonly #methods: Methods
  readonly #logins: Logins
  readonly #states: ConnectionStates
  readonly #memory: Memory
  readonly #exchanges: OpenExchanges
  readonly #isRevoked: IsRevoked
  readonly #check: LoginCheck
  readonly #form: FormLogin | undefined
  readonly #logoutPath: LogoutPath | undefined
  readonly #counters: AuthCounters
  readonly #showing: Showing
  readonly #shown: ShownLogins
  readonly #onClose: (() => void) | undefined
  readonly #clock: Clock
  #watching: Timer | undefined
  #retired = false

  /** @internal */
  constructor(options: AuthOptions, context: AuthContext) {
    const settings = authSettings(options)
    const { clock, cache, log, random = randomBytes } = context
    const { counters = new AuthCounters() } = context
    const { limitCounters = new LimitCounters(clock, log) } = context
    const { exchanges = new OpenExchanges(), isRevoked = () => false } = context
    const key = (purpose: string) => deriveKey(context.key, settings.realm, purpose)
    this.#settings = settings
    this.#log = log
    this.#counters = counters
    this.#onClose = context.onClose
    const basisKey = key('basis')
    const makeBasis: MakeBasis = (...parts) => {
      const mac = createHmac('sha256', basisKey)
      for (const part of parts) mac.update(`${part.length}:`).update(part)
      return mac.digest().subarray(0, basisLength)
    }
    const { wall = () => clock.now() } = context
    this.#methods = createMethods(options, { ...settings, clock, wall, log, makeBasis })
    this.#exchanges = exchanges
    this.#clock = clock
    this.#methods.onChange(() => exchanges.review())
    this.#isRevoked = isRevoked
    const macKey = key('record')
    this.#logins = new Logins({ cache, clock, macKey, exchanges, ...settings })
    this.#states = new ConnectionStates(this.#logins)
    const paths = options.form && formSettings(options.form)
    const cookie = paths && new LoginCookie(paths.cookie, key('cookie'))
    const logoutPath = logoutPathOf(options)
    const sessionsTell = settings.rememberBy === 'tls-session'
    const isShared = options.shared ?? cameThroughProxy
    const bySession = (request: AuthRequest) => sessionsTell && !isShared(request)
    this.#memory = new Memory({
      logins: this.#logins,
      clock,
      random,
      cookie,
      ttl: settings.ttl,
      lineageTimeout: context.lineageTimeout,
      bySession,
      sessionsTell,
      printOf: request => this.#showing.printOf(request),
      stands: this.#methods.stands,
      isRevoked,
    })
    this.#check = new LoginCheck({
      attempts: new Attempts(options.attempts ?? {}, {
        cache,
        clock,
        key: key('attempts'),
        slot: random(1).readUInt8(),
      }),
      log,
      counters,
      limitCounters,
      shares: new Shares({ most: settings.maxChecks, share: settings.clientShare / 100 }),
      address: options.address,
    })
    this.#showing = new Showing({
      methods: this.#methods,
      check: this.#check,
      printKey: key('print'),
      challenge: () => this.#challenge(undefined),
    })
    this.#shown = new ShownLogins({
      memory: this.#memory,
      check: this.#check,
      counters,
      log,
      now: () => clock.now(),
      bySession,
    })
    const { form: passwords } = this.#methods
    if (options.form && paths && cookie && passwords) {
      this.#form = new FormLogin({
        ...paths,
        form: new LoginForm({
          path: paths.path,
          realm: settings.realm,
          macKey: key('form'),
          clock,
          random,
          page: options.form.page,
        }),
        passwords,
        check: this.#check,
        memory: this.#memory,
        counters,
        clearCookie: cookie.clear(),
      })
    }
    if (logoutPath !== undefined) {
      this.#logoutPath = new LogoutPath({
        path: logoutPath,
        memory: this.#memory,
        counters,
        bye: () => this.#form?.bye() ?? answer(200, 'Logged out.\n'),
      })
    }
  }

  /**
   * Who the user is, or what to answer instead of serving the request. Never rejects: what
   * goes wrong here ends in a refusal.
   */
  async authenticate(request: AuthRequest): Promise<AuthDecision> {
    try {
      let decision = await this.#decide(request)
      // One that was revoked while it was let in: whoever comes after that is looked at anew.
      if (this.#isVoid(decision, request)) decision = await this.#decide(request)
      if (this.#isVoid(decision, request)) return answered(answer(403))
      if (decision.outcome === 'identified') this.#hold(decision, request)
      return decision
    } catch (error) {
      this.#log.error({ cause: causeOf(error) }, 'a request could not be authenticated')
      return answered(answer(503, '', { 'retry-after': '1' }))
    }
  }

  /** For Connect, Express and plain servers: sets `request.auth`, or answers. */
  middleware(): AuthMiddleware {
    const handle = (
      request: IncomingMessage | Http2ServerRequest,
      response: ServerResponse | Http2ServerResponse,
      next: (error?: unknown) => void,
    ) => {
      // Whatever was there before us proves nothing.
      const seen: Authenticated<typeof request> = request
      seen.auth = undefined
      void this.authenticate(authRequest(request, response)).then(decision => {
        if (decision.outcome === 'answered') return sendAnswer(response, decision.answer)
        if (decision.outcome === 'identified') seen.auth = decision.identity
        next()
      })
    }
    return Object.assign(handle, { auth: this })
  }

  /**
   * Logs the user of the request out on all members: ends the log-in of its cookie, and what is
   * remembered of its credentials on this connection and all that resumed from the same
   * handshake. The TLS session itself still resumes. True when every reachable member knows.
   *
   * Nothing ends that the request does not show. A client that sends Basic credentials by itself
   * is asked for them once more: browsers then drop those that they keep, while a program that
   * sends them again is logged in again. A client certificate logs nobody in until the log-in
   * would have ended or a full handshake is made. A bearer token stays good until it runs out;
   * revoke its user.
   */
  async logout(
    request: IncomingMessage | Http2ServerRequest | AuthRequest,
    response?: ServerResponse | Http2ServerResponse,
  ): Promise<boolean> {
    const seen: Authenticated<typeof request> = request
    seen.auth = undefined
    const { clearCookie } = this
    if (clearCookie !== undefined && response?.headersSent === false) {
      response.appendHeader('set-cookie', clearCookie)
    }
    const plain = 'rawHeaders' in request ? authRequest(request) : request
    this.#exchanges.letGo(plain.exchange, plain.socket)
    const everywhere = await this.#memory.forget(plain, this.#states.of(plain.socket))
    this.#counters.countLogout(everywhere)
    return everywhere
  }

  /** Names of fields in which another server tells of users: a client says nothing in them. */
  get ownFields(): readonly string[] {
    return this.#methods.forward?.ownFields ?? []
  }

  /** Set-Cookie that makes a client forget its form log-in; undefined without form log-in. */
  get clearCookie(): string | undefined {
    return this.#form?.clearCookie
  }

  /** Who is logged in under a lineage, as far as this member knows. */
  subjectOf(lineage: Buffer): string | undefined {
    return this.#memory.subjectOf(lineage)
  }

  /** Ends the threads and connections that methods hold. */
  close(): Promise<void> {
    this.#watching?.cancel()
    return this.retire()
  }

  /**
   * Like `close`, where another takes over: what this one has let in may be open for long, and
   * still ends when the password changes.
   */
  retire(): Promise<void> {
    this.#retired = true
    this.#onClose?.()
    return this.#methods.close()
  }

  #isVoid(decision: AuthDecision, { socket }: AuthRequest): boolean {
    if (decision.outcome !== 'identified') return false
    return this.#isRevoked(decision.identity, this.#states.of(socket)?.handshake.lineage)
  }

  /** Notes that the request is open, and as whom. */
  #hold(login: Identified, request: AuthRequest): void {
    const state = this.#states.of(request.socket)
    const admission = this.#memory.admission(login, request, state)
    this.#watch()
    if (request.exchange === undefined) this.#exchanges.addOn(request.socket, admission)
    else this.#exchanges.add(request.exchange, admission)
  }

  /** While something is open no request need come to look whether it still may be. */
  #watch(): void {
    if (this.#watching !== undefined || !this.#methods.canChange) return
    this.#watching = this.#clock.after(watchInterval, () => {
      this.#watching = undefined
      this.#methods.look()
      if (this.#isNeeded()) this.#watch()
    })
  }

  #isNeeded(): boolean {
    const exchanges = this.#exchanges
    return this.#retired ? exchanges.hasOf(this.#methods.stands) : exchanges.size > 0
  }

  async #decide(request: AuthRequest): Promise<AuthDecision> {
    const looking = this.#methods.refresh()
    if (looking !== undefined) await looking
    const state = this.#states.of(request.socket)
    const page =
      (await this.#form?.handle(request, state)) ??
      (await this.#logoutPath?.handle(request, state))
    if (page !== undefined) return answered(page)
    const { required, trustedOrigins } = this.#settings
    const { forward } = this.#methods
    const given = this.#methods.read(headerOf(request, 'authorization'))
    const ownSite = fromOwnSite(request, trustedOrigins)
    const foreign = !ownSite && given !== undefined && isAmbient(given.scheme)
    if (given !== undefined && !foreign) {
      const presented = this.#byCredentials(request, state, given)
      if (presented !== undefined) return await presented
    }
    if (ownSite) {
      const remembered = await this.#memory.recall(request, state)
      // Where another server is asked, its own answers may be remembered.
      if (remembered !== undefined) this.#counters.countLookup('hit')
      else if (forward === undefined) this.#counters.countLookup('miss')
      const known = remembered ?? (await this.#byCertificate(request, state))
      if (known !== undefined) return decisionOf(known)
    }
    if (forward !== undefined && !foreign) {
      const decision = await this.#ask(forward, request, state)
      if (required || decision.outcome !== 'answered') return decision
      if (decision.answer.status !== 401) return decision
    }
    if (!required) return { outcome: 'anonymous' }
    if (!ownSite) return answered(answer(403, 'This came from a page of another site.\n'))
    return answered(this.#challenge(request))
  }

  /** Credentials in the request count for it, whoever the connection is known for. */
  #byCredentials(
    request: AuthRequest,
    state: ConnectionState | undefined,
    { method, credentials }: Credentials,
  ): Promise<AuthDecision> | undefined {
    if (method === undefined) {
      const { forward } = this.#methods
      return forward?.remember ? this.#ask(forward, request, state) : undefined
    }
    const shown = this.#showing.credentials(request, method, credentials)
    return this.#shown.decide(shown, state)
  }

  async #byCertificate(
    request: AuthRequest,
    state: ConnectionState | undefined,
  ): Promise<KnownLogin | undefined> {
    const { certificate, certificateBasis: basis } = this.#methods
    if (certificate === undefined || state === undefined) return undefined
    const { session, handshake } = state
    if (session.ended || session.revoked) return undefined
    const proof = proveByCertificate(request.socket, handshake, certificate)
    const login = proof && this.#memory.loginOf({ ...proof, basis }, 'certificate', state)
    if (login === undefined || !this.#memory.holds(login, state, session)) {
      return undefined
    }
    this.#counters.countLogin('certificate', 'proved', login.identity.subject)
    await this.#memory.claimSession(login, request, state)
    return login
  }

  /** Its yes is about this very request, and so it is remembered for the same question only. */
  #ask(
    forward: ForwardAuth,
    request: AuthRequest,
    state: ConnectionState | undefined,
  ): Promise<AuthDecision> {
    const remembered = forward.remember ? state : undefined
    const shown = this.#showing.question(request, forward)
    return this.#shown.decide(shown, remembered)
  }

  /** What a request of nobody is answered. */
  #challenge(request: AuthRequest | undefined): Answer {
    if (request !== undefined && this.#form !== undefined && wantsPage(request)) {
      return this.#form.redirect(request)
    }
    const challenges = this.#methods.credentials.map(method => method.challenge())
    if (this.#form !== undefined) challenges.push('Form')
    if (challenges.length > 0) return unauthorized(challenges)
    return answer(403, 'A client certificate is needed.\n')
  }
}

/** How often it is looked for changes while something is open, in milliseconds. */
const watchInterval = 1_000

function answered(given: Answer): AuthDecision {
  return { outcome: 'answered', answer: given }
}
