import { constants } from 'node:crypto'
import type { ConnectionOptions, TLSSocket, TlsOptions } from 'node:tls'
import { farmKey } from '../secret.ts'

/**
 * Members authenticate each other with the farm secret, as an external pre-shared key of TLS
 * 1.3 (RFC 8446, 2.2; RFC 9257) with (EC)DHE: who learns the secret later can't read what was
 * sent before. There is no certificate on either side. Both are proved to know the secret:
 * the dialler by its binder, the acceptor by a Finished that only the key gives.
 *
 * The key is SHA-256's, so the suite must be too. Sessions are never resumed: with
 * SSL_OP_NO_TICKET OpenSSL would look a ticket up in a store, and there is none.
 */
const common = {
  minVersion: 'TLSv1.3',
  maxVersion: 'TLSv1.3',
  ciphers: 'TLS_AES_128_GCM_SHA256',
  secureOptions: constants.SSL_OP_NO_TICKET,
} as const

export interface FarmPsk {
  /** What is sent in clear to name the key. Tells farms apart and nothing else. */
  readonly identity: string
  readonly key: Buffer
}

export function farmPsk(secret: Buffer, farmName: string): FarmPsk {
  return {
    identity: farmKey(secret, farmName, 'stream identity', 12).toString('hex'),
    key: farmKey(secret, farmName, 'stream psk'),
  }
}

/** For the accepting side. Without a certificate a handshake without the key can't succeed. */
export function acceptorOptions(psk: FarmPsk, handshakeTimeout: number): TlsOptions {
  return {
    ...common,
    handshakeTimeout,
    pskCallback: (_socket, identity) => (identity === psk.identity ? psk.key : null),
  }
}

/**
 * For the dialling side. A client that offers a key still takes a certificate from a server
 * that ignores it, so none is ever good enough: no authority is trusted, the check of the
 * name always fails, and both hold whatever NODE_TLS_REJECT_UNAUTHORIZED says.
 */
export function diallerOptions(psk: FarmPsk): ConnectionOptions {
  return {
    ...common,
    ca: [],
    rejectUnauthorized: true,
    checkServerIdentity: () => new Error('a certificate where the farm key was expected'),
    pskCallback: () => ({ psk: psk.key, identity: psk.identity }),
  }
}

/**
 * The last fence, on both sides: in TLS 1.3 OpenSSL calls a handshake with a pre-shared key a
 * reused session, and there is no other way to one here.
 */
export function isPskLink(socket: TLSSocket): boolean {
  return socket.isSessionReused() && socket.getProtocol() === 'TLSv1.3'
}
