import type { Refusal } from '../dispatch/resumed-response/continuation.ts'
import type { ResetCause } from './host/restore/connection-takeover.ts'

/**
 * What became of a connection whose process, or host, was gone:
 *
 * - `resumed`: its answer has gone on. `complete`: all of it had been sent.
 * - `idle`: it waits for its next request. `asked`: its request was served anew.
 * - `failed`: its request could not be asked again; the client was told of a 502.
 *
 * These were closed as without a guardian, so that what the kernel has of an answer is not cut:
 *
 * - `stale`: more had happened on it than was written down.
 * - `input-lost`: what the client had said died with its process.
 * - `unreadable`: its checkpoint is not one of ours.
 *
 * The others were reset:
 *
 * - a Refusal: its object is, or may be, another one by now.
 * - `unavailable`: no backend could say anything of it in time. `cut`: it went on, and broke off.
 * - `refused`: a limit of this process.
 * - `sealed`: its host may have sealed something else under the next number.
 * - a ResetCause: its host was gone, and the client could not be met where it is.
 */
export type Takeover =
  | 'resumed'
  | 'complete'
  | 'idle'
  | 'asked'
  | 'failed'
  | 'stale'
  | 'input-lost'
  | 'unreadable'
  | Refusal
  | 'unavailable'
  | 'cut'
  | 'refused'
  | 'sealed'
  | ResetCause

export const takeovers: readonly Takeover[] = [
  'resumed',
  'complete',
  'idle',
  'asked',
  'failed',
  'stale',
  'input-lost',
  'unreadable',
  'changed',
  'no-range',
  'other-form',
  'unavailable',
  'cut',
  'refused',
  'sealed',
  'unanswered',
  'unheard',
  'spoke',
  'unstable',
  'lost',
  'kernel',
  'unfenced',
]

/** Of this process, since its start. */
export class TakeoverCounters {
  readonly #counts = new Map<Takeover, number>(takeovers.map(name => [name, 0]))

  count(what: Takeover): void {
    this.#counts.set(what, (this.#counts.get(what) ?? 0) + 1)
  }

  read(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#counts)
  }
}
