import { isIdentityHeader, plainName } from '../../auth/identity-headers.ts'
import { perName } from '../../http/fields.ts'

/**
 * What a field would have a backend believe, because it is for a proxy to say: who the user is,
 * or how the request came (`way`: from where, for which host and path, over what kind of TLS).
 * `ours`: this proxy says it and nobody else. `alias`: it is spelled so that some backends would
 * read another field, of the message's framing for one.
 */
export type Claim = 'user' | 'way' | 'ours' | 'alias'

/** From this proxy or from nobody. RFC 9440 names the first two; `Proxy` is httpoxy. */
const ours: ReadonlySet<string> = new Set([
  'client-cert',
  'client-cert-chain',
  'x-forwarded-client-cert',
  'proxy',
  'forwarded',
  'x-forwarded-for',
  'x-forwarded-proto',
  'x-forwarded-host',
  'x-forwarded-port',
])

/** By pattern: proxies and frameworks invent new ones all the time. */
const way = new RegExp(
  [
    '^(?:x-)?forward(?:ed)?(?:-|$)',
    // The address: X-Real-IP, True-Client-IP, CF-Connecting-IP, X-Cluster-Client-IP and so on.
    '(?:^|-)(?:client|connecting|real|remote|originating|socket|(?:proxy)?user)-?(?:ip|ipv6|addr)$',
    '^x-(?:real|remote|envoy|appengine)-',
    // Host, scheme and path.
    '^x-original-|^x-rewrite-url$|^x-host$|^x-http-host-override$',
    '^x-(?:url-|request-)?scheme$|^front-end-https$',
    // TLS and the client's certificate.
    '^(?:x-)?(?:ssl|tls|mtls)(?:-|$)|(?:^|-)client-?cert|^x-arr-ssl$|^x-amzn-mtls-',
    '^(?:x-)?client-(?:verify|verified|dn|s-dn|i-dn|subject|issuer|fingerprint)(?:-|$)',
    // What they tell a server about files and about themselves.
    '^x-sendfile-type$|^x-accel-mapping$|^x-middleware-subrequest',
  ].join('|'),
)

/** Fields of the message and the connection, which a proxy must not be taken to have passed on. */
const framing: ReadonlySet<string> = new Set([
  'connection',
  'content-length',
  'cookie',
  'expect',
  'host',
  'http2-settings',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

/** `name` in lower case. */
export const claimOf: (name: string) => Claim | undefined = perName(name => {
  const plain = plainName(name)
  const claim = claimOfPlain(plain)
  if (name === plain) return claim
  return claim !== undefined || framing.has(plain) ? 'alias' : undefined
})

function claimOfPlain(plain: string): Claim | undefined {
  if (ours.has(plain)) return 'ours'
  if (isIdentityHeader(plain)) return 'user'
  return way.test(plain) ? 'way' : undefined
}
