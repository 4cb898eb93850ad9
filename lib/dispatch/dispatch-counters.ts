import type { Clock } from '../clock.ts'
import { LogLimiter } from '../limit/log-limiter.ts'
import type { Log } from '../log.ts'
import { type HedgeOutcome, hedgeOutcomes } from './hedge/hedging.ts'
import {
  type ResumeEvent,
  type ResumeOutcome,
  resumeOutcomes,
} from './resumed-response/resumed-response.ts'

/** What becomes of responses that break off, and of second tries: counted, the first told to the log. */
export class DispatchCounters {
  readonly #log: Log
  readonly #lines: LogLimiter
  readonly #brokenOff = new Map<ResumeOutcome, number>()
  readonly #hedges = new Map<HedgeOutcome, number>()

  constructor(clock: Clock, log: Log) {
    this.#log = log
    this.#lines = new LogLimiter(clock)
    for (const outcome of resumeOutcomes) this.#brokenOff.set(outcome, 0)
    for (const outcome of hedgeOutcomes) this.#hedges.set(outcome, 0)
  }

  readonly brokeOff = (event: ResumeEvent): void => {
    const { outcome } = event
    this.#brokenOff.set(outcome, (this.#brokenOff.get(outcome) ?? 0) + 1)
    this.#lines.log(heldBack => {
      const more = heldBack > 0 ? { heldBack } : {}
      this.#log.warn({ ...event, ...more }, 'a response broke off')
    })
  }

  /** By outcome, since start. */
  brokenOff(): { readonly [outcome: string]: number } {
    return Object.fromEntries(this.#brokenOff)
  }

  readonly hedged = (outcome: HedgeOutcome): void => {
    this.#hedges.set(outcome, (this.#hedges.get(outcome) ?? 0) + 1)
  }

  /** By outcome, since start. */
  hedges(): { readonly [outcome: string]: number } {
    return Object.fromEntries(this.#hedges)
  }
}
