import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls'
import type { Clock, Timer } from '../clock.ts'
import { HandfastError } from '../errors.ts'
import { type ClientSession, readClientSession } from './client-session.ts'
import type { Target } from './target.ts'

export interface ClientOptions {
  readonly clock: Clock
  /** Longest that one connection may take, in milliseconds. */
  readonly timeout: number
  /** PEM of authorities to check certificates against, instead of Node's. */
  readonly ca?: string | undefined
  /** PEM of a certificate to show to servers that ask for one, and its key. */
  readonly certificate?: { readonly cert: string; readonly key: string } | undefined
  /** Handshakes in all. */
  readonly limit: number
}

export interface Visit {
  /** Empty: no server_name extension. */
  readonly serverName: string
  readonly version?: 'TLSv1.2' | 'TLSv1.3'
  readonly secureOptions?: number
  readonly session?: ClientSession
  /** Stay for the sessions that the server hands out, and ask it for a page meanwhile. */
  readonly stay: boolean
  /** How long to stay without an answer, in milliseconds. Default 400. */
  readonly patience?: number
}

export type Outcome = Finished | Failed

export interface Finished {
  readonly ok: true
  readonly resumed: boolean
  readonly protocol: string
  /** What the server handed out, oldest first. */
  readonly sessions: readonly ClientSession[]
  /** Status line of the answer; undefined when none was asked for or none came. */
  readonly http: string | undefined
  /** Why the certificate can't be trusted. */
  readonly untrusted: string | undefined
}

export interface Failed {
  readonly ok: false
  readonly failure: Failure
  /** Code of the error, for people who know it. */
  readonly code: string
}

export type Failure =
  /** Nobody answers in time. */
  | 'timeout'
  /** No TCP connection: refused, no route, no such name. */
  | 'unreachable'
  /** What answers does not speak TLS. */
  | 'not-tls'
  /** The server does not speak this version of TLS. */
  | 'version'
  /** The TLS handshake failed, or the connection ended in it. */
  | 'handshake'
  /** Failed too often in a row; not tried any more. */
  | 'given-up'

/** A TLS client that counts and limits what it does. */
export class Client {
  readonly #options: ClientOptions
  readonly #failures = new Map<string, number>()
  #handshakes = 0

  constructor(options: ClientOptions) {
    this.#options = options
  }

  /** Connections begun so far. */
  get handshakes(): number {
    return this.#handshakes
  }

  /** One connection. Never rejects for what the other side does. */
  async visit(target: Target, visit: Visit): Promise<Outcome> {
    const failures = this.#failures.get(target.label) ?? 0
    if (failures >= mostFailures) return { ok: false, failure: 'given-up', code: '' }
    if (this.#handshakes >= this.#options.limit) {
      throw new HandfastError('ERR_HANDFAST_USAGE', 'the limit of handshakes is reached')
    }
    this.#handshakes += 1
    const outcome = await new Connection(target, visit, this.#options).outcome
    const lost =
      !outcome.ok && ['timeout', 'unreachable', 'not-tls'].includes(outcome.failure)
    this.#failures.set(target.label, lost ? failures + 1 : 0)
    return outcome
  }
}

/** So that an address that went dead does not cost a timeout for each question. */
const mostFailures = 3
/** How long to stay for tickets and an answer after the handshake. */
const grace = 400
/** Tickets come in one go: after this pause there are no more. */
const pause = 40
const mostHeader = 4_096

class Connection {
  readonly outcome: Promise<Outcome>
  readonly #visit: Visit
  readonly #socket: TLSSocket
  readonly #clock: Clock
  readonly #sessions: Buffer[] = []
  readonly #limit: Timer
  #stayTimer: Timer | undefined
  #done: (outcome: Outcome) => void = () => {}
  #secure: Pick<Finished, 'resumed' | 'protocol' | 'untrusted'> | undefined
  #answer = ''

  constructor(target: Target, visit: Visit, options: ClientOptions) {
    this.#visit = visit
    this.#clock = options.clock
    this.outcome = new Promise(resolve => {
      this.#done = resolve
    })
    this.#limit = options.clock.after(options.timeout, () =>
      this.#secure === undefined ? this.#fail('timeout', 'ETIMEDOUT') : this.#finish(),
    )
    this.#socket = connect(connectOptions(target, visit, options))
    this.#socket.on('session', session => this.#onSession(session))
    this.#socket.on('secureConnect', () => this.#onSecure())
    this.#socket.on('data', chunk => this.#onData(chunk))
    this.#socket.on('error', error => this.#onError(error))
    this.#socket.on('close', () => this.#onClose())
  }

