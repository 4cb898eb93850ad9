import type { Duplex } from 'node:stream'
import type { SecureContext, TLSSocket } from 'node:tls'
import type { LimitCounters } from '../../limit/limit-counters.ts'
import { networkOf } from '../../limit/network.ts'
import type { FullCause } from '../handshake.ts'
import type { ClientHello } from '../hello/client-hello.ts'
import type { Resumed, ServerTerms } from '../session/consultation.ts'
import type { Mechanism, PendingHandshake } from '../session/pending-handshake.ts'
import type { Policy } from '../session/policy.ts'
import { certificateDigest, type RevocableTerms } from '../session/session-record.ts'
import { ContextPool, type Lease } from '../ticket/context-pool.ts'
import { SealedHandshake } from '../ticket/sealed-handshake.ts'
import { type SealedTerms, SealedTickets } from '../ticket/sealed-tickets.ts'
import type { TicketChain } from '../ticket/ticket-name.ts'
import { TicketScopes } from '../ticket/ticket-scope.ts'

export interface SealedOptions extends SealedTerms {
  readonly limitCounters?: LimitCounters | undefined
  /** All that was revoked anywhere is known here: what is not would resume. */
  readonly knowsRevocations: () => boolean
  readonly isRevoked: (session: RevocableTerms, id: Buffer) => boolean
}

/** The sealed tickets of a server: which connections have them, and the contexts for that. */
export class SealedSessions {
  readonly #parts: Parts
  readonly #scopes = new TicketScopes()
  #isTold = false

  constructor(
    options: SealedOptions,
    server: ServerTerms,
    makeContext: () => SecureContext,
  ) {
    const tickets = new SealedTickets(options)
    const pool = new ContextPool({
      makeContext,
      answer: (handshake, name, iv, sealing) =>
        tickets.answer(handshake, name, iv, sealing),
    })
    this.#parts = { options, server, tickets, pool }
  }

  /**
   * For a connection of which no other session resumes, for the given cause. Undefined when it
   * gets no sealed tickets: then it is to have a session in the farm's table.
   */
  for(
    socket: Duplex,
    hello: ClientHello,
    policy: Policy,
    cause: FullCause,
  ): Mechanism | undefined {
    const { options, server, tickets } = this.#parts
    if (policy.mode !== 'sealed' || !hello.supports13 || !server.speaks13)
      return undefined
    // Each costs a call for every key of the ring. No client has so many of one server.
    if (hello.identities.length > mostIdentities || !this.#works) return undefined
    const { knowsRevocations, limitCounters } = options
    if (!knowsRevocations() || !tickets.areFor(hello.identities)) return undefined
    const scope = this.#scopes.of(policy, hello.serverName)
    const { asksCertificate } = policy
    const sealed = new SealedHandshake(hello.serverName, scope, asksCertificate, cause)
    const address = () => (socket as { remoteAddress?: string }).remoteAddress
    const lease = this.#lease(sealed, address)
    if (lease === undefined) {
      const remoteAddress = address()
      if (this.#works) limitCounters?.met('sealedContexts', remoteAddress)
      return undefined
    }
    return new SealedSession(this.#parts, lease, sealed, socket, hello.allowsPskDhe)
  }

  /** The server has new settings. */
  clear(): void {
    this.#parts.pool.clear()
  }

  get #works(): boolean {
    const { works } = this.#parts.pool
    if (!works && !this.#isTold) {
      this.#isTold = true
      this.#parts.options.log.warn(
        {},
        "no sealed tickets: this Node's hook for ticket keys is missing or dead",
      )
    }
    return works
  }

  #lease(sealed: SealedHandshake, address: () => string | undefined): Lease | undefined {
    try {
      return this.#parts.pool.lease(sealed, () => {
        const remote = address()
        return remote === undefined ? undefined : networkOf(remote)
      })
    } catch (error) {
      this.#parts.options.log.error({ err: error }, 'no context for sealed tickets')
      return undefined
    }
  }
}

interface Parts {
  readonly options: SealedOptions
  readonly server: ServerTerms
  readonly tickets: SealedTickets
  readonly pool: ContextPool
}

