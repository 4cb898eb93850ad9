import { type Fields, tokensOf, valuesOf } from '../../http/fields.ts'

/** The header section of a request as it was read, before anything of it is believed. */
export interface RequestHead {
  readonly method: string
  /** The request target (HTTP/1) or `:path` (HTTP/2). */
  readonly target: string
  readonly httpVersion: string
  /** Read as HTTP/2; a request line may well say `HTTP/2.0`. */
  readonly http2: boolean
  /** HTTP/1 only: it asks for another protocol, and whatever follows is read as that. */
  readonly upgrade?: boolean | undefined
  /** Without pseudo-fields. */
  readonly fields: Fields
  /** HTTP/2 only: `:scheme`, `:authority`, `:protocol`. */
  readonly scheme?: string | undefined
  readonly authority?: string | undefined
  readonly protocol?: string | undefined
  /** HTTP/2 only: the header section was also the end of the request. */
  readonly endStream?: boolean | undefined
}

/** A request whose framing has one reading only. */
export interface CheckedRequest {
  readonly method: string
  /** Origin form, query included. */
  readonly path: string
  /** As the client sent it, for the backend. */
  readonly authority: string
  /** Lower case, without port: for finding the site. */
  readonly hostname: string
  readonly httpVersion: string
  readonly fields: Fields
  /** Length of the body in bytes, `unknown` when only its end will tell, 0 for none. */
  readonly bodyLength: number | 'unknown'
  readonly websocket: boolean
  readonly expectContinue: boolean
}

/** Why a request is turned away; `reason` is for the client, so it repeats nothing of it. */
export interface Refusal {
  readonly status: number
  readonly reason: string
}

/**
 * Judges a request. Node's parser has already refused what it refuses (both Content-Length and
 * Transfer-Encoding, repeated or malformed lengths, obs-fold, bare CR and LF, space before the
 * colon); what it lets through on some version, and what HTTP/2 can say that HTTP/1.1 would
 * read otherwise, is refused here. The rule: whatever two readers could take for different
 * requests goes no further.
 */
export function checkRequest(head: RequestHead): CheckedRequest | Refusal {
  const { http2 } = head
  if (!http2 && head.httpVersion !== '1.1' && head.httpVersion !== '1.0') {
    return { status: 505, reason: 'HTTP version not supported' }
  }
  const websocket = isWebSocket(head, http2)
  if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(head.method)) return bad('invalid method')
  if (head.method === 'TRACE' || (head.method === 'CONNECT' && !websocket)) {
    return { status: 405, reason: `${head.method} is not supported` }
  }
  if (head.method === 'OPTIONS' && head.target === '*') {
    return { status: 501, reason: 'OPTIONS * is not supported' }
  }
  const framing = checkFraming(head, http2, websocket)
  if (typeof framing === 'object') return framing
  const target = checkTarget(head, http2)
  if ('status' in target) return target
  const expect = tokensOf(head.fields, 'expect')
  if (expect.some(token => token !== '100-continue')) {
    return { status: 417, reason: 'unknown expectation' }
  }
  return {
    method: head.method,
    ...target,
    httpVersion: head.httpVersion,
    fields: head.fields,
    bodyLength: framing,
    websocket,
    // RFC 9110 10.1.1: an expectation of an HTTP/1.0 client is to be ignored.
    expectContinue: expect.length > 0 && head.httpVersion !== '1.0',
  }
}

/** RFC 6455 4.1 over HTTP/1.1, RFC 8441 over HTTP/2. Other upgrades are not taken up. */
function isWebSocket(head: RequestHead, http2: boolean): boolean {
  if (http2) return head.method === 'CONNECT' && head.protocol === 'websocket'
  return (
    head.upgrade === true &&
    head.method === 'GET' &&
    head.httpVersion === '1.1' &&
    tokensOf(head.fields, 'connection').includes('upgrade') &&
    valuesOf(head.fields, 'upgrade').join().toLowerCase() === 'websocket'
  )
}

