import type { Clock } from '../../clock.ts'
import type { FullCause, ResumedFrom } from '../handshake.ts'
import type { ClientHello } from '../hello/client-hello.ts'
import { type Offer, offerOf, offersAnything, refusal } from './offer.ts'
import type { Policy, ServerPolicies } from './policy.ts'
import type { FoundSession, RevocableTerms } from './session-record.ts'
import type { Lookup, SessionStore } from './session-store.ts'

export type Verdict = FoundSession | FullCause

/** A session that TLS was allowed to resume, without its secrets. */
export type OfferedSession = RevocableTerms & Omit<FoundSession, 'record'>

/** What a handshake has resumed. */
export interface Resumed {
  readonly source: ResumedFrom
  /** The id of its session, where it has one. */
  readonly id?: Buffer
  readonly lineage: Buffer | undefined
  /** Wall time in ms of the full handshake; undefined when nothing tells. */
  readonly originalAt: number | undefined
  readonly clientAuthorized: boolean
}

export interface ConsultationOptions {
  readonly store: SessionStore
  readonly clock: Clock
  /** Asked before a session is offered to TLS, and again when it has resumed. */
  readonly isRevoked: (record: RevocableTerms, id: Buffer) => boolean
  /** True when nothing may resume, since a revocation could be unheard. */
  readonly isCut: () => boolean
  /** Its revocation could be one of those that were made before this member came. */
  readonly mayBeUnheard: (record: RevocableTerms) => boolean
  /** Milliseconds from the original handshake. */
  readonly lineageTimeout: number
  /** Longest wait for other members when a session is looked up, in milliseconds. */
  readonly lookupBudget: number
}

/** What decides about the sessions of all names of a server. */
export interface ServerTerms {
  /** TLS 1.3 will be spoken with a client that can. */
  readonly speaks13: boolean
  /** Milliseconds from the making of a session. */
  readonly sessionTimeout: number
}

/** Asks the farm for the session that a hello names: a session ID or a stateful ticket. */
export class Consultation {
  readonly #options: ConsultationOptions
  readonly #policies: ServerPolicies
  readonly #server: ServerTerms

  constructor(
    options: ConsultationOptions,
    policies: ServerPolicies,
    server: ServerTerms,
  ) {
    this.#options = options
    this.#policies = policies
    this.#server = server
  }

  /** The session that TLS may resume, or why there is none. Never rejects. */
  consult(hello: ClientHello, policy: Policy): Verdict | Promise<Verdict> {
    if (policy.mode === 'off') return 'off'
    const offer = offerOf(hello, this.#server.speaks13)
    if (offer === undefined) return offersAnything(hello) ? 'unknown' : 'none-offered'
    const { store, isCut, lookupBudget } = this.#options
    if (isCut()) return 'partition'
    const local = store.findLocal(offer.id)
    if (local !== 'unknown' || lookupBudget <= 0) {
      return this.#judge(local, offer, hello, policy)
    }
    if (store.isDeleted(offer.id)) return 'revoked'
    return store.find(offer.id, lookupBudget).then(
      // The policy may have changed while the farm was asked.
      lookup => this.#judge(lookup, offer, hello, this.#policies.of(hello)),
      () => 'unknown',
    )
  }

  /**
   * TLS has resumed: what, or undefined when it must not serve. Judged once more, since a client
   * can take a minute to finish its handshake. TLS can't resume what we never offered; if it
   * ever does, it must not serve.
   */
  confirm(offered: OfferedSession | undefined): Resumed | undefined {
    const { isCut, isRevoked, mayBeUnheard } = this.#options
    if (offered === undefined || isCut() || mayBeUnheard(offered)) return undefined
    return isRevoked(offered, offered.id) ? undefined : offered
  }

  #judge(lookup: Lookup, offer: Offer, hello: ClientHello, policy: Policy): Verdict {
    if (typeof lookup === 'string') return lookup
    const { isCut, isRevoked, mayBeUnheard, clock, lineageTimeout } = this.#options
    if (isCut() || mayBeUnheard(lookup.record)) return 'partition'
    const { sessionTimeout } = this.#server
    const terms = { policy, sessionTimeout, lineageTimeout, now: clock.now() }
    const cause = refusal(lookup.record, offer, hello, terms)
    if (cause !== undefined) return cause
    return isRevoked(lookup.record, offer.id) ? 'revoked' : lookup
  }
}
