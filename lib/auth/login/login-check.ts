import { plainHost } from '../../address.ts'
import type { LimitCounters } from '../../limit/limit-counters.ts'
import type { Shares } from '../../limit/shares.ts'
import type { Log } from '../../log.ts'
import type { AuthCounters } from '../auth-counters.ts'
import { type Answer, answer } from '../decision.ts'
import type { MethodName, Proof } from '../identity.ts'
import { causeOf, unavailable, type Verdict } from '../method/method.ts'
import { type Asker, askerOf } from '../request/asker.ts'
import { type AuthRequest, addressOf } from '../request/request.ts'
import type { Waiters } from '../request/waiters.ts'
import type { Attempt, Attempts } from './attempts.ts'

export interface LoginCheckOptions {
  readonly attempts: Attempts
  readonly log: Log
  readonly counters: AuthCounters
  readonly limitCounters: LimitCounters
  /** Of what is checked at a time. */
  readonly shares: Shares
  readonly address: ((request: AuthRequest) => string | undefined) | undefined
}

export interface Attempted {
  /**
   * A wrong answer counts as a failed log-in; of `user`, where the client says whom it claims
   * to be.
   */
  readonly guess: { readonly user?: string | undefined } | undefined
  /** All requests that wait for the answer, where they may be several. */
  readonly waiters?: Waiters | undefined
}

export type CheckOutcome =
  | { readonly kind: 'proved'; readonly proof: Proof }
  | { readonly kind: 'refused'; readonly reason: string | undefined }
  | { readonly kind: 'answered'; readonly answer: Answer }

/** Asks a method, within the limits on failed log-ins. */
export class LoginCheck {
  readonly #options: LoginCheckOptions

  constructor(options: LoginCheckOptions) {
    this.#options = options
  }

  async run(
    method: MethodName,
    request: AuthRequest,
    { guess, waiters }: Attempted,
    verify: (asker: Asker) => Promise<Verdict>,
  ): Promise<CheckOutcome> {
    const { attempts, log, counters } = this.#options
    const address = this.#addressOf(request)
    const attempt = guess ? attempts.begin(address, guess.user) : unlimited
    if (typeof attempt === 'number') {
      return answered(this.#limited(method, address, attempt))
    }
    const asker = askerOf(request, address, waiters)
    const verdict = await this.#ask(method, asker, verify)
    const wrong = verdict.kind !== 'proved' && verdict.guess === true
    // Who left before it was their turn has guessed nothing.
    const untried = verdict.kind === 'unavailable' && asker.gone
    attempt.settle(wrong && !untried ? 'failed' : 'not-failed')
    if (wrong) log.info({ method, address }, 'log-in failed')
    if (verdict.kind === 'proved') return verdict
    counters.countLogin(
      method,
      verdict.kind === 'unavailable' ? 'unavailable' : 'refused',
    )
    if (verdict.kind === 'answered') return answered(verdict.answer)
    if (verdict.kind === 'refused') return { kind: 'refused', reason: verdict.reason }
    log.warn({ method, cause: verdict.cause }, 'log-in could not be checked')
    const text = 'Log-ins can not be checked right now.\n'
    return answered(answer(verdict.status, text, { 'retry-after': '1' }))
  }

  /** Never rejects. */
  async #ask(
    method: MethodName,
    asker: Asker,
    verify: (asker: Asker) => Promise<Verdict>,
  ): Promise<Verdict> {
    const { shares, limitCounters, log } = this.#options
    const { network } = asker
    if (!shares.take(network)) {
      limitCounters.met('auth.maxChecks', network)
      return unavailable('busy')
    }
    try {
      return await verify(asker)
    } catch (error) {
      log.error({ method, cause: causeOf(error) }, 'log-in could not be checked')
      return unavailable('error')
    } finally {
      shares.release(network)
    }
  }

  /**
   * The answer when the limits keep credentials of this user from being compared with what is
   * remembered: that would tell who guesses what they were not let try.
   */
  stop(method: MethodName, request: AuthRequest, user: string): Answer | undefined {
    const address = this.#addressOf(request)
    const wait = this.#options.attempts.waitOf(address, user)
    return wait > 0 ? this.#limited(method, address, wait) : undefined
  }

  #addressOf(request: AuthRequest): string | undefined {
    const address = (this.#options.address ?? addressOf)(request)
    return address === undefined ? undefined : plainHost(address)
  }

  #limited(method: MethodName, address: string | undefined, wait: number): Answer {
    const { limitCounters, counters } = this.#options
    limitCounters.met('auth.attempts', address)
    counters.countLogin(method, 'limited')
    const headers = { 'retry-after': String(wait) }
    return answer(429, 'Too many failed log-ins. Try again later.\n', headers)
  }
}

const unlimited: Attempt = { settle() {} }

function answered(given: Answer): CheckOutcome {
  return { kind: 'answered', answer: given }
}
