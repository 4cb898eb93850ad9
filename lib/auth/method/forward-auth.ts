import * as http from 'node:http'
import * as https from 'node:https'
import type { Clock } from '../../clock.ts'
import { HandfastError } from '../../errors.ts'
import type { Log } from '../../log.ts'
import { answer } from '../decision.ts'
import {
  type Basis,
  type Claims,
  isSubject,
  type MakeBasis,
  maxClaimsBytes,
} from '../identity.ts'
import type { Asker } from '../request/asker.ts'
import {
  type AuthRequest,
  addressOf,
  headerOf,
  hostOf,
  isEncrypted,
} from '../request/request.ts'
import { causeOf, unavailable, type Verdict } from './method.ts'

/** Asks another server who the user is, as nginx does with auth_request. */
export interface ForwardAuthOptions {
  /** Asked with GET. 2xx: known; 401 and 403 go to the client; all else is a failure. */
  readonly url: string | URL
  /** Response header that names the user. Default `x-forwarded-user`. */
  readonly subjectHeader?: string | undefined
  /** Claim name to response header: `{ email: 'x-forwarded-email' }`. */
  readonly claimHeaders?: Readonly<Record<string, string>> | undefined
  /**
   * Request headers that are passed on. Default `authorization`, `cookie`, `accept`,
   * `accept-language`, `user-agent`.
   */
  readonly requestHeaders?: readonly string[] | undefined
  /** Milliseconds for the whole answer. Default 5000. */
  readonly timeout?: number | undefined
  /** PEM of the authorities for https. Default: those of Node. */
  readonly ca?: string | Buffer | undefined
  /**
   * Whether a yes is remembered for the same question on the same TLS session: the same method,
   * host, path, query, address and `requestHeaders`, all that the other server has seen.
   * Default true. With false it is asked about each request.
   */
  readonly remember?: boolean | undefined
  /**
   * Milliseconds that it is remembered. Default 300 000: a user who logs out there, or may do
   * less than before, must not get in here for hours.
   */
  readonly ttl?: number | undefined
}

export interface ForwardAuthContext {
  readonly clock: Clock
  readonly log: Log
  readonly makeBasis: MakeBasis
  /** Where the client is, behind a balancer that is trusted to tell. Default: the socket's. */
  readonly address?: ((request: AuthRequest) => string | undefined) | undefined
}

const defaultRequestHeaders = [
  ...['authorization', 'cookie', 'accept', 'accept-language', 'user-agent'],
]
const defaultSubjectHeader = 'x-forwarded-user'
/** Headers of a 401 or 403 that mean something to the client. */
const passedBack = ['www-authenticate', 'content-type', 'set-cookie', 'retry-after']
const maxBody = 65_536

export class ForwardAuth {
  readonly remember: boolean
  readonly ttl: number
  /** Names of the fields in which the other server tells of the user. */
  readonly ownFields: readonly string[]
  /** Of its yes: whom it came from, and how it is read. */
  readonly basis: Basis
  readonly #url: URL
  readonly #options: ForwardAuthOptions
  readonly #requestHeaders: readonly string[]
  readonly #timeout: number
  readonly #addressOf: (request: AuthRequest) => string | undefined
  readonly #clock: Clock
  readonly #log: Log
  readonly #agent: http.Agent

