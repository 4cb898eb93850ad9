const mostShown = 100

/**
 * What an error or a log may show of a value that is refused: enough to find it, nothing that
 * may be a secret. A mistake often puts a secret where none belongs: a password into a URL,
 * a farm secret behind the wrong flag.
 */
export function shown(value: unknown): string {
  if (value === undefined || value === null) return 'nothing'
  if (Array.isArray(value)) return 'a list'
  if (typeof value !== 'string') {
    return typeof value === 'object' ? 'a mapping' : String(value).slice(0, mostShown)
  }
  if (looksSecret(value)) return '(hidden)'
  return JSON.stringify(withoutCredentials(value).slice(0, mostShown))
}

/** True for text that may be a secret, hold one, or be most of one. */
function looksSecret(text: string): boolean {
  return (
    /[A-Za-z0-9+_=-]{40,}|[A-Za-z0-9+/_=-]{43,}/.test(text) ||
    text.includes('-----BEGIN') ||
    /(?:secret|passw|passphrase|token|\bkey)\w*\s*[:=]/i.test(text)
  )
}

/**
 * Without what stands before the last `@`, where a URL has user and password, also one that
 * lacks its scheme or has a password with signs in it; and without the query.
 */
function withoutCredentials(text: string): string {
  return text
    .replace(/^([a-z][a-z0-9+.-]*:\/*)?.*@/is, (_, scheme = '') =>
      /^https?:/i.test(scheme) ? `${scheme}(hidden)@` : '(hidden)@',
    )
    .replace(/\?.*$/s, '?(hidden)')
}