  #onSession(session: Buffer): void {
    this.#sessions.push(session)
    // In TLS 1.2 the session comes with the handshake itself.
    if (this.#secure === undefined) return
    if (this.#answer !== '' || this.#visit.patience === undefined) this.#stayFor(pause)
  }

  #onSecure(): void {
    const socket = this.#socket
    const { authorizationError } = socket
    this.#secure = {
      resumed: socket.isSessionReused(),
      protocol: socket.getProtocol() ?? '',
      untrusted: authorizationError ? codeOf(authorizationError) : undefined,
    }
    if (!this.#visit.stay) {
      this.#finish()
      return
    }
    const host = this.#visit.serverName === '' ? 'localhost' : this.#visit.serverName
    socket.write(
      `HEAD / HTTP/1.1\r\nHost: ${host}\r\nUser-Agent: handfast-doctor\r\n` +
        'Connection: close\r\n\r\n',
    )
    this.#stayFor(this.#visit.patience ?? grace)
  }

  #onData(chunk: Buffer): void {
    if (this.#answer.length < mostHeader) this.#answer += chunk.toString('latin1')
    this.#stayFor(pause)
  }

  #onError(error: Error & { code?: string }): void {
    const code = error.code ?? 'error'
    // A TLS 1.3 server looks at the client's certificate when the client is done already.
    const refused = /_ALERT_/.test(code) && this.#answer === '' && !this.#sessions.length
    if (this.#secure === undefined || refused) this.#fail(failureOf(error), code)
    else this.#finish()
  }

  #onClose(): void {
    if (this.#secure !== undefined) this.#finish()
    else this.#fail('handshake', 'ECONNRESET')
  }

  #stayFor(ms: number): void {
    this.#stayTimer?.cancel()
    this.#stayTimer = this.#clock.after(ms, () => this.#finish())
  }

  #finish(): void {
    const secure = this.#secure
    if (secure === undefined) return
    const sessions = [...this.#sessions]
    if (secure.protocol !== 'TLSv1.3' && !secure.resumed && sessions.length === 0) {
      const session = this.#socket.getSession()
      if (session !== undefined) sessions.push(session)
    }
    this.#end()
    this.#done({
      ok: true,
      ...secure,
      sessions: sessions.flatMap(session => readClientSession(session) ?? []),
      http: /^HTTP\/1\.[01] \d{3}[\x20-\x7e]{0,80}/.exec(this.#answer)?.[0],
    })
  }

  #fail(failure: Failure, code: string): void {
    this.#end()
    this.#done({ ok: false, failure, code })
  }

  #end(): void {
    this.#limit.cancel()
    this.#stayTimer?.cancel()
    this.#socket.removeAllListeners()
    // It may still report errors, to nobody.
    this.#socket.on('error', () => {})
    this.#socket.end()
    this.#socket.destroySoon()
  }
}

function connectOptions(
  target: Target,
  visit: Visit,
  { ca, certificate }: ClientOptions,
): ConnectionOptions {
  const { version, secureOptions, session } = visit
  return {
    host: target.host,
    port: target.port,
    servername: visit.serverName,
    rejectUnauthorized: false,
    ...(ca === undefined ? {} : { ca }),
    ...certificate,
    ...(version === undefined ? {} : { minVersion: version, maxVersion: version }),
    ...(secureOptions === undefined ? {} : { secureOptions }),
    ...(session === undefined ? {} : { session: session.der }),
  }
}

function failureOf({ code = '', message }: Error & { code?: string }): Failure {
  if (code === 'ETIMEDOUT') return 'timeout'
  if (unreachableCodes.has(code)) return 'unreachable'
  if (/WRONG_VERSION_NUMBER|HTTP_REQUEST|PACKET_LENGTH_TOO_LONG/.test(code)) {
    return 'not-tls'
  }
  if (/PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL|VERSION_TOO_LOW/.test(code)) return 'version'
  return /wrong version number/i.test(message) ? 'not-tls' : 'handshake'
}

const unreachableCodes = new Set([
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EADDRNOTAVAIL',
  'ENOTFOUND',
  'EAI_AGAIN',
])

/** Node's types say Error; it is the code as text. */
function codeOf(error: Error | string): string {
  return typeof error === 'string' ? error : error.message
}
