import type { Fields } from '../http/fields.ts'

/** What becomes of the links that a response has in its fields. */
export interface LinkMapping {
  /** A URL or a path, or what is relative to one. */
  readonly target: (target: string) => string
  /** A whole Set-Cookie. */
  readonly cookie?: ((cookie: string) => string) | undefined
}

/** Of Location, Content-Location, Refresh, Link (RFC 8288) and Set-Cookie. */
export function mapLinks(fields: Fields, { target, cookie }: LinkMapping): string[] {
  const changed = [...fields]
  for (let i = 0; i < fields.length; i += 2) {
    const value = fields[i + 1] as string
    switch ((fields[i] as string).toLowerCase()) {
      case 'location':
      case 'content-location':
        changed[i + 1] = target(value)
        break
      case 'refresh':
        // HTML, "shared declarative refresh steps".
        changed[i + 1] = value.replace(
          /^(\s*[\d.]+\s*[;,]\s*(?:url\s*=\s*)?)(["']?)([^"']*)/i,
          (_, before: string, quote: string, url: string) => before + quote + target(url),
        )
        break
      case 'link':
        changed[i + 1] = value.replace(
          /<([^<>]*)>/g,
          (_, link: string) => `<${target(link)}>`,
        )
        break
      case 'set-cookie':
        if (cookie !== undefined) changed[i + 1] = cookie(value)
        break
    }
  }
  return changed
}

/**
 * Puts a prefix before the paths that a response names, for a backend that knows nothing of it,
 * the Path of cookies included. What names another host, or has the prefix already, stays.
 */
export function prefixLinks(
  fields: Fields,
  prefix: string,
  authority: string,
  isPlaced: (path: string) => boolean = path => hasPrefix(path, prefix),
): string[] {
  return mapLinks(fields, {
    target: target => prefixed(target, prefix, authority, isPlaced),
    // RFC 6265 5.1.4: `/api/` would not be the path of a request for `/api`.
    cookie: cookie =>
      cookiePath(cookie, path =>
        isPlaced(path) ? path : prefix + (path === '/' ? '' : path),
      ),
  })
}

export function prefixed(
  target: string,
  prefix: string,
  authority: string,
  isPlaced: (path: string) => boolean,
): string {
  const parts = partsOf(target)
  const { origin, path } = parts
  if (origin !== '' && !isAt(parts, authority)) return target
  // A relative one is relative to the path that has the prefix.
  if (origin === '' && !path.startsWith('/')) return target
  if (isPlaced(path)) return target
  return `${origin}${prefix}${path.startsWith('/') ? '' : '/'}${path}`
}

export interface LinkParts {
  /** Scheme, if it is said, and authority. */
  readonly origin: string
  /** The authority in lower case. */
  readonly host: string
  readonly path: string
}

export function partsOf(target: string): LinkParts {
  const [, origin = '', path = ''] =
    /^((?:https?:)?\/\/[^/?#\\]*)?(.*)$/is.exec(target) ?? []
  const host = origin.replace(/^(?:https?:)?\/\//i, '').toLowerCase()
  return { origin, host, path }
}

/**
 * Whether a URL with an origin is where the client asked. Whether the port that its scheme has
 * anyway is said makes no other one of it (RFC 3986 6.2.3), and http of the same host is what a
 * backend says that does not know of TLS.
 */
export function isAt({ origin, host }: LinkParts, authority: string): boolean {
  const usual = /^http:/i.test(origin) ? /:(?:80)?$/ : /:(?:443)?$/
  const asked = authority.toLowerCase().replace(/:(?:443)?$/, '')
  return host.replace(usual, '') === asked
}

/** A cookie named `__Host-` is one of the whole host, or none (RFC 6265bis 4.1.3.2). */
export function cookiePath(cookie: string, map: (path: string) => string): string {
  if (/^\s*__Host-/i.test(cookie)) return cookie
  // RFC 6265 5.2: blanks around the name and the value are nothing.
  return cookie.replace(/;\s*path\s*=\s*([^;]*)/gi, (attribute, path: string) =>
    path.startsWith('/') ? `; Path=${map(path.trim())}` : attribute,
  )
}

export function hasPrefix(path: string, prefix: string): boolean {
  return path.startsWith(prefix) && /^(?:$|[/?#])/.test(path.slice(prefix.length))
}
