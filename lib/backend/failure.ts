/** What kind of end a request came to, by the codes of undici and Node. */

const timeouts: readonly string[] = [
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_HEADERS_TIMEOUT',
  'UND_ERR_BODY_TIMEOUT',
  'ETIMEDOUT',
  'try-timeout',
  'silent',
  'request-timeout',
]
const closing: readonly string[] = ['UND_ERR_DESTROYED', 'UND_ERR_CLOSED']
const invalid: readonly string[] = ['UND_ERR_INVALID_ARG', 'UND_ERR_NOT_SUPPORTED']
const losses: readonly string[] = ['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE']
/** Of a body that ended before its time, orderly or not, or came to a standstill. */
const cuts: readonly string[] = [
  ...losses,
  'UND_ERR_RES_CONTENT_LENGTH_MISMATCH',
  'HPE_INVALID_EOF_STATE',
  'UND_ERR_BODY_TIMEOUT',
  'ERR_HTTP2_STREAM_ERROR',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENETDOWN',
]

/** The backend took longer than it may. */
export function timedOut(error: Error): boolean {
  return timeouts.includes(codeOf(error))
}

/** It is we who have let go of the backend. */
export function closed(error: Error): boolean {
  return closing.includes(codeOf(error))
}

/** A request was given up before a connection was looked for: it can't be said on any. */
export function isInvalidRequest(error: Error): boolean {
  return invalid.includes(codeOf(error))
}

/** The connection broke, and maybe the backend had said nothing yet. */
export function lostConnection(error: Error): boolean {
  return losses.includes(codeOf(error))
}

/** An answer that had begun was cut short by its backend or by what lies between. */
export function brokeOff(error: Error): boolean {
  return cuts.includes(codeOf(error))
}

/** What the backend said is no HTTP. */
export function isNonsense(error: Error): boolean {
  return codeOf(error).startsWith('HPE_')
}

export function wasReset(error: Error): boolean {
  return codeOf(error) === 'ECONNRESET'
}

/**
 * `refused`: nobody listens there, or the host is not reached. `lost`: the connection broke off.
 * `invalid`: what it said is no HTTP. `tls`: its certificate or its TLS is not good.
 */
export type FailureKind = 'timeout' | 'refused' | 'lost' | 'invalid' | 'tls' | 'other'

export function failureKind(error: Error): FailureKind {
  const code = codeOf(error)
  if (timedOut(error)) return 'timeout'
  if (lostConnection(error)) return 'lost'
  if (unreached.test(code)) return 'refused'
  if (isNonsense(error) || code.startsWith('UND_ERR_')) return 'invalid'
  return /^ERR_(?:TLS|SSL)|CERT|SIGNATURE|ISSUER/.test(code) ? 'tls' : 'other'
}

const unreached =
  /^E(?:CONNREFUSED|HOSTUNREACH|NETUNREACH|NOTFOUND|AI_AGAIN|ACCES|NOENT)$/

/** Its code, or its name. */
export function codeOf(error: Error): string {
  const { code } = error as { code?: unknown }
  return typeof code === 'string' ? code : error.name
}

/** The backend has not looked at the request, though it was sent (RFC 9113 8.7). */
export function wasRefused(error: Error): boolean {
  return codeOf(error) === 'ERR_HTTP2_REFUSED'
}

/** An error with one of these codes; those of undici where the same thing has happened. */
export function backendError(code: string, message: string = code): Error {
  return Object.assign(new Error(message), { code })
}
