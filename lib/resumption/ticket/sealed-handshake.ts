import type { FullCause } from '../handshake.ts'
import type { EpochKey } from './epoch-key.ts'
import type { TicketChain } from './ticket-name.ts'
import type { TicketScope } from './ticket-scope.ts'

/** What is known of the tickets of one connection, from its hello until they are sealed. */
export class SealedHandshake {
  readonly serverName: string
  readonly scope: TicketScope
  /** Clients of its name are asked for certificates: a ticket may hold one. */
  readonly asksCertificate: boolean
  /** Why none of the tickets that the client offers has resumed. */
  cause: FullCause
  /**
   * What the ticket says that TLS has opened last. It has resumed if TLS says that any has:
   * OpenSSL takes the last one that it could open, or none.
   */
  found: TicketChain | undefined
  /** Of that ticket: another member seals with it, if this one does not yet. */
  key: EpochKey | undefined
  /** What its new tickets will say; while undefined they are such that none resumes. */
  chain: TicketChain | undefined

  constructor(
    serverName: string,
    scope: TicketScope,
    asksCertificate: boolean,
    cause: FullCause,
  ) {
    this.serverName = serverName
    this.scope = scope
    this.asksCertificate = asksCertificate
    this.cause = cause
  }
}
