import { createHash, X509Certificate } from 'node:crypto'
import {
  createSecureContext,
  type SecureContext,
  type SecureContextOptions,
} from 'node:tls'
import { HandfastError } from '../errors.ts'
import type { ResumptionMode } from '../resumption/session/policy.ts'
import type { Site } from './options.ts'
import { Routes, type ServeRoute } from './route/routes.ts'

/** A site with everything made of it that requests need. */
export interface ServedSite {
  readonly names: readonly string[]
  /** The first of its names, for those who look at it; `default`. */
  readonly label: string
  /** Wall time in ms at which its certificate runs out. */
  readonly notAfter: number
  readonly context: SecureContext
  readonly contextOptions: SecureContextOptions
  /** `rsa`, `ec` and so on. */
  readonly keyType: string
  readonly clientCertificate: 'off' | 'optional' | 'required'
  /** Equal for sites that ask the same of clients: a connection may serve all of them. */
  readonly certificatePolicy: string
  /** Digest of all that a session made for this site depends on. */
  readonly sessionPolicy: string
  readonly resumption: ResumptionMode
  readonly routes: Routes
}

/** All sites at one moment. Never changed: a reload makes another. */
export class Sites {
  readonly #exact = new Map<string, ServedSite>()
  /** By what follows the star. */
  readonly #wildcards = new Map<string, ServedSite>()
  readonly #default: ServedSite | undefined
  readonly all: readonly ServedSite[]
  /** Shown to clients that name no site of ours; it routes only when it is the default. */
  readonly fallback: ServedSite
  /** Whether any site asks for client certificates. Node can ask for the whole server only. */
  readonly asksForCertificates: boolean
  /** Clients that send no server name can't be served. */
  readonly needsServerName: boolean

  /** Throws ERR_HANDFAST_CONFIG naming the site and what is wrong with it. */
  constructor(sites: readonly Site[], serveRoute: ServeRoute) {
    if (sites.length === 0) throw config('sites must not be empty')
    const served = sites.map(site => serve(site, serveRoute))
    this.all = served
    for (const site of served) {
      for (const name of site.names) this.#add(name, site)
    }
    const defaults = served.filter(site => site.names.length === 0)
    if (defaults.length > 1) throw config('only one site may be without names')
    this.#default = defaults[0]
    this.fallback = defaults[0] ?? (served[0] as ServedSite)
    this.asksForCertificates = served.some(site => site.clientCertificate !== 'off')
    this.needsServerName =
      Number.parseInt(process.versions.node, 10) < 24 &&
      new Set(served.map(site => site.keyType)).size > 1
  }

  /**
   * What the server starts from, before a name is known. Node before 24 lays the certificate
   * of a name beside this one instead of putting it in its place, and where their key types
   * differ TLS 1.3 may pick the wrong one of the two. So where sites differ in key type there
   * is none to begin with, and `needsServerName` is true.
   */
  get contextOptions(): SecureContextOptions {
    if (!this.needsServerName) return this.fallback.contextOptions
    return { ca: this.fallback.contextOptions.ca }
  }

  /** The site that requests for a host go to. */
  find(hostname: string): ServedSite | undefined {
    const exact = this.#exact.get(hostname)
    if (exact !== undefined) return exact
    const dot = hostname.indexOf('.')
    const wildcard = dot > 0 ? this.#wildcards.get(hostname.slice(dot)) : undefined
    return wildcard ?? this.#default
  }

  /** The site whose certificate is shown for a server name. */
  forHandshake(serverName: string): ServedSite {
    return this.find(serverName.toLowerCase()) ?? this.fallback
  }

  #add(name: string, site: ServedSite): void {
    const lower = name.toLowerCase()
    if (!/^(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*$/.test(lower)) {
      throw config(`site name ${JSON.stringify(name)} must be a host name or *.name`)
    }
    const [map, key] = lower.startsWith('*')
      ? [this.#wildcards, lower.slice(1)]
      : [this.#exact, lower]
    if (map.has(key)) throw config(`site name ${JSON.stringify(name)} is given twice`)
    map.set(key, site)
  }
}

function serve(site: Site, serveRoute: ServeRoute): ServedSite {
  const label = site.names[0] ?? 'the default site'
  const clientCertificate = site.clientCertificate ?? 'off'
  if (clientCertificate !== 'off' && site.clientCa === undefined) {
    throw config(`${label}: clientCertificate needs a clientCa`)
  }
  const contextOptions: SecureContextOptions = {
    key: site.key,
    cert: site.cert,
    // Node asks on behalf of all sites or none. A site that wants no certificate names an
    // authority nobody has one from, so that browsers do not bother their user.
    ca: clientCertificate === 'off' ? site.cert : site.clientCa,
    honorCipherOrder: true,
  }
  let context: SecureContext
  let leaf: X509Certificate
  try {
    context = createSecureContext(contextOptions)
    leaf = new X509Certificate(site.cert)
  } catch (error) {
    // OpenSSL's text names the fault and never quotes a key.
    throw config(
      `${label}: certificate or key can't be used: ${(error as Error).message}`,
    )
  }
  const certificatePolicy =
    clientCertificate === 'off'
      ? 'off'
      : digest([clientCertificate, String(site.clientCa)])
  return {
    names: site.names,
    label: site.names[0] ?? 'default',
    notAfter: Date.parse(leaf.validTo),
    context,
    contextOptions,
    keyType: leaf.publicKey.asymmetricKeyType ?? '',
    clientCertificate,
    certificatePolicy,
    sessionPolicy: digest([leaf.fingerprint256, String(site.cert), certificatePolicy]),
    resumption: resumptionOf(site.resumption ?? 'auto', clientCertificate),
    routes: new Routes(site, label, serveRoute),
  }
}

/**
 * `auto` is stateful where certificates are asked for, and Node asks for those of all sites or of
 * none; here it is known that this site wants no certificate.
 */
function resumptionOf(
  given: ResumptionMode,
  clientCertificate: ServedSite['clientCertificate'],
): ResumptionMode {
  return given === 'auto' && clientCertificate === 'off' ? 'sealed' : given
}

function digest(parts: readonly string[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('base64url')
}

function config(message: string): HandfastError {
  return new HandfastError('ERR_HANDFAST_CONFIG', message)
}
