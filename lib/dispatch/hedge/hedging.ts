import { carriesConnectionLogin } from '../../backend/http1/connection-login.ts'
import type { Clock } from '../../clock.ts'
import type { DispatchRequest } from '../dispatch.ts'
import type { Retrying } from '../retry/retrying.ts'
import { AnswerTimes } from './answer-times.ts'
import type { HedgeOptions } from './options.ts'

/**
 * What became of a second try that was due: it answered first (`won`) or not (`lost`), or the
 * budget of retries was used up (`no-budget`).
 */
export const hedgeOutcomes = ['won', 'lost', 'no-budget'] as const
export type HedgeOutcome = (typeof hedgeOutcomes)[number]

const leastPatience = 1_000

export interface HedgingParts {
  readonly options: HedgeOptions
  readonly clock: Clock
  readonly onOutcome: (outcome: HedgeOutcome) => void
}

/** Second tries of one dispatcher. */
export class Hedging {
  readonly clock: Clock
  readonly retrying: Retrying
  readonly onOutcome: (outcome: HedgeOutcome) => void
  readonly #options: HedgeOptions
  readonly #times: AnswerTimes | undefined

  constructor({ options, clock, onOutcome }: HedgingParts, retrying: Retrying) {
    this.#options = options
    this.clock = clock
    this.retrying = retrying
    this.onOutcome = onOutcome
    const { percentile } = options
    if (percentile !== undefined) this.#times = new AnswerTimes(percentile)
  }

  /** Milliseconds after which a second backend is asked; undefined: nobody knows yet. */
  get delay(): number | undefined {
    const { delay } = this.#options
    if (this.#times === undefined) return delay
    const usual = this.#times.value
    return usual === undefined ? delay : Math.max(usual, delay ?? 0)
  }

  /** Milliseconds that one which was outpaced still has to say something. */
  get patience(): number {
    return Math.max(leastPatience, this.delay ?? 0)
  }

  /** An answer has begun, so many milliseconds after the first backend was asked. */
  answered(ms: number): void {
    this.#times?.add(ms)
  }
}

/**
 * RFC 9110 9.2.1: what a client asks for by these changes nothing, so that it may be asked for
 * twice at a time. And no backend knows the client already, nor is to.
 */
export function mayHedge(request: DispatchRequest): boolean {
  const { method, body, upgrade, duplex, preference, client, fields } = request
  return (
    safe.has(method) &&
    body === undefined &&
    upgrade === undefined &&
    duplex === undefined &&
    preference === undefined &&
    !(client !== undefined && carriesConnectionLogin(fields))
  )
}

const safe: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS'])
