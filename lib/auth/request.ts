import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import { constants, type Http2ServerRequest, type Http2ServerResponse } from 'node:http2'
import type { Readable } from 'node:stream'
import type { Basis, Identity } from './identity.ts'
import type { OpenExchange } from './open-exchanges.ts'

/** What authentication needs to see of a request; HTTP/1.1 and HTTP/2 alike. */
export interface AuthRequest {
  readonly method: string
  /** Path and query, as the client sent them. */
  readonly url: string
  readonly headers: IncomingHttpHeaders
  /** The connection; for HTTP/2 the proxy that Node hands out will do. */
  readonly socket: object
  /** The body that has not been read yet; only a form log-in reads it. */
  readonly body?: Readable | undefined
  /** Fields of a form that somebody else has parsed already. */
  readonly fields?: Readonly<Record<string, unknown>> | undefined
  /**
   * Calls back once when the client no longer waits for the answer; answers how to stop
   * listening. Default: when the connection closes.
   */
  readonly onGone?: ((listener: () => void) => () => void) | undefined
  /**
   * How to break it off while it is open, which a revocation or a log-out may ask for. Default:
   * by closing the connection, unless another request has come on it.
   */
  readonly exchange?: OpenExchange | undefined
}

export type AuthDecision =
  /** The request may go on as `identity`, for as long as the basis is what it was. */
  | Identified
  /** Nobody is logged in, and that is allowed. */
  | { readonly outcome: 'anonymous' }
  /** The request ends here: a challenge, a redirect, a form, a refusal. */
  | { readonly outcome: 'answered'; readonly answer: Answer }

export interface Identified {
  readonly outcome: 'identified'
  readonly identity: Identity
  readonly basis: Basis
}

export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[]>>
  readonly body: string | Buffer
}

/** A request that passed `auth.middleware()`. */
export type Authenticated<T> = T & { auth?: Identity | undefined }

type NodeRequest = (IncomingMessage | Http2ServerRequest) & {
  /** Express and Connect: the url before mounting took a part of it away. */
  readonly originalUrl?: string
  /** Express and Fastify: set by a body parser. */
  readonly body?: unknown
}

/**
 * Reads a request of node:http, node:https or node:http2, also inside Express or Connect. The
 * response tells when it is over; without one, as for a WebSocket, the stream or socket does.
 */
export function authRequest(
  request: IncomingMessage | Http2ServerRequest,
  response?: ServerResponse | Http2ServerResponse,
): AuthRequest {
  const { originalUrl, body } = request as NodeRequest
  return {
    method: request.method ?? 'GET',
    url: originalUrl ?? request.url ?? '/',
    headers: request.headers,
    socket: request.socket,
    body: request,
    onGone: 'stream' in request ? listener => onceClosed(request, listener) : undefined,
    exchange: exchangeOf(request, response),
    fields:
      typeof body === 'object' && body !== null && !Buffer.isBuffer(body)
        ? (body as Record<string, unknown>)
        : undefined,
  }
}

/** A stream of HTTP/2 may end long before its connection. */
function onceClosed({ stream }: Http2ServerRequest, listener: () => void): () => void {
  stream?.once('close', listener)
  return () => stream?.off('close', listener)
}

/** One object for each request, by which a log-out knows itself. */
const exchanges = new WeakMap<object, OpenExchange>()

function exchangeOf(
  request: IncomingMessage | Http2ServerRequest,
  response: ServerResponse | Http2ServerResponse | undefined,
): OpenExchange | undefined {
  const known = exchanges.get(request)
  if (known !== undefined) return known
  const exchange = makeExchange(request, response)
  if (exchange !== undefined) exchanges.set(request, exchange)
  return exchange
}

function makeExchange(
  request: IncomingMessage | Http2ServerRequest,
  response: ServerResponse | Http2ServerResponse | undefined,
): OpenExchange | undefined {
  if ('stream' in request) {
    const { stream } = request
    return {
      end: () => stream.close(constants.NGHTTP2_CANCEL),
      onOver: listener => {
        if (stream.destroyed) listener()
        else stream.once('close', listener)
      },
    }
  }
  const { socket } = request
  const end = () => socket.destroy()
  // Node hands the socket over, and its response, if somebody made one, hears of nothing more.
  const upgraded = (request as { upgrade?: boolean }).upgrade === true
  const told = upgraded ? socket : response
  if (typeof told?.once !== 'function') return undefined
  return {
    end,
    onOver: listener => {
      if (socket.destroyed || told.writableFinished) listener()
      else told.once('close', listener)
    },
  }
}

