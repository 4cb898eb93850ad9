import { parseSecret } from '../farm/secret.ts'

/** The secret when the text is one, undefined when not: the caller knows where it stood. */
export function readSecret(text: unknown): string | undefined {
  if (typeof text !== 'string') return undefined
  try {
    parseSecret(text)
    return text.trim()
  } catch {
    return undefined
  }
}

/** True for text that may be a secret, or most of one, and must not be shown to anyone. */
export function looksSecret(text: string): boolean {
  return /^[A-Za-z0-9+/_=-]{40,}$/.test(text.trim()) || text.includes('-----BEGIN')
}
