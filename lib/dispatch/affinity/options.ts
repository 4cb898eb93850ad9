import { HandfastError } from '../../errors.ts'
import { shown } from '../../shown.ts'
import { HostForm } from './host-form.ts'
import { PathForm } from './path-form.ts'
import type { UrlForm } from './url-form.ts'

/** How a client is known again, to be sent to the backend that it was sent to before. */
export interface AffinityOptions {
  /**
   * - `cookie`: by a signed cookie.
   * - `tls-session`: by its TLS session, as long as that resumes. Where the connection is a
   *   trusted proxy's, or has brought two users, by cookie.
   * - `header NAME`: by the value of a field.
   * - `path`: by a part of the path that names the backend, `/backend-a/cart`.
   * - `host`: by a host name of the backend's own.
   * - `none`: not at all.
   */
  readonly by: string
  /** Name of the cookie. Default `__Host-handfast-backend`, with more behind it in a route. */
  readonly cookie?: string | undefined
  /** Milliseconds without a request after which a client is forgotten. Default 8 h. */
  readonly ttl?: number | undefined
  /** Of `path`: what stands before the name. Default `/backend-`. */
  readonly prefix?: string | undefined
  /** Of `host`: `*.farm.example`, with the name in place of the star. The site has these names. */
  readonly hosts?: string | undefined
}

export type AffinityKind =
  | { readonly by: 'none' | 'cookie' | 'tls-session' | 'path' | 'host' }
  | { readonly by: 'header'; readonly header: string }

export const usualAffinityTtl: number = 8 * 3_600_000

/** Undefined for what is none of the kinds. */
export function readAffinity(by: string): AffinityKind | undefined {
  const word = words.find(one => one === by)
  if (word !== undefined) return { by: word }
  const header = /^header ([!#$%&'*+.^_`|~\w-]{1,64})$/.exec(by)?.[1]
  return header === undefined ? undefined : { by: 'header', header: header.toLowerCase() }
}

export function affinityKind(by: string): AffinityKind {
  const kind = readAffinity(by)
  if (kind !== undefined) return kind
  throw config(`affinity must be ${affinityWords}, got ${shown(by)}`)
}

const words = ['none', 'cookie', 'tls-session', 'path', 'host'] as const

export const affinityWords = 'cookie, tls-session, header NAME, path, host or none'

/** How URLs name backends; undefined where they do not. */
export function urlFormOf(options: AffinityOptions | undefined): UrlForm | undefined {
  const { by, prefix, hosts, cookie } = options ?? { by: 'none' }
  if (prefix !== undefined && by !== 'path')
    throw config('affinity.prefix needs by: path')
  if (hosts !== undefined && by !== 'host') throw config('affinity.hosts needs by: host')
  if (by !== 'path' && by !== 'host') return undefined
  if (cookie !== undefined) throw config(`affinity.cookie has no use with by: ${by}`)
  if (by === 'path') return new PathForm(checkedPrefix(prefix ?? '/backend-'))
  if (hosts !== undefined && isHosts(hosts)) return new HostForm(hosts)
  throw config(
    `affinity.hosts must be *. and a host name with by: host, got ${shown(hosts)}`,
  )
}

function checkedPrefix(prefix: string): string {
  if (isPlacePrefix(prefix)) return prefix
  throw config(
    `affinity.prefix must be / and then letters, digits, ~, _ or -, got ${shown(prefix)}`,
  )
}

export function isPlacePrefix(prefix: string): boolean {
  return /^\/[A-Za-z0-9~_-]{1,32}$/.test(prefix)
}

export function isHosts(hosts: string): boolean {
  return /^\*(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)+$/i.test(hosts)
}

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
