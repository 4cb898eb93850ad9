import type { TLSSocket } from 'node:tls'

export function hasPeerCertificate(socket: TLSSocket): boolean {
  return Object.keys(socket.getPeerCertificate()).length > 0
}

/** The client's certificate has run out. */
export function hasExpired(socket: TLSSocket, now: number): boolean {
  if (!hasPeerCertificate(socket)) return false
  return Date.parse(socket.getPeerCertificate().valid_to) < now
}

/**
 * What Node gets wrong on a resumed connection: `authorized` turns true in TLS 1.3 for a client
 * that never showed a certificate, and `servername` is false in TLS 1.2.
 */
export function correct(
  socket: TLSSocket,
  authorized: boolean,
  serverName: string,
): void {
  const named = socket as TLSSocket & { servername?: string | false }
  socket.authorized = authorized
  if (serverName !== '' && !named.servername) named.servername = serverName
}
