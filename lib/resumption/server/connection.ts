import type { Duplex } from 'node:stream'
import type { FullCause, Handshake, ResumedFrom } from '../handshake.ts'
import type { ClientHello } from '../hello/client-hello.ts'
import { tls13 } from '../session/offer.ts'
import type { Policy } from '../session/policy.ts'
import type { FoundSession, SessionTerms } from '../session/session-record.ts'
import type { TicketContext } from '../ticket/stateless-contexts.ts'
import { offersOneSession } from './second-hello.ts'

/** What the consultation of the farm came to. */
export type Verdict = FoundSession | FullCause

/** A session that TLS has made and the client has not yet been given. */
export interface Minted {
  readonly id: Buffer
  readonly session: Buffer
  /** Lets TLS go on. */
  readonly done: () => void
}

/** One connection from its hello to the end of its handshake. */
export class Connection {
  /** The raw connection under TLS. */
  readonly socket: Duplex & { readonly remoteAddress?: string | undefined }
  readonly serverName: string
  /** As the client wrote it. Undefined when its hello could not be read. */
  readonly sentName: string | undefined
  /** The client can speak TLS 1.3. */
  readonly supports13: boolean
  readonly policy: Policy
  /** Wall time in ms at which it was accepted. */
  readonly acceptedAt: number
  /** Whose session TLS may resume. */
  readonly found: SessionTerms | undefined
  /** The id that it was offered by. */
  readonly foundId: Buffer | undefined
  readonly source: ResumedFrom | undefined
  /** The bytes of that session, until the handshake is over. */
  session: Buffer | undefined
  /** If TLS asks for a second hello, the session is wanted again. */
  readonly mayAskAgain: boolean
  /** Where its stateless tickets come from, until the handshake is over. */
  tickets: TicketContext | undefined
  /** Why it may not. */
  readonly cause: FullCause | undefined
  /** Whether its sessions are stored at all; undefined until the first is made. */
  mayStore: boolean | undefined
  /** The client proved a key that it shares with the server's owner; see ExternalPsk. */
  externalPsk = false
  /** It is in the figures already, whatever becomes of it. */
  counted = false
  /** Sessions waiting to be stored together. */
  minted: Minted[] = []
  /** Ids of the session that was resumed here and of all that were made here. */
  readonly sessions: Buffer[] = []
  /** Id of the first session minted here, where the handshake was full. */
  #firstMinted: Buffer | undefined
  #handshake: { -readonly [name in keyof Handshake]: Handshake[name] } | undefined

  constructor(
    socket: Duplex,
    hello: ClientHello | undefined,
    policy: Policy,
    verdict: Verdict,
    now: number,
  ) {
    this.socket = socket
    this.serverName = hello?.serverName ?? ''
    this.sentName = hello?.sentName
    this.supports13 = hello?.supports13 ?? false
    this.policy = policy
    this.acceptedAt = now
    if (typeof verdict === 'string') {
      this.cause = verdict
      this.mayAskAgain = false
    } else {
      // Apart, because a connection may stay for hours and needs no secret of its past.
      const { session, ...record } = verdict.record
      this.found = record
      this.foundId = verdict.id
      this.session = session
      this.source = verdict.source
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
    if (!reused || this.found === undefined) {
      return { lineage: this.#firstMinted, originalAt: this.acceptedAt }
    }
    return this.found
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

  /** The handshake as others may see it, once TLS has finished it. */
  finish(outcome: Outcome): Handshake {
    const resumed = outcome.reused ? this.found : undefined
    // TLS itself has read the ticket, with a key that is this policy's own.
    const byTicket = outcome.reused && this.policy.mode === 'stateless'
    const source = byTicket ? 'ticket' : resumed === undefined ? false : this.source
    const { lineage, originalAt } = this.chain(outcome.reused)
    this.#handshake = {
      serverName: this.serverName,
      protocol: outcome.protocol,
      resumed: source ?? false,
      cause: source === false ? this.#whyFull() : undefined,
      lineage,
      originalAt,
      clientAuthorized: resumed?.clientAuthorized ?? outcome.authorized,
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
    if (this.#firstMinted !== undefined) return
    this.#firstMinted = Buffer.from(id)
    if (this.#handshake?.resumed === false) this.#handshake.lineage = this.#firstMinted
  }
}

export interface Outcome {
  readonly protocol: string
  readonly reused: boolean
  /** The client proved a certificate, here or in the handshake of its stateless ticket. */
  readonly authorized: boolean
}
