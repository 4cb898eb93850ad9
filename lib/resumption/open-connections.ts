import type { TLSSocket } from 'node:tls'
import type { Handshake } from './handshake.ts'
import { certificateDigest } from './mint.ts'
import type { Revocation } from './revocation-record.ts'

/** The connections that attached servers have open, so that a revocation can end them. */
export class OpenConnections {
  readonly #handshakes = new Map<TLSSocket, Handshake>()
  /** One function for all sockets: every handshake pays for this. */
  readonly #forget: (this: TLSSocket) => void
  readonly #subjectOf: (lineage: Buffer) => string | undefined

  /** `subjectOf`: the user who is logged in under a lineage, if any. */
  constructor(subjectOf: (lineage: Buffer) => string | undefined = () => undefined) {
    this.#subjectOf = subjectOf
    const handshakes = this.#handshakes
    this.#forget = function () {
      handshakes.delete(this)
    }
  }

  add(socket: TLSSocket, handshake: Handshake): void {
    this.#handshakes.set(socket, handshake)
    socket.on('close', this.#forget)
  }

  /** Ends those that the revocation names, if it asks for it. */
  close(revocation: Revocation): void {
    if (!revocation.close) return
    for (const [socket, handshake] of this.#handshakes) {
      if (handshake.originalAt > revocation.at) continue
      if (this.#isNamed(revocation.target, socket, handshake)) socket.destroy()
    }
  }

  #isNamed(
    target: Revocation['target'],
    socket: TLSSocket,
    { lineage, serverName, clientAuthorized }: Handshake,
  ): boolean {
    if ('all' in target) return true
    if ('serverName' in target) return serverName === target.serverName.toLowerCase()
    if ('certificate' in target) {
      // Null, whatever its type says, once the connection has begun to close.
      const peer: { raw?: Buffer } | null = socket.getPeerCertificate()
      if (!clientAuthorized || peer?.raw === undefined) return false
      return certificateDigest(peer.raw).equals(target.certificate)
    }
    if (lineage === undefined) return false
    if ('user' in target) return this.#subjectOf(lineage) === target.user
    return lineage.equals('lineage' in target ? target.lineage : target.session)
  }
}
