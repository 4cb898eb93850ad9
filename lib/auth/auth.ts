import { createHmac, randomBytes } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2'
import { LimitCounters } from '../limit/limit-counters.ts'
import { Shares } from '../limit/shares.ts'
import type { Log } from '../log.ts'
import { Attempts } from './attempts.ts'
import { type AuthContext, deriveKey } from './auth-context.ts'
import { AuthCounters } from './auth-counters.ts'
import { proveByCertificate } from './certificate.ts'
import { type ConnectionState, ConnectionStates } from './connection-state.ts'
import { FormLogin } from './form-login.ts'
import type { ForwardAuth } from './forward-auth.ts'
import type { Identity, MethodName, Proof } from './identity.ts'
import { LoginCheck } from './login-check.ts'
import { LoginCookie } from './login-cookie.ts'
import { LoginForm } from './login-form.ts'
import { Logins } from './logins.ts'
import { LogoutPath } from './logout-path.ts'
import { Memory } from './memory.ts'
import { causeOf, readAuthorization } from './method.ts'
import { createMethods, type Methods } from './methods.ts'
import {
  type AuthOptions,
  type AuthSettings,
  authSettings,
  formSettings,
  logoutPathOf,
} from './options.ts'
import {
  type Answer,
  type AuthDecision,
  type Authenticated,
  type AuthRequest,
  answer,
  authRequest,
  cameThroughProxy,
  fromOwnSite,
  headerOf,
  sendAnswer,
  wantsPage,
} from './request.ts'

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
 * In this order: credentials in the request, which are always checked, once per connection;
 * then the log-in that is remembered for the cookie or the TLS session, by whatever member;
 * then the client certificate; then the other server that forward-auth asks.
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
  readonly #check: LoginCheck
  readonly #form: FormLogin | undefined
  readonly #logoutPath: LogoutPath | undefined
  readonly #counters: AuthCounters
  readonly #isShared: (request: AuthRequest) => boolean
  readonly #digestKey: Buffer
  readonly #onClose: (() => void) | undefined

  /** @internal */
  constructor(options: AuthOptions, context: AuthContext) {
    const settings = authSettings(options)
    const { clock, cache, log, random = randomBytes } = context
    const { counters = new AuthCounters() } = context
    const { limitCounters = new LimitCounters(clock, log) } = context
    const key = (purpose: string) => deriveKey(context.key, settings.realm, purpose)
    this.#settings = settings
    this.#log = log
    this.#counters = counters
    this.#isShared = options.shared ?? cameThroughProxy
    this.#digestKey = random(32)
    this.#onClose = context.onClose
    this.#methods = createMethods(options, { ...settings, clock, log })
    this.#logins = new Logins({ cache, clock, macKey: key('record'), ...settings })
    this.#states = new ConnectionStates(this.#logins)
    const paths = options.form && formSettings(options.form)
    const cookie = paths && new LoginCookie(paths.cookie, key('cookie'))
    const logoutPath = logoutPathOf(options)
    this.#memory = new Memory({
      logins: this.#logins,
      clock,
      random,
      cookie,
      ttl: settings.ttl,
      lineageTimeout: context.lineageTimeout,
      stands: this.#methods.stands,
      isRevoked: context.isRevoked ?? (() => false),
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
      return await this.#decide(request)
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
      void this.authenticate(authRequest(request)).then(decision => {
        if (decision.outcome === 'answered') return sendAnswer(response, decision.answer)
        if (decision.outcome === 'identified') seen.auth = decision.identity
        next()
      })
    }
    return Object.assign(handle, { auth: this })
  }

  /**
   * Logs the user of the request out on all members: of its cookie, its connection and all
   * connections that resumed from the same handshake. The TLS session itself still resumes.
   * True when every reachable member knows.
   *
   * A client that sends its credentials by itself is asked for them once more: browsers then
   * drop the Basic credentials that they keep, while a program that sends them again is logged
   * in again. A client certificate logs nobody in until the log-in would have ended or a full
   * handshake is made. A bearer token stays good until it runs out; revoke its user.
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
    const everywhere = await this.#memory.forget(plain, this.#stateOf(plain))
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
    this.#onClose?.()
    return this.#methods.close()
  }

  async #decide(request: AuthRequest): Promise<AuthDecision> {
    const state = this.#stateOf(request)
    const page =
      (await this.#form?.handle(request, state)) ??
      (await this.#logoutPath?.handle(request, state))
    if (page !== undefined) return answered(page)
    const presented = this.#byCredentials(request, state)
    if (presented !== undefined) return presented
    const ownSite = fromOwnSite(request, this.#settings.trustedOrigins)
    if (ownSite) {
      const remembered = await this.#memory.recall(request, state)
      this.#counters.countLookup(remembered === undefined ? 'miss' : 'hit')
      const known = remembered ?? (await this.#byCertificate(request, state))
      if (known !== undefined) return { outcome: 'identified', identity: known }
    }
    const { required } = this.#settings
    const { forward } = this.#methods
    if (forward !== undefined) {
      const found = await this.#ask(forward, request, ownSite ? state : undefined)
      if (required || !('status' in found && found.status === 401))
        return decisionOf(found)
    }
    if (!required) return { outcome: 'anonymous' }
    if (!ownSite) return answered(answer(403, 'This came from a page of another site.\n'))
    return answered(this.#challenge(request))
  }

  /** Credentials in the request count for it, whoever the connection is known for. */
  #byCredentials(
    request: AuthRequest,
    state: ConnectionState | undefined,
  ): Promise<AuthDecision> | undefined {
    const header = headerOf(request, 'authorization')
    const given = readAuthorization(header)
    if (header === undefined || given === undefined) return undefined
    const { credentials: methods, forward } = this.#methods
    const method = methods.find(one => one.scheme === given.scheme)
    if (method === undefined) {
      if (!forward?.remember) return undefined
      return this.#once(header, state, false, () => this.#ask(forward, request, state))
    }
    return this.#once(header, state, method.name === 'basic', async () => {
      const ended = state?.ended ?? false
      const { credentials } = given
      const outcome = await this.#check.run(
        method.name,
        request,
        { user: method.userOf(credentials) },
        asker => method.verify(credentials, request, asker),
      )
      if (outcome.kind === 'answered') return outcome.answer
      if (outcome.kind === 'refused')
        return unauthorized([method.challenge(outcome.reason)])
      const identity = await this.#accept(outcome.proof, method.name, state, ended)
      return identity ?? unauthorized([method.challenge('not accepted')])
    })
  }

  /**
   * Checks the same credentials once per connection, not once per request; a log-out or a
   * revocation makes them count as new. `keeps`: clients send them again by themselves, and
   * so are asked once more after a log-out or a revocation before they are believed.
   */
  #once(
    header: string,
    state: ConnectionState | undefined,
    keeps: boolean,
    check: () => Promise<Identity | Answer>,
  ): Promise<AuthDecision> {
    if (state === undefined) return check().then(decisionOf)
    const digest = createHmac('sha256', this.#digestKey).update(header).digest('base64')
    const proved = state.provedBy(digest)
    if (proved !== undefined && !state.ended && this.#memory.holds(proved, state)) {
      return Promise.resolve({ outcome: 'identified', identity: proved })
    }
    const running = state.checking.get(digest)
    if (running !== undefined) return running
    const decision = (async () => {
      await this.#memory.recallConnection(state)
      if (keeps && (state.ended || state.revoked) && !state.asked) {
        state.asked = true
        return answered(this.#challenge(undefined))
      }
      const found = await check()
      if (!('status' in found) && !state.ended) state.keepProved(digest, found)
      return decisionOf(found)
    })().finally(() => state.checking.delete(digest))
    state.checking.set(digest, decision)
    return decision
  }

  async #byCertificate(
    request: AuthRequest,
    state: ConnectionState | undefined,
  ): Promise<Identity | undefined> {
    const { certificate } = this.#methods
    const connection = this.#states.of(request.socket)
    if (certificate === undefined || connection === undefined) return undefined
    if (connection.ended || connection.revoked) return undefined
    const proof = proveByCertificate(request.socket, connection.handshake, certificate)
    const identity = proof && this.#memory.identityOf(proof, 'certificate', connection)
    if (identity === undefined || !this.#memory.holds(identity, connection))
      return undefined
    this.#counters.countLogin('certificate', 'proved', identity.subject)
    await (state && this.#memory.remember(identity, state))
    return identity
  }

  async #ask(
    forward: ForwardAuth,
    request: AuthRequest,
    state: ConnectionState | undefined,
  ): Promise<Identity | Answer> {
    const ended = state?.ended ?? false
    // Without credentials nothing is guessed, and nothing counts.
    const guess = request.headers.authorization === undefined ? undefined : {}
    const outcome = await this.#check.run('forward', request, guess, asker =>
      forward.ask(request, asker),
    )
    if (outcome.kind === 'answered') return outcome.answer
    if (outcome.kind === 'refused') return unauthorized([])
    const kept = forward.remember ? state : undefined
    const { proof } = outcome
    const identity = await this.#accept(proof, 'forward', kept, ended, forward.ttl)
    return identity ?? answer(403, 'The log-in was not accepted.\n')
  }

  /** Makes an identity of a proof and remembers it, unless it is void already. */
  async #accept(
    proof: Proof,
    method: MethodName,
    state: ConnectionState | undefined,
    endedBefore: boolean,
    ttl?: number,
  ): Promise<Identity | undefined> {
    const identity = this.#memory.identityOf(proof, method, state, ttl)
    if (identity === undefined || !this.#memory.holds(identity, state)) {
      this.#log.warn({ method }, 'a proof was right, and the log-in is void all the same')
      this.#counters.countLogin(method, 'void')
      return undefined
    }
    this.#counters.countLogin(method, 'proved', identity.subject)
    // A log-out that came while this was checked was meant for it too.
    const overtaken = !endedBefore && state?.ended === true
    if (state !== undefined && !overtaken) await this.#memory.remember(identity, state)
    return identity
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

  #stateOf(request: AuthRequest): ConnectionState | undefined {
    return this.#isShared(request) ? undefined : this.#states.of(request.socket)
  }
}

function unauthorized(challenges: string[]): Answer {
  return answer(401, 'Log in to go on.\n', { 'www-authenticate': challenges })
}

function answered(given: Answer): AuthDecision {
  return { outcome: 'answered', answer: given }
}

function decisionOf(found: Identity | Answer): AuthDecision {
  return 'status' in found ? answered(found) : { outcome: 'identified', identity: found }
}
