import { type AuthRequest, headerOf, hostOf, isEncrypted } from './request.ts'

/**
 * Whether the request was made by our own pages, or by nobody's page. A TLS session, a cookie
 * and a client certificate are sent by a browser along with *any* page's requests, so a log-in
 * remembered under them must not serve a foreign page: that would be cross-site request
 * forgery, and unlike for cookies no SameSite attribute stops it. Fetch Metadata says who asks
 * (W3C Fetch Metadata Request Headers, section 2); older browsers say at least Origin.
 *
 * A foreign page may still link to us, as SameSite=Lax has it.
 */
export function fromOwnSite(
  request: AuthRequest,
  trustedOrigins: ReadonlySet<string>,
): boolean {
  const origin = headerOf(request, 'origin')
  if (origin !== undefined && trustedOrigins.has(origin.toLowerCase())) return true
  const site = headerOf(request, 'sec-fetch-site')
  if (site === 'same-origin' || site === 'none') return true
  if (site !== undefined) {
    return (
      (request.method === 'GET' || request.method === 'HEAD') &&
      headerOf(request, 'sec-fetch-mode') === 'navigate' &&
      headerOf(request, 'sec-fetch-dest') === 'document'
    )
  }
  return origin === undefined || isOwnOrigin(origin, request)
}

/**
 * Whether a browser sends credentials of this scheme by itself, with the requests of any page,
 * once its user has typed them. A bearer token is put there by a script that knows it.
 */
export function isAmbient(scheme: string): boolean {
  return ambientSchemes.includes(scheme)
}

const ambientSchemes = ['basic', 'digest', 'ntlm', 'negotiate']

function isOwnOrigin(origin: string, request: AuthRequest): boolean {
  const host = hostOf(request)
  // Only a name and a port: what a URL would read as user or path must not pass for a host.
  if (host === undefined || /[/?#@\\\s]/.test(host) || !URL.canParse(origin)) return false
  const { protocol, host: originHost } = new URL(origin)
  if (isEncrypted(request) && protocol !== 'https:') return false
  const own = `${protocol}//${host}`
  return URL.canParse(own) && new URL(own).host === originHost
}
