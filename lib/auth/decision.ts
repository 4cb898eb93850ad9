import type { Basis, Identity } from './identity.ts'

/** What becomes of a request. */
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

export function answered(given: Answer): AuthDecision {
  return { outcome: 'answered', answer: given }
}
