import type { Duplex } from 'node:stream'
import type { SecureContext, TLSSocket } from 'node:tls'
import type { FullCause, Handshake } from '../handshake.ts'
import type { ClientHello } from '../hello/client-hello.ts'
import type { OfferedSession, Resumed, Verdict } from './consultation.ts'
import { offersOneSession, tls13 } from './offer.ts'
import type { Policy } from './policy.ts'
import type { FoundSession } from './session-record.ts'

/** One connection from its hello to the end of its handshake. */
export class PendingHandshake {
  /** The raw connection under TLS. */
  readonly socket: Duplex & { readonly remoteAddress?: string | undefined }
  readonly serverName: string
  /** As the client wrote it. Undefined when its hello could not be read. */
  readonly sentName: string | undefined
  /** The client can speak TLS 1.3. */
  readonly supports13: boolean
  readonly policy: Policy
  readonly mechanism: Mechanism
  /** Wall time in ms at which it was accepted. */
  readonly acceptedAt: number
  /** Whose session TLS may resume. */
  readonly offered: OfferedSession | undefined
  /** The bytes of that session, until the handshake is over. */
  session: Buffer | undefined
  /** If TLS asks for a second hello, the session is wanted again. */
  readonly mayAskAgain: boolean
  /** Why no session may resume. */
  cause: FullCause | undefined
  /** Whether its sessions are stored at all; undefined until the first is made. */
  mayStore: boolean | undefined
  /** The client proved a key that it shares with the server's owner; see ExternalPsk. */
  externalPsk = false
  /** It is in the figures already, whatever becomes of it. */
  counted = false
  /** Seconds of CPU time that TLS took to answer the hello, where that was measured. */
  cpu: number | undefined
  /** Sessions waiting to be stored together. */
  unissued: UnissuedSession[] = []
  /** Ids of the session that was resumed here and of all that were made here. */
  readonly sessions: Buffer[] = []
  /** Id of the first session made here, where the handshake was full. */
  #firstSession: Buffer | undefined
  #handshake: { -readonly [name in keyof Handshake]: Handshake[name] } | undefined

  constructor(
    socket: Duplex,
    hello: ClientHello | undefined,
    policy: Policy,
    mechanism: Mechanism,
    verdict: Verdict,
    now: number,
  ) {
    this.socket = socket
    this.serverName = hello?.serverName ?? ''
    this.sentName = hello?.sentName
    this.supports13 = hello?.supports13 ?? false
    this.policy = policy
    this.mechanism = mechanism
    this.acceptedAt = now
    if (typeof verdict === 'string') {
      this.cause = verdict
      this.mayAskAgain = false
    } else {
      const { record } = verdict
      this.offered = withoutSecret(verdict)
      this.session = record.session
      this.mayAskAgain =
        hello !== undefined && record.protocol === tls13 && offersOneSession(hello)
    }
  }

  /**
   * The chain that this connection continues or begins. It is inherited only when TLS has
   * really resumed: a hello that names a session and then makes a full handshake has proved
   * nothing, and must not become whoever that session belongs to.
   */
  chain(reused: boolean): { lineage: Buffer | undefined; originalAt: number } {
    if (!reused || this.offered === undefined) {
      return { lineage: this.#firstSession, originalAt: this.acceptedAt }
    }
    return this.offered
  }

  /**
   * Whether a session of ours has resumed, from what TLS says. Undefined when TLS would not say.
   */
  hasResumed(reused: boolean | undefined): boolean | undefined {
    return reused === true && this.externalPsk ? false : reused
  }

  /**
   * TLS has read the server name that we have read. Were it another, a session would be bound
   * to the policy of a name that it was not made under.
   */
  isNamed(name: unknown): boolean {
    return this.sentName === undefined || this.sentName === (name || '')
  }

  /**
   * The handshake as others may see it, once TLS has finished it. `authorized`: the client
   * proved a certificate in it, if it was full.
   */
  finish(protocol: string, resumed: Resumed | undefined, authorized: boolean): Handshake {
    this.#handshake = {
      serverName: this.serverName,
      protocol,
      resumed: resumed?.source ?? false,
      cause: resumed === undefined ? this.#whyFull() : undefined,
      lineage: resumed === undefined ? this.#firstSession : resumed.lineage,
      originalAt: resumed?.originalAt ?? this.acceptedAt,
      clientAuthorized: resumed?.clientAuthorized ?? authorized,
    }
    return this.#handshake
  }

  #whyFull(): FullCause {
    if (this.cause === undefined) return 'declined'
    // The identity in its hello was of the shared key.
    return this.externalPsk && this.cause === 'unknown' ? 'none-offered' : this.cause
  }

  /** The first session of a full handshake, which may be made a moment after its end. */
  beginChain(id: Buffer): void {
    if (this.#firstSession !== undefined) return
    this.#firstSession = Buffer.from(id)
    if (this.#handshake?.resumed === false) this.#handshake.lineage = this.#firstSession
  }
}

/**
 * A connection may stay for hours, and needs no secret of its past. So these are bytes of their
 * own: views of the record would keep all of it. One piece of memory for the three, and from no
 * pool that keeps others alive; written out since it is done for each.
 */
function withoutSecret({ id, source, record }: FoundSession): OfferedSession {
  const { lineage, certificate } = record
  const lineageAt = id.length
  const certificateAt = lineageAt + lineage.length
  const bytes = Buffer.allocUnsafeSlow(certificateAt + certificate.length)
  bytes.set(id)
  bytes.set(lineage, lineageAt)
  bytes.set(certificate, certificateAt)
  return {
    id: bytes.subarray(0, lineageAt),
    source,
    lineage: bytes.subarray(lineageAt, certificateAt),
    originalAt: record.originalAt,
    serverName: record.serverName,
    certificate: bytes.subarray(certificateAt),
    clientAuthorized: record.clientAuthorized,
  }
}

/** How the session of a connection resumes, and what the client is given for another time. */
export interface Mechanism {
  /** What TLS must run in. Undefined: the server's own context. */
  readonly secureContext?: SecureContext | undefined
  /** TLS has resumed: what, or undefined when it must not serve. `protocol` as Node says it. */
  confirm(
    handshake: PendingHandshake,
    socket: TLSSocket,
    protocol: string,
  ): Resumed | undefined
  /** A full handshake has ended well. In TLS 1.3 its tickets are made after this. */
  begin(handshake: PendingHandshake, socket: TLSSocket, protocol: string): void
  /**
   * TLS has made a session, and sends nothing to the client before `done` is called. False when
   * it is not kept, and the caller is to call it.
   */
  keep(
    handshake: PendingHandshake,
    id: Buffer,
    session: Buffer,
    done: () => void,
  ): boolean
}

/** A session that TLS has made and the client has not yet been given. */
export interface UnissuedSession {
  readonly id: Buffer
  readonly session: Buffer
  /** Lets TLS go on. */
  readonly done: () => void
}

/** Full handshakes, of which nothing is kept. */
export const noMechanism: Mechanism = {
  confirm: () => undefined,
  begin: () => {},
  keep: () => false,
}
