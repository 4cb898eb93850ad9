import { type CredentialMethod, refused } from './method.ts'
import type { PasswordCheck } from './password.ts'

const maxCredentials = 2_048

/** The Basic scheme, RFC 7617, with UTF-8. */
export function basicMethod(check: PasswordCheck, realm: string): CredentialMethod {
  return {
    name: 'basic',
    scheme: 'basic',
    userOf: credentials => readBasic(credentials)?.user,
    async verify(credentials, request, asker) {
      const read = readBasic(credentials)
      return read ? check.verify(read.user, read.password, request, asker) : refused
    },
    challenge: () => `Basic realm="${realm}", charset="UTF-8"`,
    stands: (subject, basis) => check.stands(subject, basis),
  }
}

/** Undefined for anything that is not base64 of `user:password` in UTF-8. */
export function readBasic(
  credentials: string,
): { user: string; password: string } | undefined {
  if (credentials.length > maxCredentials) return undefined
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(credentials)) return undefined
  const bytes = Buffer.from(credentials, 'base64')
  const text = bytes.toString()
  const colon = text.indexOf(':')
  // RFC 7617, section 2: no control characters in either; a NUL would end the password early
  // in many a bcrypt.
  if (colon < 1 || /\p{Cc}/u.test(text) || !Buffer.from(text).equals(bytes)) {
    return undefined
  }
  return { user: text.slice(0, colon), password: text.slice(colon + 1) }
}
