import type { Log } from '../../log.ts'
import type { AuthCounters } from '../auth-counters.ts'
import type { Answer, AuthDecision } from '../decision.ts'
import type { MethodName, Proof } from '../identity.ts'
import type { AuthRequest } from '../request/request.ts'
import type { Waiters } from '../request/waiters.ts'
import type { ConnectionState } from './connection-state.ts'
import type { KnownLogin } from './identity-record.ts'
import type { LoginCheck } from './login-check.ts'
import type { LoginTerms } from './login-terms.ts'
import type { Remembered } from './remembered.ts'
import type { RememberedLogin } from './remembered-login.ts'

/** What a request shows of its user, and how it is checked when nobody remembers it. */
export interface Shown {
  readonly request: AuthRequest
  readonly method: MethodName
  /** Keyed hash of all that the check looks at. */
  readonly print: Buffer
  /**
   * The user whose password this may be a guess of. Who guesses must not learn from the memory
   * what the limits keep from being tried.
   */
  readonly guessOf?: string | undefined
  /**
   * Clients send it again by themselves, and so are asked once more after a log-out or a
   * revocation before they are believed. What they are asked.
   */
  readonly askAgain?: (() => Answer) | undefined
  /** Milliseconds that it is remembered. Default: those of all log-ins. */
  readonly ttl?: number | undefined
  readonly verify: (waiters: Waiters | undefined) => Promise<Proof | Answer>
  /** The answer to a proof that is right and void all the same. */
  readonly refuse: () => Answer
}

export interface ShownLoginsOptions {
  readonly terms: LoginTerms
  readonly remembered: Remembered
  readonly check: LoginCheck
  readonly counters: AuthCounters
  readonly log: Log
  readonly now: () => number
  readonly bySession: (request: AuthRequest) => boolean
}

/**
 * Log-ins by what a request shows: checked once for the farm, and known afterwards by its print
 * under the key of the TLS session. A log-out or a revocation makes it count as new.
 */
export class ShownLogins {
  readonly #options: ShownLoginsOptions

  constructor(options: ShownLoginsOptions) {
    this.#options = options
  }

  /** Without a `state` nothing is remembered. */
  async decide(shown: Shown, state: ConnectionState | undefined): Promise<AuthDecision> {
    const { terms, counters } = this.#options
    if (state === undefined)
      return decisionOf(await this.#prove(shown, undefined, undefined))
    const remembered = state.shown(shown.print)
    const limited = shown.guessOf !== undefined && state.suspect
    if (remembered.believed && !limited && !this.#hasEnded(shown, remembered, state)) {
      const login = remembered.local()
      if (login?.kind === 'identity' && terms.holds(login, state, remembered)) {
        counters.countLookup('hit')
        return decisionOf(login)
      }
    }
    remembered.checking ??= this.#look(shown, remembered, state).finally(() => {
      remembered.checking = undefined
      remembered.waiters.dismiss()
      state.tidy(shown.print)
    })
    remembered.waiters.join(shown.request)
    return remembered.checking
  }

  async #look(
    shown: Shown,
    remembered: RememberedLogin,
    state: ConnectionState,
  ): Promise<AuthDecision> {
    const { remembered: known, check, counters } = this.#options
    const { request, method, guessOf, askAgain } = shown
    const stop = guessOf === undefined ? undefined : check.stop(method, request, guessOf)
    if (stop !== undefined) {
      state.suspect = true
      return decisionOf(stop)
    }
    const ended = this.#hasEnded(shown, remembered, state)
    const login = ended ? undefined : await known.recallShown(remembered, state)
    counters.countLookup(login === undefined ? 'miss' : 'hit')
    if (login !== undefined) {
      remembered.believe()
      return decisionOf(login)
    }
    // Looked at once more: the farm may have been asked meanwhile.
    const again = remembered.revoked || this.#hasEnded(shown, remembered, state)
    if (askAgain && again && !remembered.asked) {
      remembered.asked = true
      return decisionOf(askAgain())
    }
    const found = await this.#prove(shown, remembered, state)
    if ('status' in found && guessOf !== undefined) state.suspect = true
    return decisionOf(found)
  }

  /** Makes a log-in of a proof and remembers it, unless it is void already. */
  async #prove(
    shown: Shown,
    remembered: RememberedLogin | undefined,
    state: ConnectionState | undefined,
  ): Promise<KnownLogin | Answer> {
    const { terms, counters, log } = this.#options
    const { method } = shown
    const ends = endsOf(remembered, state)
    const proof = await shown.verify(remembered?.waiters)
    if ('status' in proof) return proof
    const login = terms.loginOf(proof, method, state, shown.ttl)
    if (login === undefined || !terms.holds(login, state, remembered)) {
      log.warn({ method }, 'a proof was right, and the log-in is void all the same')
      counters.countLogin(method, 'void')
      return shown.refuse()
    }
    counters.countLogin(method, 'proved', login.identity.subject)
    // A log-out that came while this was checked was meant for it too.
    if (remembered && state && endsOf(remembered, state) === ends) {
      await this.#keep(login, shown, remembered, state)
    }
    return login
  }

  async #keep(
    login: KnownLogin,
    { request, guessOf }: Shown,
    remembered: RememberedLogin,
    state: ConnectionState,
  ): Promise<void> {
    const { remembered: known, now } = this.#options
    // Of passwords there are only so many that are right; all else a client can vary at will.
    if (guessOf === undefined && !state.mayRemember(now())) return
    await Promise.all([
      remembered.remember(login),
      known.claimSession(login, request, state),
    ])
  }

  #hasEnded(
    { request }: Shown,
    remembered: RememberedLogin,
    state: ConnectionState,
  ): boolean {
    if (remembered.ended) return true
    return this.#options.bySession(request) && state.session.ended
  }
}

function endsOf(
  remembered: RememberedLogin | undefined,
  state: ConnectionState | undefined,
): number {
  return (remembered?.ends ?? 0) + (state?.session.ends ?? 0)
}

export function decisionOf(found: KnownLogin | Answer): AuthDecision {
  if ('status' in found) return { outcome: 'answered', answer: found }
  const { identity, basis } = found
  return { outcome: 'identified', identity, basis }
}
