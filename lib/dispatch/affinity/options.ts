import { HandfastError } from '../../errors.ts'
import { shown } from '../../shown.ts'

/** How a client is known again, to be sent to the backend that it was sent to before. */
export interface AffinityOptions {
  /**
   * - `cookie`: by a signed cookie.
   * - `tls-session`: by its TLS session, as long as that resumes. Where the connection is a
   *   trusted proxy's, or has brought two users, by cookie.
   * - `header NAME`: by the value of a field.
   * - `none`: not at all.
   */
  readonly by: string
  /** Name of the cookie. Default `__Host-handfast-backend`, with more behind it in a route. */
  readonly cookie?: string | undefined
  /** Milliseconds without a request after which a client is forgotten. Default 8 h. */
  readonly ttl?: number | undefined
}

export type AffinityKind =
  | { readonly by: 'none' | 'cookie' | 'tls-session' }
  | { readonly by: 'header'; readonly header: string }

export const usualAffinityTtl: number = 8 * 3_600_000

/** Undefined for what is none of the kinds. */
export function readAffinity(by: string): AffinityKind | undefined {
  if (by === 'none' || by === 'cookie' || by === 'tls-session') return { by }
  const header = /^header ([!#$%&'*+.^_`|~\w-]{1,64})$/.exec(by)?.[1]
  return header === undefined ? undefined : { by: 'header', header: header.toLowerCase() }
}

export function affinityKind(by: string): AffinityKind {
  const kind = readAffinity(by)
  if (kind !== undefined) return kind
  throw config(`affinity must be ${affinityWords}, got ${shown(by)}`)
}

export const affinityWords = 'cookie, tls-session, header NAME or none'

export function checkCookieName(name: string): void {
  if (!isCookieName(name)) {
    throw config(
      `affinity.cookie must be a name that begins with __Host-, got ${shown(name)}`,
    )
  }
}

/** RFC 6265bis 4.1.3.2: no other host, and no plain HTTP, can set one of that name. */
export function isCookieName(name: string): boolean {
  return /^__Host-[\w-]{1,64}$/.test(name)
}

function config(message: string): HandfastError {
  return new HandfastError('ERR_HANDFAST_CONFIG', message)
}
