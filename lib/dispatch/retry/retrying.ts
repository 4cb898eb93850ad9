import { closed, isNonsense, lostConnection, timedOut } from '../../backend/failure.ts'
import { isIdempotent } from '../../backend/request.ts'
import type { Clock } from '../../clock.ts'
import type { DispatchRequest } from '../dispatch.ts'
import type { RetryOptions } from './options.ts'
import { ReplayedBody } from './replayed-body.ts'
import { RetryBudget } from './retry-budget.ts'

/** One request over all its tries, those before and after it had to wait for room. */
export interface RetryState {
  /** Monotonic milliseconds. */
  readonly began: number
  /** Undefined where there is no body, or it can't be sent twice. */
  readonly body: ReplayedBody | undefined
  /** Times that it was lost and has been, or may be, sent again. */
  retries: number
}

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

  /** A request comes. To be called once for it, however often it is sent. */
  deposit(): void {
    this.#budget.deposit(this.#clock.monotonic())
  }

  /** A request is about to be sent for the first time. */
  begin(request: DispatchRequest): RetryState {
    return { began: this.#clock.monotonic(), body: this.#keep(request), retries: 0 }
  }

  /** What is to be kept of its body, so that it can be sent again. */
  #keep(request: DispatchRequest): ReplayedBody | undefined {
    const { most, bodyBytes } = this.options
    const { body } = request
    const can = most > 0 && bodyBytes > 0
    if (body === undefined || !can || !isIdempotent(request)) return undefined
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

/** Whether a request may be sent again after it was sent. */
export function isRepeatable(
  request: DispatchRequest,
  kept: ReplayedBody | undefined,
): boolean {
  return isIdempotent(request) && (request.body === undefined || kept?.isWhole === true)
}

/** An end that another backend may spare the client. */
export function isWorthRetrying(error: Error): boolean {
  return !closed(error) && (lostConnection(error) || timedOut(error) || isNonsense(error))
}
