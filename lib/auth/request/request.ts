import type { IncomingHttpHeaders } from 'node:http'
import type { Readable } from 'node:stream'

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

/** A request, a stream or a WebSocket that may stay open for long after it was let in. */
export interface OpenExchange {
  /** Breaks it off, so that its client can tell. */
  readonly end: () => void
  /** Calls back once when it is over by itself, at once when it is already. */
  readonly onOver: (listener: () => void) => void
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

/** Whether somebody between the client and us says so: see `AuthOptions.shared`. */
export function cameThroughProxy({ headers }: AuthRequest): boolean {
  return (
    headers.via !== undefined ||
    headers.forwarded !== undefined ||
    headers['x-forwarded-for'] !== undefined
  )
}
