import { channels } from '../channels.ts'
import type { MethodName } from './identity.ts'

/** What became of a log-in. */
export type LoginOutcome =
  | 'proved'
  /** The credentials were wrong, or out of date. */
  | 'refused'
  /** Not tried: too many have failed. */
  | 'limited'
  /** Could not be checked. */
  | 'unavailable'
  /** Right, and void all the same: revoked, or run out. */
  | 'void'

export interface AuthCounts {
  /** Log-ins since start, by method and outcome. */
  readonly logins: readonly {
    readonly method: MethodName
    readonly outcome: LoginOutcome
    readonly count: number
  }[]
  readonly logouts: number
  /** Requests: how many were of somebody who is remembered, and how many had to be asked for. */
  readonly lookups: { readonly hit: number; readonly miss: number }
}

/** Counts what happens to log-ins, and publishes it. Nothing in the counts names a user. */
export class AuthCounters {
  readonly #logins = new Map<MethodName, Map<LoginOutcome, number>>()
  #logouts = 0
  #hits = 0
  #misses = 0

  /** `subject` where it is proved: what a client only claims may be a password by mistake. */
  countLogin(method: MethodName, outcome: LoginOutcome, subject?: string): void {
    let outcomes = this.#logins.get(method)
    if (outcomes === undefined) {
      outcomes = new Map()
      this.#logins.set(method, outcomes)
    }
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
    if (channels.login.hasSubscribers) {
      channels.login.publish({ method, outcome, subject })
    }
  }

  countLogout(everywhere: boolean): void {
    this.#logouts += 1
    if (channels.logout.hasSubscribers) channels.logout.publish({ everywhere })
  }

  countLookup(found: 'hit' | 'miss'): void {
    if (found === 'hit') this.#hits += 1
    else this.#misses += 1
    if (channels.loginLookup.hasSubscribers) channels.loginLookup.publish({ found })
  }

  snapshot(): AuthCounts {
    const logins = [...this.#logins].flatMap(([method, outcomes]) =>
      [...outcomes].map(([outcome, count]) => ({ method, outcome, count })),
    )
    const lookups = { hit: this.#hits, miss: this.#misses }
    return { logins, logouts: this.#logouts, lookups }
  }
}
