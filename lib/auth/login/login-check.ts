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
import type { Attempt, Attempts, Turn } from './attempts.ts'

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
    const begin = () => (guess ? attempts.begin(address, guess.user) : unlimited)
    const attempt = begin()
    if (typeof attempt === 'number')
      return answered(this.#limited(method, address, attempt))
    const asker = askerOf(request, address, waiters)
    const asked = await this.#ask(method, asker, attempt, begin, verify)
    if (typeof asked === 'number') return answered(this.#limited(method, address, asked))
    const { verdict, settle } = asked
    const wrong = verdict.kind !== 'proved' && verdict.guess === true
    // Who left before it was their turn has guessed nothing.
    const untried = verdict.kind === 'unavailable' && asker.gone
    settle(wrong && !untried ? 'failed' : 'not-failed')
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

  /** Never rejects. The seconds to wait, where the attempts before have failed meanwhile. */
  async #ask(
    method: MethodName,
    asker: Asker,
    first: Attempt | Turn,
    begin: () => Attempt | Turn | number,
    verify: (asker: Asker) => Promise<Verdict>,
  ): Promise<{ verdict: Verdict; settle: Attempt['settle'] } | number> {
    const { shares, limitCounters, log } = this.#options
    const { network } = asker
    if (!shares.take(network)) {
      limitCounters.met('auth.maxChecks', network)
      if (isTurn(first)) first.leave()
      const { settle } = isTurn(first) ? unlimited : first
      return { verdict: unavailable('busy'), settle }
    }
    try {
      const attempt = isTurn(first) ? await turnOf(first, asker, begin) : first
      if (attempt === undefined) {
        return { verdict: unavailable('gone'), settle: unlimited.settle }
      }
      if (typeof attempt === 'number') return attempt
      const { settle } = attempt
      return await verify(asker).then(
        verdict => ({ verdict, settle }),
        error => {
          log.error({ method, cause: causeOf(error) }, 'log-in could not be checked')
          return { verdict: unavailable('error'), settle }
        },
      )
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

/** Waits for the turn; undefined when the client has left meanwhile. */
async function turnOf(
  first: Turn,
  asker: Asker,
  begin: () => Attempt | Turn | number,
): Promise<Attempt | number | undefined> {
  let turn = first
  for (;;) {
    let stop = () => {}
    await new Promise<void>(resolve => {
      stop = asker.onGone(resolve)
      void turn.come.then(resolve)
    })
    stop()
    const next = asker.gone ? undefined : begin()
    if (isTurn(next)) {
      turn = next
      continue
    }
    // Whoever is next has what is no use here.
    if (typeof next !== 'object') turn.leave()
    return next
  }
}

function isTurn(begun: Attempt | Turn | number | undefined): begun is Turn {
  return typeof begun === 'object' && 'leave' in begun
}

function answered(given: Answer): CheckOutcome {
  return { kind: 'answered', answer: given }
}
