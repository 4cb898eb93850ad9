import type { Handshake } from '../handshake.ts'
import type { Revocation } from '../revocation/revocation-record.ts'
import { certificateDigest } from '../session/session-record.ts'
import type { OpenSocket, Successor } from './successor.ts'

/** The connections that attached servers have open, so that a revocation can end them. */
export class OpenConnections {
  readonly #open = new Map<OpenSocket, Open>()
  /** One function for all sockets: every handshake pays for this. */
  readonly #forget: (this: OpenSocket) => void
  readonly #subjectOf: (lineage: Buffer) => string | undefined

  /** `subjectOf`: the user who is logged in under a lineage, if any. */
  constructor(subjectOf: (lineage: Buffer) => string | undefined = () => undefined) {
    this.#subjectOf = subjectOf
    const open = this.#open
    this.#forget = function () {
      open.delete(this)
    }
  }

  /** `sessions`: ids of the session that it resumed and of those made on it, which may grow. */
  add(socket: OpenSocket, handshake: Handshake, sessions: readonly Buffer[] = []): void {
    this.#open.set(socket, { handshake, sessions })
    socket.on('close', this.#forget)
  }

  /** It goes on by another stream. */
  succeed({ socket, handshake, before }: Successor): void {
    const open = before && this.#open.get(before)
    if (before !== undefined) this.#open.delete(before)
    this.add(socket, handshake, open?.sessions)
  }

  /** Ends those that the revocation names, if it asks for it. */
  close(revocation: Revocation): void {
    if (!revocation.close) return
    for (const [socket, open] of this.#open) {
      if (open.handshake.originalAt > revocation.at) continue
      if (this.#isNamed(revocation.target, socket, open)) socket.destroy()
    }
  }

  #isNamed(
    target: Revocation['target'],
    socket: OpenSocket,
    { handshake: { lineage, serverName, clientAuthorized }, sessions }: Open,
  ): boolean {
    if ('all' in target) return true
    if ('serverName' in target) return serverName === target.serverName.toLowerCase()
    if ('certificate' in target) {
      const peer = socket.getPeerCertificate()
      if (!clientAuthorized || peer?.raw === undefined) return false
      return certificateDigest(peer.raw).equals(target.certificate)
    }
    if (lineage === undefined) return false
    if ('user' in target) return this.#subjectOf(lineage) === target.user
    if ('lineage' in target) return lineage.equals(target.lineage)
    const { session } = target
    return lineage.equals(session) || sessions.some(id => id.equals(session))
  }
}

interface Open {
  readonly handshake: Handshake
  readonly sessions: readonly Buffer[]
}
