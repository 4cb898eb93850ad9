import type { BackendState } from '../../backend/backend.ts'
import type { PeakEwma } from './peak-ewma.ts'

/** A backend among others, as a policy sees it. */
export interface Member<Backend extends BackendState = BackendState> {
  readonly backend: Backend
  /** Tells it from the others, on every proxy alike. */
  readonly origin: string
  /** Its part beside the others, as it is now: a backend that has just come gets less. */
  weight: number
  /** Of smooth weighted round-robin. */
  credit: number
  /** How long it takes to answer; of peak-EWMA. */
  readonly latency: PeakEwma
}

/** Which of several backends is best for a request. */
export interface Policy {
  /** `members`: more than one, of weights above 0. */
  pick<M extends Member>(members: readonly M[], request: Choosable): M
}

/** What of a request a policy may go by. */
export interface Choosable {
  readonly fields: readonly string[]
  readonly network: string | undefined
}
