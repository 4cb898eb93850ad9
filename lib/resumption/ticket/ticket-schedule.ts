import { HandfastError } from '../../errors.ts'

/**
 * The life of the ticket keys of epoch e, P = period. Epochs are counted from 1970, so that
 * members agree on them without a word; each goes by its own wall clock.
 *
 *        |spread|     one period      |      e: seals       |       older: opens only        |
 *      --+------+---------------------+---------------------+--------------------------------+->
 *        made by one of the           eP                    eP + P               eP + acceptFor
 *        members, posted to all       first used            last used                    zeroed
 *
 * Made at least one whole period early, a key is on every member before anybody seals with it,
 * whoever was away for less than a period and however far clocks differ within it.
 */
export interface TicketTimes {
  /** One key seals for this long. Default 1 h. */
  readonly period: number
  /** A key opens for this long after its first use, at most. Default two periods. */
  readonly acceptFor: number
  /** Members choose a moment in this span to make a key; the first to do so is enough. */
  readonly spread: number
  /** A key that comes late is first used when it was out for this long. Default 5 s. */
  readonly settle: number
  /** Members that find a late key missing choose a moment in this span to make it. */
  readonly lateSpread: number
  /** Each member posts what it knows of some epoch again about this often. Default 60 s. */
  readonly refresh: number
}

export interface TicketTimesOptions extends Partial<TicketTimes> {}

const hour = 3_600_000
const shortestPeriod = 1_000

/**
 * Keys for tickets that are good for so many milliseconds: none lives for longer than its last
 * tickets. Members whose timeouts differ, below four hours, have the same keys all the same.
 */
export function timesFor(sessionTimeout: number): TicketTimesOptions {
  const period = Math.max(hour, Math.ceil(sessionTimeout / 4))
  return { period, acceptFor: period + sessionTimeout }
}

export class TicketSchedule {
  readonly times: TicketTimes

  /** Throws ERR_HANDFAST_CONFIG for times that would leave tickets without a key. */
  constructor(options: TicketTimesOptions = {}) {
    const period = options.period ?? hour
    const acceptFor = options.acceptFor ?? 2 * period
    if (!Number.isSafeInteger(period) || period < shortestPeriod) {
      throw bad(`the ticket-key period must be at least ${shortestPeriod} ms`, period)
    }
    if (!(acceptFor > period && acceptFor <= mostEpochs * period)) {
      const range = `1 to ${mostEpochs} periods`
      throw bad(`ticket keys must be accepted for ${range} of ${period} ms`, acceptFor)
    }
    this.times = {
      period,
      acceptFor,
      spread: options.spread ?? period / 8,
      settle: options.settle ?? 5_000,
      lateSpread: options.lateSpread ?? 2_000,
      refresh: options.refresh ?? 60_000,
    }
  }

  epochAt(wall: number): number {
    return Math.floor(wall / this.times.period)
  }

  /** When a member that drew `chance` (0 to 1) makes the key, if nobody has until then. */
  makeAt(epoch: number, chance: number): number {
    return this.startOf(epoch - 1) - chance * this.times.spread
  }

  startOf(epoch: number): number {
    return epoch * this.times.period
  }

  /** Nothing of the epoch is left from this moment on. */
  endOf(epoch: number): number {
    return this.startOf(epoch) + this.times.acceptFor
  }

  /** The epochs whose keys may be held at this moment: older, current, and made early. */
  window(wall: number): { readonly oldest: number; readonly newest: number } {
    const { period, acceptFor } = this.times
    return {
      oldest: Math.floor((wall - acceptFor) / period) + 1,
      newest: this.epochAt(wall) + leadEpochs,
    }
  }
}

/** The key of epoch e is made before epoch e - 1 begins. */
const leadEpochs = 2
/** Each epoch is a record to look at; more would be a long life for a key, too. */
const mostEpochs = 16

function bad(expected: string, got: number): HandfastError {
  return new HandfastError('ERR_HANDFAST_CONFIG', `${expected}, got ${got}`)
}
