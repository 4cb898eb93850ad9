import type { Clock } from '../../clock.ts'
import {
  type Basis,
  isSubject,
  type MethodName,
  maxClaimsBytes,
  noBasis,
  type Proof,
} from '../identity.ts'
import type { IsRevoked } from '../open-exchanges.ts'
import type { ConnectionState } from './connection-state.ts'
import type { KnownLogin } from './identity-record.ts'
import type { RememberedLogin } from './remembered-login.ts'

export interface LoginTermsOptions {
  readonly clock: Clock
  readonly ttl: number
  readonly lineageTimeout: number
  /** Whether the log-in still stands with the method that made it. */
  readonly stands: (method: MethodName, subject: string, basis: Basis) => boolean
  readonly isRevoked: IsRevoked
}

/** What makes a log-in, and for how long and where it holds. */
export class LoginTerms {
  readonly #options: LoginTermsOptions

  constructor(options: LoginTermsOptions) {
    this.#options = options
  }

  /** Whether the log-in may be used now. `met` takes note of a revocation. */
  holds(
    { identity, basis }: KnownLogin,
    state: ConnectionState | undefined,
    met: RememberedLogin | undefined,
  ): boolean {
    const { clock, stands, isRevoked } = this.#options
    const { method, subject, expiresAt } = identity
    if (expiresAt <= clock.now() || !stands(method, subject, basis)) return false
    // What the handshake did not prove, no record can make true.
    if (method === 'certificate' && state?.handshake.clientAuthorized !== true)
      return false
    if (!isRevoked(identity, state?.handshake.lineage)) return true
    if (met !== undefined) met.revoked = true
    return false
  }

  /** The log-in that a proof makes; undefined when the proof says nothing sound. */
  loginOf(
    proof: Proof,
    method: MethodName,
    state: ConnectionState | undefined,
    ttl: number = this.#options.ttl,
  ): KnownLogin | undefined {
    const now = this.#options.clock.now()
    const text = proof.claims === undefined ? '{}' : JSON.stringify(proof.claims)
    if (!isSubject(proof.subject) || !text?.startsWith('{')) return undefined
    if (Buffer.byteLength(text) > maxClaimsBytes) return undefined
    const identity = Object.freeze({
      subject: proof.subject,
      // The same as they will come back from a record.
      claims: Object.freeze(JSON.parse(text)),
      method,
      at: Math.max(0, Math.floor(Math.min(now, proof.at ?? now))),
      expiresAt: Math.floor(
        Math.min(
          now + ttl,
          proof.expiresAt ?? Number.POSITIVE_INFINITY,
          this.endOf(state),
        ),
      ),
    })
    return { kind: 'identity', identity, basis: proof.basis ?? noBasis }
  }

  /** Wall time in ms at which nothing that is remembered of the connection is good any more. */
  endOf(state: ConnectionState | undefined): number {
    if (state === undefined) return Number.POSITIVE_INFINITY
    return state.handshake.originalAt + this.#options.lineageTimeout
  }
}
