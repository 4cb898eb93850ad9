import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2'
import { HandfastError } from '../errors.ts'
import type { AuthContext } from './auth-context.ts'
import { type AuthParts, authParts } from './auth-parts.ts'
import { type AuthDecision, answer, answered } from './decision.ts'
import { causeOf } from './method/method.ts'
import type { AuthOptions } from './options.ts'
import { type Authenticated, authRequest, sendAnswer } from './request/node-request.ts'
import type { AuthRequest } from './request/request.ts'

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
 */
export function createAuth(options: AuthOptions, context: AuthContext): Auth {
  return new Auth(authParts(options, context))
}

export class Auth {
  readonly #parts: AuthParts

  /** @internal */
  constructor(parts: AuthParts) {
    this.#parts = parts
  }

  /**
   * Who the user is, or what to answer instead of serving the request. Never rejects: what
   * goes wrong here ends in a refusal.
   */
  async authenticate(request: AuthRequest): Promise<AuthDecision> {
    const { identification, admissions, log } = this.#parts
    try {
      let decision = await identification.decide(request)
      // One that was revoked while it was let in: whoever comes after that is looked at anew.
      if (this.#isVoid(decision, request)) decision = await identification.decide(request)
      if (this.#isVoid(decision, request)) return answered(answer(403))
      if (decision.outcome === 'identified') admissions.hold(decision, request)
      return decision
    } catch (error) {
      log.error({ cause: causeOf(error) }, 'a request could not be authenticated')
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
    const { admissions, states, logout, counters } = this.#parts
    admissions.letGo(plain)
    const everywhere = await logout.end(plain, states.of(plain.socket))
    counters.countLogout(everywhere)
    return everywhere
  }

  /** Names of fields in which another server tells of users: a client says nothing in them. */
  get ownFields(): readonly string[] {
    return this.#parts.methods.forward?.ownFields ?? []
  }

  /** Set-Cookie that makes a client forget its form log-in; undefined without form log-in. */
  get clearCookie(): string | undefined {
    return this.#parts.form?.clearCookie
  }

  /** Who is logged in under a lineage, as far as this member knows. */
  subjectOf(lineage: Buffer): string | undefined {
    return this.#parts.remembered.subjectOf(lineage)
  }

  /** Ends the threads and connections that methods hold. */
  close(): Promise<void> {
    this.#parts.admissions.close()
    return this.retire()
  }

  /**
   * Like `close`, where another takes over: what this one has let in may be open for long, and
   * still ends when the password changes.
   */
  retire(): Promise<void> {
    const { admissions, methods, onClose } = this.#parts
    admissions.retire()
    onClose?.()
    return methods.close()
  }

  #isVoid(decision: AuthDecision, { socket }: AuthRequest): boolean {
    if (decision.outcome !== 'identified') return false
    const { isRevoked, states } = this.#parts
    return isRevoked(decision.identity, states.of(socket)?.handshake.lineage)
  }
}

/** Throws ERR_HANDFAST_USAGE when `call` was given something else, most often the middleware. */
export function checkAuth(call: string, auth: Auth): void {
  if (typeof auth?.logout === 'function') return
  const what = `${call} takes the auth of a middleware: farm.auth(options).auth`
  throw new HandfastError('ERR_HANDFAST_USAGE', what)
}
