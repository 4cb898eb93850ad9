import { ErrorRate } from './error-rate.ts'
import type { EjectOptions } from './options.ts'

/**
 * What a request came to:
 *
 * - `unreachable`: no connection could be made. No client can bring that about.
 * - `error`: it was sent, and there was no answer, or one that makes no sense.
 * - `bad-answer`: 502, 503 or 504.
 */
export type Fault = 'unreachable' | 'error' | 'bad-answer'

/** Why a backend is passed over. */
export type EjectReason = Fault | 'error-rate'

/** How long one request may be on its way alone before the next may try. */
const trialTime = 1_000

/**
 * Judges a backend by what becomes of the requests that it is sent. A circuit breaker: closed, all
 * may go there; open, none for a time; then half-open, one at a time, until one is answered. A
 * function of events and the time, monotonic milliseconds.
 */
export class PassiveHealth {
  readonly #options: EjectOptions
  readonly #rate: ErrorRate
  #reason: EjectReason | undefined
  #until = -Infinity
  /** For which it is passed over. */
  #time = 0
  #trialUntil = -Infinity
  /** From then on it counts as well, if the answer to the trial has not broken off. */
  #provenAt = Infinity
  /** Failures in a row. */
  #errors = 0
  #badAnswers = 0
  /** How often the time has been doubled. */
  #doubled = 0
  #closedAt = -Infinity
  /** Counts the times that it was opened. */
  #epoch = 0

  constructor(options: EjectOptions) {
    this.#options = options
    this.#rate = new ErrorRate(options.window)
  }

  /** Undefined while all is well. */
  get reason(): EjectReason | undefined {
    return this.#reason
  }

  /** When all was well again; `-Infinity` when it has never been otherwise. */
  get closedAt(): number {
    return this.#closedAt
  }

  /** To be given back with what becomes of a request that is sent now. */
  get epoch(): number {
    return this.#epoch
  }

  isReady(now: number): boolean {
    if (this.#reason === undefined) return true
    if (now >= this.#provenAt) return true
    return now >= this.#until && now >= this.#trialUntil
  }

  /** It could have been tried for as long as it was passed over, and was not. */
  isOverdue(now: number): boolean {
    return now >= this.#provenAt || now >= this.#until + this.#time
  }

  /** A request is sent. */
  sent(now: number): void {
    if (this.#reason === undefined) return
    if (now >= this.#provenAt) this.close(now)
    else if (now >= this.#until) this.#trialUntil = now + trialTime
  }

  /** An answer has begun, to a request that was sent in `epoch`. It may break off. */
  answered(epoch: number, now: number): void {
    this.#badAnswers = 0
    if (this.#options.rate > 0) this.#rate.add(false, now)
    if (this.#reason === undefined || epoch !== this.#epoch) return
    // Some go on for hours.
    this.#provenAt = Math.min(this.#provenAt, now + trialTime)
  }

  /** An answer that did not break off is over. */
  ended(epoch: number, now: number): void {
    this.#errors = 0
    if (this.#reason === undefined) return
    if (epoch === this.#epoch) {
      // Sent since it was opened: the trial.
      this.close(now)
    } else if (this.#reason === 'error') {
      // One request was lost and another is answered in full: it is the request, not the backend.
      this.#doubled = 0
      this.close(now)
    }
  }

  failed(fault: Fault, epoch: number, now: number): void {
    const { errors, badAnswers } = this.#options
    if (this.#options.rate > 0) this.#rate.add(true, now)
    if (fault === 'bad-answer') this.#badAnswers += 1
    else this.#errors += 1
    if (this.#reason !== undefined) {
      // Those that were on their way say what is known; a trial that failed is news.
      const trial = now >= this.#until || this.#provenAt < Infinity
      if (epoch === this.#epoch && trial) this.#open(fault, now)
      else if (fault === 'unreachable') this.#reason = fault
      return
    }
    if (fault === 'unreachable') this.#open(fault, now)
    else if (fault === 'error' && this.#errors >= errors) this.#open(fault, now)
    else if (fault === 'bad-answer' && badAnswers > 0 && this.#badAnswers >= badAnswers) {
      this.#open(fault, now)
    } else if (this.#isTooOften(now)) this.#open('error-rate', now)
  }

  /** It is known to be well. */
  close(now: number): void {
    this.#errors = 0
    this.#badAnswers = 0
    if (this.#reason === undefined) return
    this.#reason = undefined
    this.#provenAt = Infinity
    this.#closedAt = now
    this.#rate.clear()
  }

  #isTooOften(now: number): boolean {
    const { rate, rateFrom } = this.#options
    if (rate === 0) return false
    const { requests, errors } = this.#rate.read(now)
    return requests >= rateFrom && errors * 100 >= rate * requests
  }

  #open(reason: EjectReason, now: number): void {
    const { time, longestTime } = this.#options
    const failedAgain = this.#reason !== undefined || now - this.#closedAt < longestTime
    this.#doubled = failedAgain && this.#epoch > 0 ? this.#doubled + 1 : 0
    // 2^31 times two milliseconds is more than any longest time.
    const grown = time * 2 ** Math.min(31, this.#doubled)
    this.#time = Math.min(longestTime, grown)
    this.#until = now + this.#time
    this.#trialUntil = -Infinity
    this.#provenAt = Infinity
    this.#reason = reason
    this.#epoch += 1
  }
}
