import { HandfastError } from '../../errors.ts'

/**
 * The life of the ticket keys of epoch e, P = period. Epochs are counted from 1970, so that
 * members agree on them without a word; each goes by its own wall clock.
 *
 *        |spread|     one period      |    e: encrypts      |      older: decrypts only      |
 *      --+------+---------------------+---------------------+--------------------------------+->
 *        made by one of the           eP                    eP + P               eP + acceptFor
 *        members, posted to all       first used            last used                    zeroed
 *
 * Made at least one whole period early, a key is on every member before anybody encrypts with
 * it, whoever was away for less than a period and however far clocks differ within it.
 */
export interface TicketTimes {
  /** One key encrypts for this long. Default 8 h. */
  readonly period: number
  /** A key decrypts for this long after its first use, at most. Default 24 h. */
  readonly acceptFor: number
  /** Members choose a moment in this span to make a key; the first to do so is enough. */
  readonly spread: number
  /** A key that comes late is first used when it was out for this long. Default 5 s. */
  readonly settle: number
  /** Members that find a late key missing choose a moment in this span to make it. */
  readonly lateSpread: number
  /** Each member posts what it knows of some epoch again about this often. Default 60 s. */
  readonly refresh: number
  /** A key from before there is one of the farm is used for this long. Default 10 min. */
  readonly interim: number
}

export interface TicketTimesOptions extends Partial<TicketTimes> {}

const hour = 3_600_000
const shortestPeriod = 1_000

/**
 * Times under which no chain of renewed tickets outlives the lineage: tickets are renewed under
 * the key of the first one, so the end of a key is the end of its chains. They last for two to
 * three periods; three seconds where the lineage is shorter still.
 */
export function timesWithin(lineageTimeout: number): TicketTimesOptions {
  const third = Math.floor(lineageTimeout / 3)
  const period = Math.min(8 * hour, Math.max(shortestPeriod, third))
  return {
    period,
    settle: Math.min(5_000, period / 8),
    lateSpread: Math.min(2_000, period / 16),
    refresh: Math.min(60_000, period / 4),
  }
}

export class TicketSchedule {
  readonly times: TicketTimes

  /** Throws ERR_HANDFAST_CONFIG for times that would leave tickets without a key. */
  constructor(options: TicketTimesOptions = {}) {
    const period = options.period ?? 8 * hour
    const acceptFor = options.acceptFor ?? 3 * period
    if (!Number.isSafeInteger(period) || period < shortestPeriod) {
      throw bad(`the ticket-key period must be at least ${shortestPeriod} ms`, period)
    }
    if (!(acceptFor >= 2 * period && acceptFor <= mostEpochs * period)) {
      const range = `2 to ${mostEpochs} periods`
      throw bad(`ticket keys must be accepted for ${range} of ${period} ms`, acceptFor)
    }
    this.times = {
      period,
      acceptFor,
      spread: options.spread ?? period / 8,
      settle: options.settle ?? 5_000,
      lateSpread: options.lateSpread ?? 2_000,
      refresh: options.refresh ?? 60_000,
      // Tickets under it are good for up to three of these, and no chain may outlive its keys.
      interim: Math.min(options.interim ?? 600_000, Math.floor(acceptFor / 3)),
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

  /** The epochs whose keys may be held at this moment: decrypting, current, and made early. */
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
