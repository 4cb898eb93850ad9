import { HandfastError } from '../../errors.ts'
import { fillNumbers, type NumberRules } from '../../options/number-options.ts'

/**
 * When a second backend is asked beside the first: the later of the two where both are given, one
 * of which must be.
 */
export interface HedgeOptions {
  /** Milliseconds without an answer. */
  readonly delay?: number | undefined
  /** As long as so many percent of the last 1 000 answers took. Unknown until 100 have come. */
  readonly percentile?: number | undefined
}

export const hedgeRules: NumberRules<keyof HedgeOptions> = {
  delay: { unit: 'ms', usual: undefined, least: 1, most: 3_600_000 },
  // Half of all requests asked twice is more than anybody can want.
  percentile: { unit: 'percent', usual: undefined, least: 50, most: 99 },
}

/** Throws ERR_HANDFAST_CONFIG that names what is wrong. */
export function resolveHedging(
  options: HedgeOptions | 'off' | undefined,
): HedgeOptions | undefined {
  if (options === undefined || options === 'off') return undefined
  const filled = fillNumbers(hedgeRules, options, { prefix: 'hedging.', whole: true })
  if (options.delay === undefined && options.percentile === undefined) {
    throw new HandfastError(
      'ERR_HANDFAST_CONFIG',
      'hedging needs a delay or a percentile',
    )
  }
  return filled
}