export function answer(
  status: number,
  body: string | Buffer = '',
  headers: Record<string, string | string[]> = {},
): Answer {
  return {
    status,
    // An answer about a log-in is for this client at this moment, never for a cache.
    headers: {
      'cache-control': 'no-store',
      'content-type': 'text/plain; charset=utf-8',
      'content-length': String(Buffer.byteLength(body)),
      ...headers,
    },
    body,
  }
}

export function unauthorized(challenges: string[]): Answer {
  return answer(401, 'Log in to go on.\n', { 'www-authenticate': challenges })
}

/** The name and port that the client asked for, lower case; undefined when it said none. */
export function hostOf(request: AuthRequest): string | undefined {
  const host = request.headers[':authority'] ?? request.headers.host
  return typeof host === 'string' ? host.toLowerCase() : undefined
}

export function isEncrypted(request: AuthRequest): boolean {
  return (request.socket as { encrypted?: boolean }).encrypted === true
}

export function addressOf(request: AuthRequest): string | undefined {
  return (request.socket as { remoteAddress?: string }).remoteAddress
}

/** One header as text. Repeated ones are joined, as Node does for most. */
export function headerOf(request: AuthRequest, name: string): string | undefined {
  const value = request.headers[name]
  return Array.isArray(value) ? value.join(', ') : value
}

/** Whether a person waits for a page, who can be sent to a log-in form. */
export function wantsPage(request: AuthRequest): boolean {
  return (
    (request.method === 'GET' || request.method === 'HEAD') &&
    /\btext\/html\b/.test(headerOf(request, 'accept') ?? '')
  )
}

export function pathOf(request: AuthRequest): string {
  const end = request.url.indexOf('?')
  return end < 0 ? request.url : request.url.slice(0, end)
}

/**
 * Whether the request was made by our own pages, or by nobody's page. A TLS session, a cookie
 * and a client certificate are sent by a browser along with *any* page's requests, so a log-in
 * remembered under them must not serve a foreign page: that would be cross-site request
 * forgery, and unlike for cookies no SameSite attribute stops it. Fetch Metadata says who asks
 * (W3C Fetch Metadata Request Headers, section 2); older browsers say at least Origin.
 *
 * A foreign page may still link to us, as SameSite=Lax has it.
 */
export function fromOwnSite(
  request: AuthRequest,
  trustedOrigins: ReadonlySet<string>,
): boolean {
  const origin = headerOf(request, 'origin')
  if (origin !== undefined && trustedOrigins.has(origin.toLowerCase())) return true
  const site = headerOf(request, 'sec-fetch-site')
  if (site === 'same-origin' || site === 'none') return true
  if (site !== undefined) {
    return (
      (request.method === 'GET' || request.method === 'HEAD') &&
      headerOf(request, 'sec-fetch-mode') === 'navigate' &&
      headerOf(request, 'sec-fetch-dest') === 'document'
    )
  }
  return origin === undefined || isOwnOrigin(origin, request)
}

/**
 * Whether a browser sends credentials of this scheme by itself, with the requests of any page,
 * once its user has typed them. A bearer token is put there by a script that knows it.
 */
export function isAmbient(scheme: string): boolean {
  return ambientSchemes.includes(scheme)
}

const ambientSchemes = ['basic', 'digest', 'ntlm', 'negotiate']

function isOwnOrigin(origin: string, request: AuthRequest): boolean {
  const host = hostOf(request)
  // Only a name and a port: what a URL would read as user or path must not pass for a host.
  if (host === undefined || /[/?#@\\\s]/.test(host) || !URL.canParse(origin)) return false
  const { protocol, host: originHost } = new URL(origin)
  if (isEncrypted(request) && protocol !== 'https:') return false
  const own = `${protocol}//${host}`
  return URL.canParse(own) && new URL(own).host === originHost
}

/** Whether somebody between the client and us says so: see `AuthOptions.shared`. */
export function cameThroughProxy({ headers }: AuthRequest): boolean {
  return (
    headers.via !== undefined ||
    headers.forwarded !== undefined ||
    headers['x-forwarded-for'] !== undefined
  )
}

/** Sends an answer with a response of node:http, node:https or node:http2. */
export function sendAnswer(
  response: ServerResponse | Http2ServerResponse,
  { status, headers, body }: Answer,
): void {
  response.statusCode = status
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value)
  response.end(body)
}
