/**
 * Puts a prefix before the paths that a response names, for a backend that knows nothing of it:
 * in Location, Content-Location, Link (RFC 8288) and the Path of cookies. What names another
 * host, or has the prefix already, stays.
 */
export function prefixLinks(
  fields: readonly string[],
  prefix: string,
  authority: string,
): string[] {
  const changed = [...fields]
  for (let i = 0; i < fields.length; i += 2) {
    const value = fields[i + 1] as string
    switch ((fields[i] as string).toLowerCase()) {
      case 'location':
      case 'content-location':
        changed[i + 1] = prefixed(value, prefix, authority)
        break
      case 'link':
        changed[i + 1] = value.replace(
          /<([^<>]*)>/g,
          (_, target: string) => `<${prefixed(target, prefix, authority)}>`,
        )
        break
      case 'set-cookie':
        changed[i + 1] = prefixedCookie(value, prefix)
        break
    }
  }
  return changed
}

function prefixed(target: string, prefix: string, authority: string): string {
  const [, origin = '', path = ''] =
    /^((?:https?:)?\/\/[^/?#\\]*)?(.*)$/is.exec(target) ?? []
  const host = origin.replace(/^(?:https?:)?\/\//i, '').toLowerCase()
  if (origin !== '' && host !== authority.toLowerCase()) return target
  // A relative one is relative to the path that has the prefix.
  if (origin === '' && !path.startsWith('/')) return target
  if (hasPrefix(path, prefix)) return target
  return `${origin}${prefix}${path.startsWith('/') ? '' : '/'}${path}`
}

/** A cookie named `__Host-` is one of the whole host, or none (RFC 6265bis 4.1.3.2). */
function prefixedCookie(cookie: string, prefix: string): string {
  if (/^\s*__Host-/i.test(cookie)) return cookie
  return cookie.replace(/;\s*path=([^;]*)/gi, (attribute, path: string) =>
    path.startsWith('/') && !hasPrefix(path, prefix)
      ? `; Path=${prefix}${path.trim()}`
      : attribute,
  )
}

function hasPrefix(path: string, prefix: string): boolean {
  return path.startsWith(prefix) && /^(?:$|[/?#])/.test(path.slice(prefix.length))
}
