import { createHmac, timingSafeEqual } from 'node:crypto'
import type { Readable } from 'node:stream'
import type { Clock } from '../../clock.ts'
import { type Answer, answer } from '../decision.ts'
import { attributes, cookiesNamed } from '../login/login-cookie.ts'
import { type AuthRequest, headerOf } from '../request/request.ts'
import { type LoginPageFields, loginPage } from './login-page.ts'

const maxFormBytes = 8_192
const bodyTimeout = 10_000
/** A form that was left open for longer is shown anew. */
const tokenLifetime = 3_600_000
const nonceCookie = '__Host-handfast-form'

export interface LoginFormContext {
  readonly path: string
  readonly realm: string
  readonly macKey: Buffer
  readonly clock: Clock
  readonly random: (bytes: number) => Buffer
  readonly page: ((fields: LoginPageFields) => string) | undefined
}

/** What a posted form says, once it is certain that our own page posted it. */
export interface PostedLogin {
  readonly user: string
  readonly password: string
  readonly to: string
}

/**
 * The form, and what comes back from it. A foreign page must not log its visitors in as
 * somebody else (login CSRF), so the form has a token that is bound to a cookie of the same
 * browser, and the browser must not say that the form was posted from elsewhere.
 *
 * token:  expiry (ms, base 36) "." HMAC-SHA256 over the cookie's nonce and the expiry
 */
export class LoginForm {
  readonly #context: LoginFormContext

  constructor(context: LoginFormContext) {
    this.#context = context
  }

  /** The page with the form; `to` is where the user goes afterwards. */
  show(
    request: AuthRequest,
    to: string,
    { status = 200, failed = false }: { status?: number; failed?: boolean } = {},
  ): Answer {
    const { path, realm, clock, random, page = loginPage } = this.#context
    const nonce = this.#nonceOf(request) ?? random(32).toString('base64url')
    const expiry = (clock.now() + tokenLifetime).toString(36)
    const token = `${expiry}.${this.#tag(nonce, expiry).toString('base64url')}`
    const html = page({ action: path, token, to: ownPath(to), realm, failed })
    return answer(status, html, {
      'content-type': 'text/html; charset=utf-8',
      'set-cookie': `${nonceCookie}=${nonce}; ${attributes('Strict')}`,
      'content-security-policy':
        "default-src 'none'; style-src 'unsafe-inline'; img-src 'self'; " +
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
      'x-content-type-options': 'nosniff',
      // Not no-referrer: that would make the browser post with `Origin: null`.
      'referrer-policy': 'same-origin',
    })
  }

  /** What was posted, or the answer to a post that can't be taken. */
  async read(request: AuthRequest): Promise<PostedLogin | Answer> {
    const fields = request.fields ?? (await this.#parse(request))
    if (fields === undefined) return answer(400, 'The form could not be read.\n')
    if (fields === 'too-large') return answer(413, 'The form is too large.\n')
    const text = (name: string) => {
      const value = (fields as Record<string, unknown>)[name]
      return typeof value === 'string' && value.length <= maxFormBytes ? value : ''
    }
    const to = ownPath(text('to'))
    const nonce = this.#nonceOf(request)
    if (nonce === undefined || !this.#isToken(nonce, text('token'))) {
      return this.show(request, to, { status: 403 })
    }
    return { user: text('username'), password: text('password'), to }
  }

  async #parse(
    request: AuthRequest,
  ): Promise<Record<string, string> | 'too-large' | undefined> {
    const type = headerOf(request, 'content-type') ?? ''
    if (!/^application\/x-www-form-urlencoded\s*(;|$)/i.test(type)) return undefined
    if (request.body === undefined) return undefined
    const bytes = await readBody(request.body, this.#context.clock)
    if (!Buffer.isBuffer(bytes)) return bytes
    const fields: Record<string, string> = Object.create(null)
    for (const [name, value] of new URLSearchParams(bytes.toString())) {
      // A name that comes twice is read differently by everybody.
      if (name in fields) return undefined
      fields[name] = value
    }
    return fields
  }

  #nonceOf(request: AuthRequest): string | undefined {
    const nonces = cookiesNamed(headerOf(request, 'cookie'), nonceCookie)
    const [nonce] = nonces
    return nonces.length === 1 && nonce && /^[\w-]{43}$/.test(nonce) ? nonce : undefined
  }

  #isToken(nonce: string, token: string): boolean {
    const match = /^([0-9a-z]{1,11})\.([\w-]{43})$/.exec(token)
    if (match === null) return false
    const [, expiry, tag] = match as unknown as [string, string, string]
    const expected = this.#tag(nonce, expiry)
    if (!timingSafeEqual(Buffer.from(tag, 'base64url'), expected)) return false
    return Number.parseInt(expiry, 36) > this.#context.clock.now()
  }

  #tag(nonce: string, expiry: string): Buffer {
    const mac = createHmac('sha256', this.#context.macKey)
    return mac.update(`${nonce}.${expiry}`).digest()
  }
}

/**
 * A path of this host, or `/`. Anything a browser could take for another host is refused:
 * `//host`, `/\host`, and both behind tabs and line ends, which URL parsers drop.
 */
export function ownPath(to: string): string {
  if (to.length > 2_048 || !/^\/(?![/\\])[\x21-\x7e]*$/.test(to)) return '/'
  const base = 'https://handfast.invalid'
  if (!URL.canParse(to, base)) return '/'
  const url = new URL(to, base)
  // What dots come to may begin with two slashes again.
  if (url.origin !== base || url.pathname.startsWith('//')) return '/'
  return url.pathname + url.search
}

/** All of a small body; `too-large` beyond 8 KiB, undefined when it does not come in time. */
function readBody(
  body: Readable,
  clock: Clock,
): Promise<Buffer | 'too-large' | undefined> {
  return new Promise(resolve => {
    const chunks: Buffer[] = []
    let length = 0
    const finish = (result: Buffer | 'too-large' | undefined) => {
      timer.cancel()
      body
        .off('data', onData)
        .off('end', onEnd)
        .off('close', onClose)
        .off('error', onClose)
      // What still comes is dropped, so that the answer can be sent.
      body.on('error', () => {}).resume()
      resolve(result)
    }
    const onData = (chunk: Buffer | string) => {
      const bytes = Buffer.from(chunk as Buffer)
      length += bytes.length
      if (length > maxFormBytes) finish('too-large')
      else chunks.push(bytes)
    }
    const onEnd = () => finish(Buffer.concat(chunks))
    const onClose = () => finish(undefined)
    const timer = clock.after(bodyTimeout, onClose)
    if (body.readableEnded || body.destroyed) return finish(undefined)
    body
      .on('data', onData)
      .once('end', onEnd)
      .once('close', onClose)
      .once('error', onClose)
  })
}
