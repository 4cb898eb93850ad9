import { plainName } from '../../auth/identity-headers.ts'
import {
  type Fields,
  filterFields,
  lowerCase,
  perName,
  tokensOf,
  valuesOf,
} from '../../http/fields.ts'
import { type Claim, claimOf } from './claims.ts'
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

/**
 * What becomes of a field of a request, by its name: these concern this connection, or are said
 * anew; `cookie` is put together; the others are as `claimOf` has them.
 */
const fateOf: (name: string) => 'own' | 'cookie' | Claim | undefined = perName(name => {
  if (name === 'cookie') return 'cookie'
  const own = ['host', 'expect', 'content-length', 'via'].includes(name)
  return own || hopByHop.has(name) ? 'own' : claimOf(name)
})

/** The header section for the backend. */
export function requestFields(
  request: CheckedRequest,
  { hop, clientCertificate, identity, ownFields }: RequestContext,
): string[] {
  const { fields: asked } = request
  const listed = listedOf(asked)
  const fields = ['Host', request.authority]
  let cookies: string | undefined
  for (let i = 0; i < asked.length; i += 2) {
    const name = lowerCase(asked[i] as string)
    const value = asked[i + 1] as string
    const fate = fateOf(name)
    if (fate === 'cookie') {
      // RFC 9113 8.2.3: HTTP/2 may split a cookie, HTTP/1.1 may not.
      cookies = cookies === undefined ? value : `${cookies}; ${value}`
      continue
    }
    const kept =
      fate === undefined ||
      // Who the user is a client never says, and a proxy in front only where we do not ask.
      (fate === 'user' && hop.trusted && identity === undefined) ||
      (fate === 'way' && hop.trusted)
    if (!kept || listed.has(name)) continue
    if (ownFields.size > 0 && ownFields.has(plainName(name))) continue
    fields.push(asked[i] as string, value)
  }
  if (cookies !== undefined) fields.push('Cookie', cookies)
  if (typeof request.bodyLength === 'number' && request.bodyLength > 0) {
    fields.push('Content-Length', String(request.bodyLength))
  }
  if (tokensOf(asked, 'te').some(token => token.startsWith('trailers'))) {
    fields.push('TE', 'trailers')
  }
  fields.push('Via', via(request))
  fields.push(...forwardedFields(asked, hop, request.authority))
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
  // Those that are no business of the next hop anyway need not be said.
  return listed.every(isHopByHop) ? none : new Set(listed)
}

/** RFC 9110 7.6.3. A gateway must say it on the way in. */
function via(request: CheckedRequest): string {
  const version = request.httpVersion.startsWith('2') ? '2.0' : request.httpVersion
  const before = valuesOf(request.fields, 'via')
  const own = `${version} handfast`
  return before.length === 0 ? own : [...before, own].join(', ')
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