/** RFC 9112 6.1 to 6.3, RFC 9113 8.1.1 and 8.2.2. */
function checkFraming(
  head: RequestHead,
  http2: boolean,
  websocket: boolean,
): number | 'unknown' | Refusal {
  const lengths = valuesOf(head.fields, 'content-length')
  const codings = valuesOf(head.fields, 'transfer-encoding')
  if (lengths.length > 1) return bad('repeated Content-Length')
  const digits = lengths[0]
  const length = digits === undefined ? 0 : Number(digits)
  if (digits !== undefined && !(/^\d+$/.test(digits) && Number.isSafeInteger(length))) {
    return bad('invalid Content-Length')
  }
  if (codings.length > 0) {
    if (http2) return bad('Transfer-Encoding has no place in HTTP/2')
    if (digits !== undefined) return bad('both Content-Length and Transfer-Encoding')
    if (head.httpVersion !== '1.1') return bad('Transfer-Encoding in HTTP/1.0')
    // Node takes `chunked` off a list and leaves the rest on the body; nobody would tell the
    // backend of it, so a list is refused. RFC 9112 6.1 asks for 501.
    if (codings.join().toLowerCase() !== 'chunked') {
      return { status: 501, reason: 'only the transfer coding chunked is supported' }
    }
  }
  // A field that frames the message can't be one that this hop may drop.
  const listed = tokensOf(head.fields, 'connection')
  if (listed.some(name => protectedFromConnection.has(name))) {
    return bad('Connection lists a field that every hop needs')
  }
  if (head.upgrade) {
    // Nobody reads a body any more: it would be taken for what comes after the upgrade.
    return length > 0 || codings.length > 0 ? bad('an upgrade with a body') : 0
  }
  if (websocket)
    return digits === undefined ? 0 : bad('a WebSocket with a Content-Length')
  if (!http2) return codings.length > 0 ? 'unknown' : length
  if (head.endStream) return length > 0 ? bad('body shorter than Content-Length') : 0
  // A length of 0 with data to follow is found out when the data comes: nothing is whole
  // before the stream has ended.
  return length === 0 ? 'unknown' : length
}

const protectedFromConnection: ReadonlySet<string> = new Set([
  'content-length',
  'host',
  'authorization',
  'cookie',
  'content-type',
])

/** RFC 9112 3.2 and 3.3, RFC 9113 8.3.1. */
function checkTarget(
  head: RequestHead,
  http2: boolean,
): Pick<CheckedRequest, 'path' | 'authority' | 'hostname'> | Refusal {
  const hosts = valuesOf(head.fields, 'host')
  if (hosts.length > 1) return bad('repeated Host')
  let authority = hosts[0]
  let path = head.target
  if (http2) {
    if (head.scheme !== 'https') return bad('invalid :scheme')
    if (authority !== undefined && head.authority !== undefined) {
      if (authority.toLowerCase() !== head.authority.toLowerCase()) {
        return bad('Host and :authority differ')
      }
    }
    authority = head.authority ?? authority
  } else if (/^https?:\/\//i.test(path)) {
    const [, named = '', rest = ''] = /^https?:\/\/([^/?#]*)(.*)$/i.exec(path) ?? []
    // RFC 9112 3.2.2 would let the target win; a backend that reads Host would not know.
    if (authority !== undefined && authority.toLowerCase() !== named.toLowerCase()) {
      return bad('Host and request target differ')
    }
    authority = named
    path = rest.startsWith('/') ? rest : `/${rest}`
  }
  if (authority === undefined && head.httpVersion !== '1.0') return bad('no Host')
  authority ??= ''
  const hostname = parseAuthority(authority)
  if (hostname === undefined) return bad('invalid Host')
  if (!/^\/[\x21\x22\x24-\x7e\x80-\xff]*$/.test(path))
    return bad('invalid request target')
  return { path, authority, hostname }
}

/** The host in lower case without port, undefined unless it is `host[:port]` to the letter. */
function parseAuthority(authority: string): string | undefined {
  if (authority === '') return ''
  const match = /^([a-z0-9._~-]{1,255}|\[[0-9a-f:.]{2,45}\])(?::(\d{0,5}))?$/i.exec(
    authority,
  )
  if (match === null || Number(match[2] ?? 0) > 65_535) return undefined
  // A trailing dot names the same host; two sites must not be reachable by one name.
  return (match[1] as string).toLowerCase().replace(/\.$/, '')
}

function bad(reason: string): Refusal {
  return { status: 400, reason }
}
