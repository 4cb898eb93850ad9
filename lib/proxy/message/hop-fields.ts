import { plainName } from '../../auth/identity-headers.ts'
import { type Fields, filterFields, tokensOf, valuesOf } from '../../http/fields.ts'
import { claimOf } from './claims.ts'
import { forwardedFields, type Hop } from './forwarded.ts'
import type { CheckedRequest } from './request-check.ts'

/** RFC 9110 7.6.1: they concern one connection, not the message. */
const hopByHop: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'proxy-authorization',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
])

export function isHopByHop(name: string): boolean {
  return hopByHop.has(name)
}

/** Fields that may not come after the body (RFC 9110 6.5.1): too late to be believed. */
const notInTrailers: ReadonlySet<string> = new Set([
  ...hopByHop,
  'authorization',
  'content-encoding',
  'content-length',
  'content-range',
  'content-type',
  'cookie',
  'host',
  'set-cookie',
])

export interface RequestContext {
  readonly hop: Hop
  /** DER of the verified client certificate. */
  readonly clientCertificate: Buffer | undefined
  /** Who the user is; undefined where the site asks nobody. */
  readonly identity: Fields | undefined
  /** Names of fields, as `plainName` has them, that only the site's log-in may say. */
  readonly ownFields: ReadonlySet<string>
}

/** The header section for the backend. */
export function requestFields(
  request: CheckedRequest,
  { hop, clientCertificate, identity, ownFields }: RequestContext,
): string[] {
  const listed = listedOf(request.fields)
  const fields = ['Host', request.authority]
  const cookies: string[] = []
  fields.push(
    ...filterFields(request.fields, (name, value) => {
      // RFC 9113 8.2.3: HTTP/2 may split a cookie, HTTP/1.1 may not.
      if (name === 'cookie') {
        cookies.push(value)
        return false
      }
      if (name === 'host' || name === 'expect' || name === 'content-length') return false
      if (name === 'via' || listed.has(name) || hopByHop.has(name)) return false
      if (ownFields.size > 0 && ownFields.has(plainName(name))) return false
      switch (claimOf(name)) {
        case undefined:
          return true
        // Who the user is a client never says, and a proxy in front only where we do not ask.
        case 'user':
          return hop.trusted && identity === undefined
        case 'way':
          return hop.trusted
        default:
          return false
      }
    }),
  )
  if (cookies.length > 0) fields.push('Cookie', cookies.join('; '))
  if (typeof request.bodyLength === 'number' && request.bodyLength > 0) {
    fields.push('Content-Length', String(request.bodyLength))
  }
  if (tokensOf(request.fields, 'te').some(token => token.startsWith('trailers'))) {
    fields.push('TE', 'trailers')
  }
  fields.push('Via', via(request))
  fields.push(...forwardedFields(request.fields, hop, request.authority))
  if (identity !== undefined) fields.push(...identity)
  if (clientCertificate !== undefined) {
    // RFC 9440 2.2: a byte sequence of RFC 8941.
    fields.push('Client-Cert', `:${clientCertificate.toString('base64')}:`)
  }
  return fields
}

const none: ReadonlySet<string> = new Set()

/** The fields that Connection names: they concern the connection as well. */
function listedOf(fields: Fields): ReadonlySet<string> {
  const listed = tokensOf(fields, 'connection')
  return listed.length === 0 ? none : new Set(listed)
}

/** RFC 9110 7.6.3. A gateway must say it on the way in. */
function via(request: CheckedRequest): string {
  const version = request.httpVersion.startsWith('2') ? '2.0' : request.httpVersion
  return [...valuesOf(request.fields, 'via'), `${version} handfast`].join(', ')
}

/** The header section for the client. */
export function responseFields(status: number, fields: Fields): string[] {
  const listed = listedOf(fields)
  // RFC 9112 6.3: Transfer-Encoding overrides; RFC 9110 8.6: none with 1xx and 204.
  const noLength =
    status < 200 || status === 204 || tokensOf(fields, 'transfer-encoding').length > 0
  return filterFields(fields, name => {
    if (name === 'content-length') return !noLength
    if (name === 'trailer') return status >= 200
    return !(hopByHop.has(name) || listed.has(name))
  })
}

/**
 * Whether the body of a response came in a coding that nobody here has undone: a client would be
 * told of none (RFC 9112 6.1).
 */
export function hasUnknownCoding(fields: Fields): boolean {
  const codings = tokensOf(fields, 'transfer-encoding')
  return codings.some(coding => coding !== 'chunked' && coding !== 'identity')
}

/** RFC 9112 6.3: whether the body of a response has no other end than its connection. */
export function endsWithConnection(fields: Fields): boolean {
  return !fields.some((part, i) => i % 2 === 0 && framesBody.test(part))
}

const framesBody = /^(?:content-length|transfer-encoding)$/i

/** What of a trailer section may be passed on. */
export function trailerFields(fields: Fields): string[] {
  return filterFields(
    fields,
    name => !notInTrailers.has(name) && claimOf(name) !== 'ours',
  )
}