  constructor(
    options: ForwardAuthOptions,
    { clock, log, makeBasis, address = addressOf }: ForwardAuthContext,
  ) {
    this.#addressOf = address
    this.#url = forwardUrl(String(options.url))
    this.#options = options
    this.#requestHeaders = (options.requestHeaders ?? defaultRequestHeaders).map(name =>
      name.toLowerCase(),
    )
    this.ownFields = [
      options.subjectHeader ?? defaultSubjectHeader,
      ...Object.values(options.claimHeaders ?? {}),
    ]
    this.#timeout = options.timeout ?? 5_000
    this.ttl = options.ttl ?? 300_000
    this.remember = options.remember ?? true
    const { subjectHeader, claimHeaders } = options
    const read = [this.#url.href, this.#requestHeaders, subjectHeader, claimHeaders]
    this.basis = makeBasis('forward', JSON.stringify(read))
    for (const [name, value] of [
      ['timeout', this.#timeout],
      ['ttl', this.ttl],
    ] as const) {
      if (!(value > 0)) throw bad(`${name} must be more than 0 ms`)
    }
    this.#clock = clock
    this.#log = log
    const settings = { keepAlive: true, maxFreeSockets: 16 }
    this.#agent =
      this.#url.protocol === 'https:'
        ? new https.Agent({ ...settings, ca: options.ca })
        : new http.Agent(settings)
  }

  /** All that the other server would hear of the request. */
  questionOf(request: AuthRequest): string {
    return JSON.stringify(this.#headersFor(request))
  }

  /**
   * Never rejects and never waits longer than `timeout`, nor when the client has left. How
   * many ask at a time is up to the caller.
   */
  async ask(request: AuthRequest, asker?: Asker): Promise<Verdict> {
    try {
      const { response, body } = await this.#fetch(request, asker)
      return this.#verdictOf(response, body)
    } catch (error) {
      const cause = causeOf(error)
      this.#log.warn({ host: this.#url.host, cause }, 'forward-auth: no answer')
      return unavailable('forward')
    }
  }

  close(): void {
    this.#agent.destroy()
  }

  #fetch(
    request: AuthRequest,
    asker: Asker | undefined,
  ): Promise<{ response: http.IncomingMessage; body: Buffer }> {
    return new Promise((resolve, reject) => {
      const { request: send } = this.#url.protocol === 'https:' ? https : http
      const asked = send(this.#url, {
        agent: this.#agent,
        headers: this.#headersFor(request),
      })
      const timer = this.#clock.after(this.#timeout, () => {
        asked.destroy(
          Object.assign(new Error('no answer in time'), { code: 'ETIMEDOUT' }),
        )
      })
      const stopListening = asker?.onGone(() => asked.destroy(new Error('client gone')))
      const fail = (error: Error) => {
        timer.cancel()
        stopListening?.()
        reject(error)
      }
      asked.once('error', fail)
      asked.once('response', response => {
        const chunks: Buffer[] = []
        let length = 0
        response.on('data', (chunk: Buffer) => {
          length += chunk.length
          if (length > maxBody) {
            asked.destroy()
            fail(Object.assign(new Error('answer too long'), { code: 'EMSGSIZE' }))
          } else chunks.push(chunk)
        })
        response.once('error', fail)
        response.once('end', () => {
          timer.cancel()
          stopListening?.()
          resolve({ response, body: Buffer.concat(chunks) })
        })
      })
      asked.end()
    })
  }

  #headersFor(request: AuthRequest): http.OutgoingHttpHeaders {
    const headers: http.OutgoingHttpHeaders = {}
    for (const name of this.#requestHeaders) {
      const value = headerOf(request, name)
      if (value !== undefined) headers[name] = value
    }
    const address = this.#addressOf(request)
    const host = hostOf(request)
    // Our own words about the request, never the client's.
    headers['x-forwarded-method'] = request.method
    headers['x-forwarded-proto'] = isEncrypted(request) ? 'https' : 'http'
    headers['x-forwarded-uri'] = request.url
    headers['x-original-method'] = request.method
    headers['x-original-uri'] = request.url
    if (host !== undefined) headers['x-forwarded-host'] = host
    if (address !== undefined) headers['x-forwarded-for'] = address
    return headers
  }

  #verdictOf(response: http.IncomingMessage, body: Buffer): Verdict {
    const status = response.statusCode ?? 0
    if (status === 401 || status === 403) {
      const headers: Record<string, string | string[]> = {}
      for (const name of passedBack) {
        const value = response.headers[name]
        if (value !== undefined) headers[name] = value
      }
      return {
        kind: 'answered',
        guess: status === 401,
        answer: answer(status, body, headers),
      }
    }
    if (status < 200 || status > 299) {
      this.#log.warn({ host: this.#url.host, status }, 'forward-auth: not an answer')
      return unavailable('forward', 502)
    }
    const subject = this.#readHeader(response, this.#options.subjectHeader)
    const claims: Claims = Object.fromEntries(
      Object.entries(this.#options.claimHeaders ?? {})
        .map(([claim, header]) => [claim, this.#readHeader(response, header)] as const)
        .filter((pair): pair is [string, string] => pair[1] !== undefined),
    )
    const sound =
      isSubject(subject) && Buffer.byteLength(JSON.stringify(claims)) <= maxClaimsBytes
    const { basis } = this
    if (sound) return { kind: 'proved', proof: { subject, claims, basis } }
    this.#log.warn({ host: this.#url.host }, 'forward-auth: said yes and not to whom')
    return unavailable('forward', 502)
  }

  /** Node reads header bytes as latin1; names are UTF-8 on most servers. */
  #readHeader(
    response: http.IncomingMessage,
    name = defaultSubjectHeader,
  ): string | undefined {
    const value = response.headers[name.toLowerCase()]
    if (typeof value !== 'string') return undefined
    const bytes = Buffer.from(value, 'latin1')
    const text = bytes.toString()
    return Buffer.from(text).equals(bytes) ? text : value
  }
}

function forwardUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url?.protocol !== 'http:' && url?.protocol !== 'https:') {
    throw bad('url must be an http or https URL')
  }
  return url
}

function bad(what: string): HandfastError {
  return new HandfastError('ERR_HANDFAST_CONFIG', `auth.forward: ${what}`)
}
