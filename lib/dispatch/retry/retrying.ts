import { closed, lostConnection, timedOut } from '../../backend/failure.ts'
import type { Clock } from '../../clock.ts'
import type { DispatchRequest } from '../dispatch.ts'
import type { RetryOptions } from './options.ts'
import { ReplayedBody } from './replayed-body.ts'
import { RetryBudget } from './retry-budget.ts'

/** How the requests of one dispatcher are sent again. */
export class Retrying {
  readonly options: RetryOptions
  readonly #clock: Clock
  readonly #budget: RetryBudget

  constructor(options: RetryOptions, clock: Clock) {
    this.options = options
    this.#clock = clock
    this.#budget = new RetryBudget(options)
  }

  /** A request comes; answers when. */
  begin(): number {
    const now = this.#clock.monotonic()
    this.#budget.deposit(now)
    return now
  }

  /** What is to be kept of the body of a request, so that it can be sent again. */
  keep({ method, body, duplex }: DispatchRequest): ReplayedBody | undefined {
    const { most, bodyBytes } = this.options
    const can = most > 0 && bodyBytes > 0 && duplex === undefined
    if (body === undefined || !can || !idempotent.has(method)) return undefined
    return new ReplayedBody(body, bodyBytes)
  }

  /**
   * Whether a request that began at `began` may be sent again, as far as that is about time and
   * load. `free`: the backend did no work on it.
   */
  allows(began: number, free: boolean): boolean {
    const { timeout } = this.options
    const now = this.#clock.monotonic()
    if (timeout !== undefined && now - began > timeout) return false
    return free || this.#budget.take(now)
  }
}

/**
 * RFC 9110 9.2.2: a request may be sent again on its own when doing it twice does no more than
 * doing it once. POST and PATCH are none of these, whatever becomes of them.
 */
const idempotent: ReadonlySet<string> = new Set([
  'GET',
  'HEAD',
  'OPTIONS',
  'TRACE',
  'PUT',
  'DELETE',
])

/** Whether a request may be sent again after it was sent. */
export function isRepeatable(
  { method, body, upgrade, duplex }: DispatchRequest,
  kept: ReplayedBody | undefined,
): boolean {
  if (!idempotent.has(method) || upgrade !== undefined || duplex !== undefined) {
    return false
  }
  return body === undefined || kept?.isWhole === true
}

/** An end that another backend may spare the client. */
export function isWorthRetrying(error: Error): boolean {
  return !closed(error) && (lostConnection(error) || timedOut(error))
}
