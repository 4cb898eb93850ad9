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
