import type { TLSSocket } from 'node:tls'

/** In a full handshake. */
export function hasProvedCertificate(socket: TLSSocket): boolean {
  return socket.authorized && hasPeerCertificate(socket)
}

/**
 * What Node gets wrong on a resumed connection: in TLS 1.3 `authorized` turns true for a client
 * that never showed a certificate, and `authorizationError` null; in TLS 1.2 `servername` is
 * false.
 */
export function correct(
  socket: TLSSocket,
  authorized: boolean,
  serverName: string,
): void {
  const named = socket as TLSSocket & { servername?: string | false }
  if (socket.authorized && !authorized) {
    // Its type says Error; Node puts OpenSSL's code there.
    Object.assign(socket, { authorizationError: noCertificate })
  }
  socket.authorized = authorized
  if (serverName !== '' && !named.servername) named.servername = serverName
}

function hasPeerCertificate(socket: TLSSocket): boolean {
  return Object.keys(socket.getPeerCertificate()).length > 0
}

/** What Node says of a client without a certificate in a full handshake. */
const noCertificate = 'UNABLE_TO_GET_ISSUER_CERT'
