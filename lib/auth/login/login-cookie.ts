import { createHash, createHmac, timingSafeEqual } from 'node:crypto'

/**
 * The cookie of a form log-in: a signed random id, and nothing about the user. Text:
 *
 *     id (32 random bytes, base64url) "." expiry (ms, base 36) "." tag (base64url)
 *
 * tag: HMAC-SHA256 over the two with their dot. The signature keeps made-up ids from costing a
 * lookup in the farm, and the expiry does so for old ones. The record lies under a hash of the
 * id, so the table does not hold what a client must show.
 */
export class LoginCookie {
  readonly #name: string
  readonly #macKey: Buffer

  constructor(name: string, macKey: Buffer) {
    this.#name = name
    this.#macKey = macKey
  }

  /** Value of Set-Cookie. */
  issue(id: Buffer, now: number, expiresAt: number): string {
    const text = `${id.toString('base64url')}.${Math.floor(expiresAt).toString(36)}`
    const seconds = Math.max(1, Math.floor((expiresAt - now) / 1_000))
    const value = `${text}.${this.#tag(text).toString('base64url')}`
    return `${this.#name}=${value}; Max-Age=${seconds}; ${attributes('Lax')}`
  }

  /** Value of Set-Cookie that makes the client forget. */
  clear(): string {
    return `${this.#name}=; Max-Age=0; ${attributes('Lax')}`
  }

  /** Keys of the log-ins that a Cookie header shows; a few at most. */
  read(header: string | undefined, now: number): Buffer[] {
    return cookiesNamed(header, this.#name).flatMap(value => {
      const match = /^([\w-]{43})\.([0-9a-z]{1,11})\.([\w-]{43})$/.exec(value)
      if (match === null) return []
      const [, id, expiry, tag] = match as unknown as [string, string, string, string]
      const expected = this.#tag(`${id}.${expiry}`)
      if (!timingSafeEqual(Buffer.from(tag, 'base64url'), expected)) return []
      if (Number.parseInt(expiry, 36) <= now) return []
      return [loginKey(Buffer.from(id, 'base64url'))]
    })
  }

  #tag(text: string): Buffer {
    return createHmac('sha256', this.#macKey).update(text).digest()
  }
}

/** Key in table `auth` of the log-in with this id: "login" and a hash. */
export function loginKey(id: Buffer): Buffer {
  return Buffer.concat([Buffer.from('login'), createHash('sha256').update(id).digest()])
}

/** RFC 6265bis, section 4.1.3.2: `__Host-` wants Secure, Path=/ and no Domain. */
export function attributes(sameSite: 'Lax' | 'Strict'): string {
  return `Path=/; Secure; HttpOnly; SameSite=${sameSite}`
}

/** At most four values: a client that sends more is making work. */
export function cookiesNamed(header: string | undefined, name: string): string[] {
  if (header === undefined || header.length > 16_384) return []
  return header
    .split(';')
    .map(pair => pair.trim())
    .filter(pair => pair.startsWith(`${name}=`))
    .slice(0, 4)
    .map(pair => pair.slice(name.length + 1))
}
