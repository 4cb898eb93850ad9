import {
  createServer,
  type SecureContextOptions,
  type Server,
  type TLSSocket,
} from 'node:tls'
import type { ProxyOptions } from './options.ts'
import type { Sites } from './sites.ts'

/** What holds for each socket of a client. */
export const socketOptions = {
  noDelay: true,
  keepAlive: true,
  keepAliveInitialDelay: 30_000,
} as const

export interface TlsServerParts {
  readonly options: ProxyOptions
  /** Those that are served now. */
  readonly sites: () => Sites
  /** For a handshake, in milliseconds. */
  readonly handshakeTimeout: number
  readonly accept: (socket: TLSSocket) => void
}

/** The one that makes the handshakes for all sites, and takes part in the farm's sessions. */
export function createTlsServer(parts: TlsServerParts): Server {
  const { options, sites, handshakeTimeout, accept } = parts
  const server = createServer({
    ...secureContextOf(options, sites()),
    ALPNProtocols: options.protection ? ['http/1.1'] : ['h2', 'http/1.1'],
    SNICallback: (name, done) => done(null, sites().forHandshake(name).context),
    requestCert: sites().asksForCertificates,
    // Sites differ in what they demand; it is judged per request, with the site known.
    rejectUnauthorized: false,
    handshakeTimeout,
    ...socketOptions,
  })
  server.on('tlsClientError', (error: Error & { code?: string }, socket) => {
    options.log.debug({ error: error.code ?? error.message }, 'handshake failed')
    socket.destroy()
  })
  options.sessions.attach(server, {
    policyOf: name => sites().forHandshake(name).sessionPolicy,
    policyIsWhole: true,
    resumption: name => sites().forHandshake(name).resumption,
  })
  server.on('secureConnection', accept)
  return server
}

/** From the next handshake on it serves other sites. */
export function setSites(server: Server, options: ProxyOptions, sites: Sites): void {
  server.setSecureContext(secureContextOf(options, sites))
  // Node reads it for each new connection.
  Object.assign(server, { requestCert: sites.asksForCertificates })
}

function secureContextOf(
  { minVersion = 'TLSv1.2', maxVersion = 'TLSv1.3' }: ProxyOptions,
  { contextOptions }: Sites,
): SecureContextOptions {
  return { minVersion, maxVersion, ...contextOptions }
}
