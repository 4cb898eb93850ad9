import { closed, codeOf, timedOut } from '../../backend/failure.ts'

/** What the client is told when a backend fails, and the word for the log. */
export interface Failure {
  readonly status: 502 | 503 | 504
  readonly text: string
  readonly code: string
}

/** `busy` and `no-backend` are the dispatcher's words (lib/dispatch/no-backend.ts). */
export function failureOf(error: Error): Failure {
  const code = codeOf(error)
  if (timedOut(error)) return { status: 504, text: 'Gateway Timeout', code }
  if (closed(error) || code === 'busy' || code === 'no-backend') {
    return { status: 503, text: 'Service Unavailable', code }
  }
  return { status: 502, text: 'Bad Gateway', code }
}
