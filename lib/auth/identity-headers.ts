import { createHmac, timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { type Identity, methodNumbers } from './identity.ts'

export interface IdentityHeaderOptions {
  /** Default `x-forwarded-`. */
  readonly prefix?: string | undefined
  /** Key of the signature, shared with the backend. Without it there is none. */
  readonly sign?: string | Buffer | undefined
  /** Milliseconds a signature is good for. Default 60 000. */
  readonly signatureLifetime?: number | undefined
  /** Wall time in milliseconds. Default: now. */
  readonly now?: number | undefined
}

/**
 * Names under which backends commonly take a proxy's word for who the user is: CGI and Kubernetes,
 * Grafana, Kong, oauth2-proxy, Authelia and Authentik, Pomerium, Vouch, Shibboleth and the clouds.
 * Assertions that are signed are not among them, nor what clients show as credentials of their own.
 */
const common = new RegExp(
  `^(?:${[
    '(?:x-)?remote-(?:user|name|email|groups?|roles?|extra)',
    'x-(?:webauth|authenticated|auth-request|authentik|authelia|vouch|pomerium-claim)',
    'x-auth-(?:user|username|groups?|roles?)',
    'x-forwarded-(?:email|groups|roles|preferred-username|access-token|id-token)',
    'x-(?:consumer|credential|anonymous-consumer|userinfo)',
    'x-ms-client-principal|x-ms-token|x-amzn-oidc-identity',
    'x-goog-authenticated-user|cf-access-authenticated-user|tailscale-user',
    '(?:x-)?(?:auth|authenticated|proxy|kubernetes|grafana)-user',
    '(?:x-)?shib|gap-auth',
  ].join('|')})(?:-|$)`,
)
const defaultPrefix = 'x-forwarded-'
const defaultLifetime = 60_000

/**
 * Who the user is, in words for a backend:
 *
 *     x-forwarded-user: ann                (percent-encoded but for visible ASCII)
 *     x-forwarded-auth-method: basic
 *     x-forwarded-auth-signature: t=1700000000000,e=1700000060000,s=<base64url>
 *
 * s = HMAC-SHA256 over `user|method|t|e`, in which no part can hold a `|`. It expires soon, so
 * that headers that leak are not good for as long as the log-in.
 */
export function identityHeaders(
  identity: Identity,
  options: IdentityHeaderOptions = {},
): Record<string, string> {
  const prefix = options.prefix ?? defaultPrefix
  const user = headerText(identity.subject)
  const headers = {
    [`${prefix}user`]: user,
    [`${prefix}auth-method`]: identity.method,
  }
  if (options.sign === undefined) return headers
  const now = options.now ?? Date.now()
  const lifetime = options.signatureLifetime ?? defaultLifetime
  const end = Math.min(now + lifetime, identity.expiresAt)
  const signature = sign(options.sign, [user, identity.method, now, end])
  return {
    ...headers,
    [`${prefix}auth-signature`]: `t=${now},e=${end},s=${signature.toString('base64url')}`,
  }
}

/**
 * A name in lower case, any sign read as `-`. CGI, WSGI and PHP can't tell them apart, so
 * `X_Forwarded_User` and `X.Forwarded.User` would arrive as the real one.
 */
export function plainName(name: string): string {
  return name.toLowerCase().replace(/[^a-z0-9]/g, '-')
}

/**
 * The headers that a client could use to pass for somebody; a proxy takes them off each
 * request, also when nobody is logged in. Any sign counts as `-`, see {@link plainName}.
 */
export function isIdentityHeader(name: string, prefix: string = defaultPrefix): boolean {
  const plain = plainName(name)
  const own = plainName(prefix)
  return (
    common.test(plain) ||
    plain === `${own}user` ||
    plain.startsWith(`${own}auth-`) ||
    plain === `${own}auth`
  )
}

/** A copy without the headers that {@link isIdentityHeader} names. */
export function stripIdentityHeaders<T extends object>(headers: T, prefix?: string): T {
  const kept = Object.entries(headers).filter(([name]) => !isIdentityHeader(name, prefix))
  return Object.fromEntries(kept) as T
}

/** For a backend: who the signed headers name, or undefined when they are not to be believed. */
export function verifyIdentityHeaders(
  headers: IncomingHttpHeaders,
  options: IdentityHeaderOptions & { readonly sign: string | Buffer },
): { readonly subject: string; readonly method: Identity['method'] } | undefined {
  const prefix = (options.prefix ?? defaultPrefix).toLowerCase()
  const user = headers[`${prefix}user`]
  const method = headers[`${prefix}auth-method`]
  const signature = headers[`${prefix}auth-signature`]
  if (typeof user !== 'string' || typeof method !== 'string') return undefined
  const match = /^t=(\d{1,15}),e=(\d{1,15}),s=([\w-]{43})$/.exec(String(signature))
  if (match === null || !Object.hasOwn(methodNumbers, method)) return undefined
  const [, from, end, given] = match as unknown as [string, string, string, string]
  const expected = sign(options.sign, [user, method, from, end])
  if (!timingSafeEqual(Buffer.from(given, 'base64url'), expected)) return undefined
  if (Number(end) <= (options.now ?? Date.now())) return undefined
  return { subject: decodeURIComponent(user), method: method as Identity['method'] }
}

/** Visible ASCII but `%` and `|` stays; all else is percent-encoded as UTF-8. */
function headerText(subject: string): string {
  return subject.replace(/[^\x21-\x24\x26-\x7b\x7d\x7e]/gu, character =>
    character === '|' ? '%7C' : encodeURIComponent(character),
  )
}

function sign(key: string | Buffer, parts: readonly (string | number)[]): Buffer {
  return createHmac('sha256', key).update(parts.join('|')).digest()
}