/** One connection with sealed tickets. It has its context until they are sealed. */
class SealedSession implements Mechanism {
  readonly #parts: Parts
  readonly #lease: Lease
  readonly #sealed: SealedHandshake
  readonly #socket: Duplex
  readonly #takesTickets: boolean

  constructor(
    parts: Parts,
    lease: Lease,
    sealed: SealedHandshake,
    socket: Duplex,
    takesTickets: boolean,
  ) {
    this.#parts = parts
    this.#lease = lease
    this.#sealed = sealed
    this.#socket = socket
    this.#takesTickets = takesTickets
    socket.on('close', this.#releaseSoon)
  }

  get secureContext(): SecureContext {
    return this.#lease.secureContext
  }

  confirm(
    _handshake: PendingHandshake,
    socket: TLSSocket,
    protocol: string,
  ): Resumed | undefined {
    const sealed = this.#sealed
    const { found } = sealed
    const { options, tickets } = this.#parts
    if (found === undefined || tickets.refusal(sealed, found) !== undefined) {
      return undefined
    }
    const certificate = this.#certificateOf(socket)
    if (certificate !== undefined) {
      if (certificate.notAfter < options.clock.now()) return undefined
      const { serverName } = sealed
      const { digest, clientAuthorized } = certificate
      const terms = { ...found, serverName, certificate: digest, clientAuthorized }
      if (options.isRevoked(terms, found.lineage)) return undefined
    }
    this.#seal(found, protocol, certificate)
    return {
      source: 'ticket',
      lineage: found.lineage,
      originalAt: found.originalAt,
      clientAuthorized: certificate?.clientAuthorized === true,
    }
  }

  begin(handshake: PendingHandshake, socket: TLSSocket, protocol: string): void {
    const { tickets, pool } = this.#parts
    handshake.cause = this.#whyFull()
    // TLS 1.2 has made its ticket before this.
    if (protocol !== tls13Name) return
    const certificate = this.#certificateOf(socket)
    const chain = tickets.begin(handshake.acceptedAt, certificate?.digest)
    handshake.beginChain(chain.lineage)
    this.#seal(chain, protocol, certificate)
    // To others newer versions of OpenSSL send none, and the hook's silence would say nothing.
    if (this.#takesTickets) pool.countFinished()
  }

  keep(): boolean {
    return false
  }

  /**
   * Only TLS 1.3: its tickets are sealed in this very turn, after all listeners and their ticks,
   * and never again. TLS 1.2 could renegotiate, and has its context until it is closed.
   */
  #seal(
    chain: TicketChain,
    protocol: string,
    certificate: ClientCertificate | undefined,
  ): void {
    const { options, server } = this.#parts
    const end = options.clock.now() + server.sessionTimeout
    // A ticket that could outlive its certificate must not resume.
    if (certificate === undefined || certificate.notAfter > end)
      this.#sealed.chain = chain
    if (protocol === tls13Name) this.#releaseSoon()
  }

  /** TLS tells nothing. A ticket that it opens and then declines is too old as a rule. */
  #whyFull(): FullCause {
    const { found, cause } = this.#sealed
    if (found === undefined) return cause
    const { options, server } = this.#parts
    const isOld = options.clock.now() > found.originalAt + server.sessionTimeout
    return isOld ? 'expired' : 'declined'
  }

  #certificateOf(socket: TLSSocket): ClientCertificate | undefined {
    if (!this.#sealed.asksCertificate) return undefined
    const certificate = socket.getPeerX509Certificate()
    if (certificate === undefined) return undefined
    return {
      digest: certificateDigest(certificate.raw),
      notAfter: Date.parse(certificate.validTo),
      clientAuthorized: socket.authorized,
    }
  }

  readonly #releaseSoon = (): void => {
    setImmediate(this.#release)
  }

  readonly #release = (): void => {
    this.#socket.off('close', this.#releaseSoon)
    this.#parts.pool.release(this.#lease, this.#sealed)
  }
}

interface ClientCertificate {
  readonly digest: Buffer
  /** Wall time in ms. */
  readonly notAfter: number
  readonly clientAuthorized: boolean
}

const tls13Name = 'TLSv1.3'
const mostIdentities = 8
