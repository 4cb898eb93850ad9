import { randomBytes } from 'node:crypto'
import type { Clock } from '../../clock.ts'
import type { Log } from '../../log.ts'
import { RandomStock } from '../../random-stock.ts'
import type { FullCause } from '../handshake.ts'
import { certificatePrefixLength } from '../revocation/revocation-index.ts'
import type { ChainTerms } from '../session/session-record.ts'
import { aesLength, type EpochKey, hmacLength, ivLength } from './epoch-key.ts'
import type { SealedHandshake } from './sealed-handshake.ts'
import { type TicketAnswer, ticketResult } from './ticket-hook.ts'
import {
  longestChain,
  nameLength,
  readName,
  sealedLineageLength,
  type TicketChain,
  writeName,
} from './ticket-name.ts'

/** The part of a ring that tickets need. */
export interface TicketKeys {
  /** The key for new tickets; undefined until there is one that all members have. */
  sealing(): EpochKey | undefined
  /** The keys whose tickets may still resume, the newest first. */
  opening(): readonly EpochKey[]
}

export interface SealedTerms {
  readonly keys: TicketKeys
  readonly clock: Clock
  readonly log: Log
  /** Milliseconds from the original handshake. */
  readonly lineageTimeout: number
  /** True when nothing may resume, since a revocation could be unheard. */
  readonly isCut: () => boolean
  /** `certificate`: the start of the digest of a certificate that the ticket may hold. */
  readonly isTicketRevoked: (
    chain: ChainTerms,
    certificate: Buffer | undefined,
  ) => boolean
}

/**
 * Tickets of TLS 1.3 that carry their session with them, and yet have a lineage and an age:
 * nothing is stored or sent for a handshake, and a session can be revoked all the same. What
 * their names say is judged before TLS opens them. A ticket that resumes is renewed, under the
 * key of now: clients use a ticket once (RFC 8446, C.4).
 */
export class SealedTickets {
  readonly #terms: SealedTerms
  readonly #lineageTimeout: number
  readonly #lineages = new RandomStock(sealedLineageLength)

  constructor(terms: SealedTerms) {
    this.#terms = terms
    this.#lineageTimeout = Math.min(terms.lineageTimeout, longestChain)
  }

  /** What TLS is to do about a ticket. Never throws: that would end the process. */
  answer(
    handshake: SealedHandshake | undefined,
    name: Buffer,
    iv: Buffer,
    sealing: boolean,
  ): TicketAnswer {
    try {
      if (sealing)
        return handshake?.chain ? this.#seal(handshake, handshake.chain) : noise()
      return handshake ? this.#open(handshake, name, iv) : unknownTicket
    } catch (error) {
      const { code } = error as { code?: string }
      this.#terms.log.error({ code }, 'no ticket key')
      return sealing ? noise() : unknownTicket
    }
  }

  /**
   * Whether new tickets can be sealed, or one that is offered opened: others may have begun to
   * seal a moment before this member does.
   */
  areFor(identities: readonly Buffer[]): boolean {
    const { keys, clock } = this.#terms
    if (keys.sealing() !== undefined) return true
    const now = clock.now()
    return identities.some(identity => {
      if (identity.length < nameLength + ivLength) return false
      const name = identity.subarray(0, nameLength)
      const iv = identity.subarray(nameLength, nameLength + ivLength)
      return keys.opening().some(key => readName(name, key.mask(iv), now) !== undefined)
    })
  }

  /**
   * The chain of a full handshake. Its lineage begins as the digest of the client's certificate
   * does, if it showed one: so one can be revoked before TLS has opened the ticket with it.
   */
  begin(at: number, certificate: Buffer | undefined): TicketChain {
    const lineage = this.#lineages.draw()
    certificate?.copy(lineage, 0, 0, certificatePrefixLength)
    return { lineage, originalAt: at }
  }

  /** Why the chain must not go on now, if so. Asked again when TLS has resumed it. */
  refusal(handshake: SealedHandshake, chain: TicketChain): FullCause | undefined {
    const { clock, isCut, isTicketRevoked } = this.#terms
    if (isCut()) return 'partition'
    if (clock.now() > chain.originalAt + this.#lineageTimeout) return 'lineage-expired'
    const certificate = handshake.asksCertificate
      ? chain.lineage.subarray(0, certificatePrefixLength)
      : undefined
    const { lineage, originalAt } = chain
    const terms = { lineage, originalAt, serverName: handshake.serverName }
    return isTicketRevoked(terms, certificate) ? 'revoked' : undefined
  }

  #open(handshake: SealedHandshake, name: Buffer, iv: Buffer): TicketAnswer {
    handshake.found = undefined
    const { tag } = handshake.scope
    const now = this.#terms.clock.now()
    let elsewhere = false
    for (const key of this.#terms.keys.opening()) {
      const read = readName(name, key.mask(iv), now)
      if (read === undefined) continue
      if (read.tag !== tag) {
        // Or noise: one name in 65536 looks like one of ours under any key.
        elsewhere = true
        continue
      }
      handshake.key = key
      const cause = this.refusal(handshake, read)
      if (cause !== undefined) {
        handshake.cause = cause
        return unknownTicket
      }
      handshake.found = read
      const { hmac, aes } = key.for(handshake.scope.text)
      return [ticketResult.openAndRenew, hmac, aes]
    }
    if (elsewhere) handshake.cause = 'policy'
    return unknownTicket
  }

  #seal({ scope, key: seen }: SealedHandshake, chain: TicketChain): TicketAnswer {
    const key = this.#terms.keys.sealing() ?? seen
    if (key === undefined) return noise()
    const { iv, mask: name } = key.draw()
    writeName(name, chain, scope.tag)
    const { hmac, aes } = key.for(scope.text)
    return [ticketResult.sealed, hmac, aes, name, iv]
  }
}

/** These open nothing, and nothing is sealed with them. */
const unknownTicket: TicketAnswer = [
  ticketResult.unknown,
  randomBytes(hmacLength),
  randomBytes(aesLength),
]

/**
 * A ticket that nobody can open, where there must be one and none may resume: without keys
 * OpenSSL would send an empty one, which RFC 8446 (4.6.1) does not allow.
 */
function noise(): TicketAnswer {
  const hmac = randomBytes(hmacLength)
  const rest = randomBytes(aesLength + 2 * ivLength)
  return [
    ticketResult.sealed,
    hmac,
    rest.subarray(0, aesLength),
    rest.subarray(aesLength, aesLength + ivLength),
    rest.subarray(aesLength + ivLength),
  ]
}
