/** What the client is told when a backend fails, and the word for the log. */
export interface Failure {
  readonly status: 502 | 503 | 504
  readonly text: string
  readonly code: string
}

const timeouts: readonly string[] = [
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_HEADERS_TIMEOUT',
  'UND_ERR_BODY_TIMEOUT',
  'ETIMEDOUT',
]

const closing: readonly string[] = ['UND_ERR_DESTROYED', 'UND_ERR_CLOSED']
const unavailable: readonly string[] = ['busy', ...closing]

/** `undefined` stands for a site that has no backend to ask. */
export function failureOf(error: Error | undefined): Failure {
  const code = codeOf(error) ?? (error === undefined ? 'no-backend' : error.name)
  if (timeouts.includes(code)) return { status: 504, text: 'Gateway Timeout', code }
  if (error === undefined || unavailable.includes(code)) {
    return { status: 503, text: 'Service Unavailable', code }
  }
  return { status: 502, text: 'Bad Gateway', code }
}

/** A request was given up before a connection was looked for: it can't be said on any. */
export function isInvalidRequest(error: Error): boolean {
  return ['UND_ERR_INVALID_ARG', 'UND_ERR_NOT_SUPPORTED'].includes(codeOf(error) ?? '')
}

/** The connection broke while the backend had said nothing yet. */
export function lostBeforeAnswer(error: Error): boolean {
  return ['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE'].includes(codeOf(error) ?? '')
}

export function wasReset(error: Error): boolean {
  return codeOf(error) === 'ECONNRESET'
}

/** It is we who have let go of the backend. */
export function closed(error: Error): boolean {
  return closing.includes(codeOf(error) ?? '')
}

function codeOf(error: Error | undefined): string | undefined {
  const code = (error as { code?: unknown } | undefined)?.code
  return typeof code === 'string' ? code : undefined
}
