import { closed, codeOf, timedOut } from '../../backend/failure.ts'

/** What the client is told when a backend fails, and the word for the log. */
export interface Failure {
  readonly status: 502 | 503 | 504
  readonly text: string
  readonly code: string
  /** Seconds after which it may be worth another try. */
  readonly retryAfter?: number | undefined
}

/** When all backends are full now, some soon are not. */
const soon = 1

/** `busy`, `queue-timeout` and `no-backend` are the dispatcher's words (lib/dispatch/no-backend.ts). */
export function failureOf(error: Error): Failure {
  const code = codeOf(error)
  if (timedOut(error)) return { status: 504, text: 'Gateway Timeout', code }
  if (code === 'busy' || code === 'queue-timeout') {
    return { status: 503, text: 'Service Unavailable', code, retryAfter: soon }
  }
  if (closed(error) || code === 'no-backend') {
    return { status: 503, text: 'Service Unavailable', code }
  }
  return { status: 502, text: 'Bad Gateway', code }
}
