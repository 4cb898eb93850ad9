import type { Answer } from '../decision.ts'
import type { Basis, Proof } from '../identity.ts'
import type { Asker } from '../request/asker.ts'
import type { AuthRequest } from '../request/request.ts'

/** What became of an attempt to prove who one is. */
export type Verdict =
  | { readonly kind: 'proved'; readonly proof: Proof }
  /** Wrong. `guess` says that it counts as a failed log-in: an expired token is none. */
  | { readonly kind: 'refused'; readonly guess: boolean; readonly reason?: string }
  /** Somebody else decided and said so in their own words. */
  | { readonly kind: 'answered'; readonly guess: boolean; readonly answer: Answer }
  /**
   * Can't be decided now; the request is refused without being wrong. `guess` says that it
   * counts as a failed log-in all the same: who brings so many that the time runs out must not
   * go uncounted for that.
   */
  | {
      readonly kind: 'unavailable'
      readonly status: 502 | 503
      readonly cause: string
      readonly guess?: boolean
    }

/** A way to log in with an Authorization header of one scheme (RFC 9110, section 11). */
export interface CredentialMethod {
  readonly name: 'basic' | 'bearer'
  /** Lower case. */
  readonly scheme: string
  /** The user that the credentials name, before anything is proved; only for counting. */
  userOf(credentials: string): string | undefined
  /** Never rejects. */
  verify(credentials: string, request: AuthRequest, asker?: Asker): Promise<Verdict>
  /** Value of WWW-Authenticate; with a reason when credentials were there but wrong. */
  challenge(reason?: string): string
  /** False when a log-in of this user is void: what it was proved against has changed. */
  stands(subject: string, basis: Basis): boolean
}

export const refused: Verdict = { kind: 'refused', guess: true }

export function unavailable(cause: string, status: 502 | 503 = 503): Verdict {
  return { kind: 'unavailable', status, cause }
}

/** Not told in time. */
export const tooLate: Verdict = {
  kind: 'unavailable',
  status: 503,
  cause: 'timeout',
  guess: true,
}

/**
 * What may be logged of an error that came out of a callback or a library: its name and code.
 * Its text may quote the credentials.
 */
export function causeOf(error: unknown): string {
  if (!(error instanceof Error)) return typeof error
  const { code } = error as { code?: unknown }
  return typeof code === 'string' ? `${error.name} ${code}` : error.name
}

/** Splits `Scheme credentials`. */
export function readAuthorization(
  header: string | undefined,
): { scheme: string; credentials: string } | undefined {
  if (header === undefined || header.length > 16_384) return undefined
  const match = /^([!#$%&'*+.^_`|~\w-]+) +(\S.*)$/.exec(header)
  if (match === null) return undefined
  return {
    scheme: (match[1] as string).toLowerCase(),
    credentials: (match[2] as string).trimEnd(),
  }
}
