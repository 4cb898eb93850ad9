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
import { basisLength, type Identity, type MakeBasis } from './identity.ts'
import { LoginCheck } from './login-check.ts'
import { LoginCookie } from './login-cookie.ts'
import { LoginForm } from './login-form.ts'
import { Logins } from './logins.ts'
import { LogoutPath } from './logout-path.ts'
import { Memory } from './memory.ts'
import { type CredentialMethod, causeOf } from './method.ts'
import { type Credentials, createMethods, type Methods } from './methods.ts'
import { type IsRevoked, OpenExchanges } from './open-exchanges.ts'
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
  isAmbient,
  sendAnswer,
  wantsPage,
} from './request.ts'
import { ShownLogins } from './shown-login.ts'

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
  readonly #shown: ShownLogins
  readonly #printKey: Buffer
  readonly #onClose: (() => void) | undefined

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
    this.#printKey = key('print')
    this.#onClose = context.onClose
    const basisKey = key('basis')
    const makeBasis: MakeBasis = (...parts) => {
      const mac = createHmac('sha256', basisKey)
      for (const part of parts) mac.update(`${part.length}:`).update(part)
      return mac.digest().subarray(0, basisLength)
    }
    this.#methods = createMethods(options, { ...settings, clock, log, makeBasis })
    this.#exchanges = exchanges
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
      printOf: request => {
        const given = this.#methods.read(headerOf(request, 'authorization'))
        return given?.method && this.#printOf(given.method, given.credentials)
      },
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
      if (decision.outcome === 'identified') this.#hold(decision.identity, request)
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
    this.#onClose?.()
    return this.#methods.close()
  }

  #isVoid(decision: AuthDecision, { socket }: AuthRequest): boolean {
    if (decision.outcome !== 'identified') return false
    return this.#isRevoked(decision.identity, this.#states.of(socket)?.handshake.lineage)
  }

  /** Notes that the request is open, and as whom. */
  #hold(identity: Identity, request: AuthRequest): void {
    const state = this.#states.of(request.socket)
    const admission = this.#memory.admission(identity, request, state)
    if (request.exchange === undefined) this.#exchanges.addOn(request.socket, admission)
    else this.#exchanges.add(request.exchange, admission)
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
      if (known !== undefined) return { outcome: 'identified', identity: known }
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
    const user = method.userOf(credentials)
    return this.#shown.decide(
      {
        request,
        method: method.name,
        print: this.#printOf(method, credentials),
        guessOf: user,
        askAgain: method.name === 'basic' ? () => this.#challenge(undefined) : undefined,
        refuse: () => unauthorized([method.challenge('not accepted')]),
        verify: async waiters => {
          const how = { guess: { user }, waiters }
          const outcome = await this.#check.run(method.name, request, how, asker =>
            method.verify(credentials, request, asker),
          )
          if (outcome.kind === 'answered') return outcome.answer
          if (outcome.kind === 'proved') return outcome.proof
          return unauthorized([method.challenge(outcome.reason)])
        },
      },
      state,
    )
  }

  async #byCertificate(
    request: AuthRequest,
    state: ConnectionState | undefined,
  ): Promise<Identity | undefined> {
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
    return login.identity
  }

  /** Its yes is about this very request, and so it is remembered for the same question only. */
  #ask(
    forward: ForwardAuth,
    request: AuthRequest,
    state: ConnectionState | undefined,
  ): Promise<AuthDecision> {
    // Without credentials nothing is guessed, and nothing counts.
    const guess = request.headers.authorization === undefined ? undefined : {}
    const remembered = forward.remember ? state : undefined
    return this.#shown.decide(
      {
        request,
        method: 'forward',
        print: this.#print(`forward\0${forward.questionOf(request)}`),
        ttl: forward.ttl,
        refuse: () => answer(403, 'The log-in was not accepted.\n'),
        verify: async waiters => {
          const how = { guess, waiters }
          const outcome = await this.#check.run('forward', request, how, asker =>
            forward.ask(request, asker),
          )
          if (outcome.kind === 'proved') return outcome.proof
          return outcome.kind === 'answered' ? outcome.answer : unauthorized([])
        },
      },
      remembered,
    )
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

  /** Of the credentials that one of our methods would check. */
  #printOf({ name }: CredentialMethod, credentials: string): Buffer {
    return this.#print(`${name}\0${credentials}`)
  }

  #print(text: string): Buffer {
    return createHmac('sha256', this.#printKey).update(text).digest()
  }
}

function unauthorized(challenges: string[]): Answer {
  return answer(401, 'Log in to go on.\n', { 'www-authenticate': challenges })
}

function answered(given: Answer): AuthDecision {
  return { outcome: 'answered', answer: given }
}
