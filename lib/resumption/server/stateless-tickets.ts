import type { TLSSocket } from 'node:tls'
import type { HandshakeCounters } from '../counters.ts'
import type { ClientHello } from '../hello/client-hello.ts'
import type {
  Consultation,
  OfferedSession,
  Resumed,
  Verdict,
} from '../session/consultation.ts'
import { offersAnything } from '../session/offer.ts'
import type {
  HandshakeContext,
  Issue,
  PendingHandshake,
} from '../session/pending-handshake.ts'
import { StatelessContexts, type StatelessOptions } from '../ticket/stateless-contexts.ts'
import { hasExpired, hasProvedCertificate } from './node-socket.ts'

export interface StatelessTicketsOptions extends StatelessOptions {
  readonly counters: HandshakeCounters
  /** True when nothing may resume, since a revocation could be unheard. */
  readonly isCut: () => boolean
}

/** Tickets that TLS itself opens and seals, in a context with the farm's keys. */
export class StatelessTickets implements Consultation, Issue {
  readonly #options: StatelessTicketsOptions
  readonly #contexts: StatelessContexts

  constructor(options: StatelessTicketsOptions) {
    this.#options = options
    this.#contexts = new StatelessContexts(options)
  }

  /** TLS decides by itself; if it makes a full handshake, this is why. */
  consult(hello: ClientHello): Verdict {
    if (!offersAnything(hello)) return 'none-offered'
    return this.#options.isCut() ? 'partition' : 'unknown'
  }

  /** The ticket may have outlived its client's certificate. */
  confirm(_offered: OfferedSession | undefined, socket: TLSSocket): Resumed | undefined {
    const { isCut, clock } = this.#options
    if (isCut() || hasExpired(socket, clock.now())) return undefined
    return {
      source: 'ticket',
      lineage: undefined,
      originalAt: undefined,
      clientAuthorized: hasProvedCertificate(socket),
    }
  }

  contextFor(
    { policy, cause }: PendingHandshake,
    hello: ClientHello,
  ): HandshakeContext | undefined {
    // Without a key of the farm no ticket opens.
    if (cause === 'partition') return undefined
    const context = this.#contexts.of(policy, hello)
    if (context === undefined) this.#options.counters.countUnstored('name-limit')
    return context
  }

  keep(): boolean {
    return false
  }

  /** The server has new settings. */
  clear(): void {
    this.#contexts.clear()
  }
}
