import type { TLSSocket } from 'node:tls'
import { networkOf } from '../../limit/network.ts'
import { handshakeOf } from '../../resumption/handshake.ts'
import { forwardedNode, type Hop, plainAddress } from '../message/forwarded.ts'
import type { WrittenConnection } from './written-connection.ts'

/** What a connection has to know of an exchange on it. */
export interface OpenExchange {
  /** What went wrong on the client's side, or with the end of the answer, found on the way. */
  fault: string | undefined
  /**
   * Bytes of the answer that the client has yet to take; undefined unless nothing goes on
   * before it does. It may be 0: of a header section, say, or of a stream's end.
   */
  readonly untaken: number | undefined
  /**
   * Breaks off, so that the client can tell that the answer is not whole. `onClose` follows,
   * whether the client is still there or not.
   */
  abort(): void
}

/** A client connection whose handshake is done. */
export class ClientConnection implements Hop {
  readonly socket: TLSSocket
  readonly http2: boolean
  /** Read once: a socket forgets its addresses when it closes. */
  readonly clientAddress: string
  readonly forwardedNode: string
  readonly trusted: boolean
  /** Undefined for a trusted proxy: what it opens is for many clients, whom its requests name. */
  readonly network: string | undefined
  readonly localPort: number
  readonly tlsVersion: string
  /** The demand for client certificates under which the handshake was made. */
  readonly certificatePolicy: string
  readonly exchanges: Set<OpenExchange> = new Set()
  /** Where it is written down what somebody else would need to go on with it. */
  written: WrittenConnection | undefined
  /** What the access log says of it in each line; made by the first. */
  logText: string | undefined

  constructor(
    socket: TLSSocket,
    certificatePolicy: string,
    trusts: (address: string) => boolean,
  ) {
    this.socket = socket
    this.http2 = socket.alpnProtocol === 'h2'
    this.clientAddress = plainAddress(socket.remoteAddress ?? '')
    this.forwardedNode = forwardedNode(this.clientAddress)
    this.trusted = trusts(this.clientAddress)
    this.network = this.trusted ? undefined : networkOf(this.clientAddress)
    this.localPort = socket.localPort ?? 0
    this.tlsVersion = socket.getProtocol() ?? ''
    this.certificatePolicy = certificatePolicy
  }

  /**
   * Whether the client proved a certificate. On a resumed connection only the record of the
   * handshake knows; without one the answer is no (design note tls.md, fact 11).
   */
  get clientAuthorized(): boolean {
    const handshake = handshakeOf(this.socket)
    if (handshake !== undefined) return handshake.clientAuthorized
    return !this.socket.isSessionReused() && this.socket.authorized
  }

  /** DER of the certificate that was proved. */
  get clientCertificate(): Buffer | undefined {
    if (!this.clientAuthorized) return undefined
    return this.socket.getPeerX509Certificate()?.raw
  }
}

/** The name that the client asked for; a resumed TLS 1.2 socket no longer knows it. */
export function serverNameOf(socket: TLSSocket): string {
  const name = handshakeOf(socket)?.serverName ?? socket.servername
  return typeof name === 'string' ? name.toLowerCase() : ''
}
