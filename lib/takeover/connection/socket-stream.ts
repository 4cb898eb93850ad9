import { X509Certificate } from 'node:crypto'
import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import type { PeerCertificate, SecureVersion } from 'node:tls'
import { setHandshake } from '../../resumption/handshake.ts'
import type { Tls13State } from './connection-state.ts'

/** Bytes in each direction that wait at most, beside one read or write. */
export const mostHeld = 65_536

/**
 * A stream over a socket that has what HTTP servers, and this proxy, ask of a TLSSocket, and no
 * more than that: of the connection under it, and of TLS what its state tells.
 */
export abstract class SocketStream extends Duplex {
  /** As TLSSocket says it, for frameworks. */
  readonly encrypted: boolean
  readonly authorized: boolean
  readonly alpnProtocol: 'http/1.1' | false
  readonly servername: string | false
  /** The connection under it, which belongs to this one. */
  readonly transport: Socket
  readonly #tls: Tls13State | undefined

  /** `tls`: undefined where there is none. */
  constructor(transport: Socket, tls: Tls13State | undefined) {
    // As a TLSSocket: when the client says no more, what is written is sent, and that is the end.
    super({
      allowHalfOpen: false,
      readableHighWaterMark: mostHeld,
      writableHighWaterMark: mostHeld,
    })
    this.transport = transport
    this.#tls = tls
    this.encrypted = tls !== undefined
    this.authorized = tls?.authorized ?? false
    this.alpnProtocol = tls?.alpn ?? false
    this.servername = tls?.serverName || false
    if (tls?.handshake !== undefined) setHandshake(this, tls.handshake)
    transport.allowHalfOpen = true
    transport.on('timeout', () => this.emit('timeout'))
    transport.on('error', error => this.destroy(error))
    transport.on('close', () => this.destroy())
  }

  getProtocol(): SecureVersion | null {
    return this.encrypted ? 'TLSv1.3' : null
  }

  getCipher(): { name: string; standardName: string; version: string } | undefined {
    const suite = this.#tls?.suite
    if (suite === undefined) return undefined
    return { name: suite, standardName: suite, version: 'TLSv1.3' }
  }

  isSessionReused(): boolean {
    return this.#tls?.reused ?? false
  }

  getPeerX509Certificate(): X509Certificate | undefined {
    const der = this.#tls?.certificate
    return der === undefined ? undefined : new X509Certificate(der)
  }

  /** As TLSSocket: an empty object where there is none. */
  getPeerCertificate(): PeerCertificate {
    const certificate = this.getPeerX509Certificate()
    return (certificate?.toLegacyObject() ?? {}) as unknown as PeerCertificate
  }

  get remoteAddress(): string | undefined {
    return this.transport.remoteAddress
  }

  get remotePort(): number | undefined {
    return this.transport.remotePort
  }

  get remoteFamily(): string | undefined {
    return this.transport.remoteFamily
  }

  get localAddress(): string | undefined {
    return this.transport.localAddress
  }

  get localPort(): number | undefined {
    return this.transport.localPort
  }

  get bytesRead(): number {
    return this.transport.bytesRead
  }

  get bytesWritten(): number {
    return this.transport.bytesWritten
  }

  get connecting(): boolean {
    return false
  }

  address(): ReturnType<Socket['address']> {
    return this.transport.address()
  }

  /** The transport's: a byte in either direction puts it off. */
  setTimeout(milliseconds: number, callback?: () => void): this {
    this.transport.setTimeout(milliseconds)
    if (callback === undefined) return this
    if (milliseconds === 0) this.off('timeout', callback)
    else this.once('timeout', callback)
    return this
  }

  get timeout(): number | undefined {
    return this.transport.timeout
  }

  setNoDelay(noDelay?: boolean): this {
    this.transport.setNoDelay(noDelay)
    return this
  }

  setKeepAlive(enable?: boolean, initialDelay?: number): this {
    this.transport.setKeepAlive(enable, initialDelay)
    return this
  }

  ref(): this {
    this.transport.ref()
    return this
  }

  unref(): this {
    this.transport.unref()
    return this
  }

  destroySoon(): void {
    if (this.writable) this.end()
    if (this.writableFinished) this.destroy()
    else this.once('finish', () => this.destroy())
  }

  resetAndDestroy(): this {
    this.transport.resetAndDestroy()
    this.destroy()
    return this
  }
}
