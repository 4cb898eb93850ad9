import { constants, randomBytes } from 'node:crypto'
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
  /**
   * What is sent in clear to name the key: `secret.farm`. Tells farms apart, and whether two have the
   * same secret, and nothing else.
   */
  readonly identity: string
  readonly key: Buffer
}

/** Why an identity is not ours: a word for the log. */
export type OtherFarm = 'another secret' | 'another farm name'

export function farmPsk(secret: Buffer, farmName: string): FarmPsk {
  return {
    identity: [
      farmKey(secret, '', 'stream secret', 6).toString('hex'),
      farmKey(secret, farmName, 'stream identity', 12).toString('hex'),
    ].join('.'),
    key: farmKey(secret, farmName, 'stream psk'),
  }
}

/** For the accepting side. Without a certificate a handshake without the key can't succeed. */
export function acceptorOptions(
  psk: FarmPsk,
  handshakeTimeout: number,
  onOther: (socket: TLSSocket, why: OtherFarm) => void = () => {},
): TlsOptions {
  const [secret] = psk.identity.split('.')
  return {
    ...common,
    handshakeTimeout,
    pskCallback: (socket, identity) => {
      if (identity === psk.identity) return psk.key
      const sameSecret = identity.split('.')[0] === secret
      onOther(socket, sameSecret ? 'another farm name' : 'another secret')
      // No key that fits: another alert than without a key, which tells the other one as much.
      return sameSecret ? randomBytes(32) : null
    },
  }
}

/** The alert for a binder that is wrong: of OpenSSL 3.0, and as RFC 8446 4.2.11 wants it (3.5). */
const wrongBinder: readonly (string | undefined)[] = [
  'ERR_SSL_SSLV3_ALERT_ILLEGAL_PARAMETER',
  'ERR_SSL_TLSV1_ALERT_DECRYPT_ERROR',
]

/** Of the error of a dialler: the acceptor has the same secret, and another farm name. */
export function tellsOtherName(code: string | undefined): boolean {
  return wrongBinder.includes(code)
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
