/** What a series of rounds says: its middle and how far it spreads. */
export interface Summary {
  readonly median: number
  /** First and third quartile: half of the rounds lie between them. */
  readonly q1: number
  readonly q3: number
  readonly rounds: number
}

export interface Interval {
  readonly low: number
  readonly high: number
  /** How surely the true median lies inside, 0 to 1. */
  readonly confidence: number
}

export interface Ratio extends Interval {
  readonly ratio: number
  readonly verdict: Verdict
}

/**
 * `less`, `more`: the whole interval lies on one side of 1. `same`: it holds 1 and is narrow.
 * `noisy`: it holds 1 and is so wide that nothing can be told.
 */
export type Verdict = 'less' | 'more' | 'same' | 'noisy'

/** An interval that holds 1 and reaches farther than this from the ratio tells nothing. */
const tellable = 0.1

/** Rounds that spread more than this (quartile distance over median) are called noisy. */
export const noisySpread = 0.15

/** The value below which the share `p` (0 to 1) lies, straight line between neighbours. */
export function quantile(values: readonly number[], p: number): number {
  if (values.length === 0) return Number.NaN
  const sorted = [...values].sort((a, b) => a - b)
  const at = (sorted.length - 1) * p
  const below = Math.floor(at)
  const low = sorted[below] as number
  const high = sorted[Math.ceil(at)] as number
  return low + (high - low) * (at - below)
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5)
}

export function summarize(values: readonly number[]): Summary {
  return {
    median: median(values),
    q1: quantile(values, 0.25),
    q3: quantile(values, 0.75),
    rounds: values.length,
  }
}

/** Quartile distance over median; 0 for a series that does not vary. */
export function spread(summary: Summary): number {
  const width = summary.q3 - summary.q1
  return width === 0 ? 0 : width / Math.abs(summary.median)
}

/**
 * Where the true median lies: the narrowest pair of order statistics that holds it with the
 * wished confidence (each value is above or below it with even chance, so the count below is
 * binomial). Nothing is assumed of the distribution. With few rounds even the whole range
 * may be less sure than wished: the answer says how sure it is.
 */
export function medianInterval(values: readonly number[], wished = 0.95): Interval {
  const sorted = [...values].sort((a, b) => a - b)
  const n = sorted.length
  if (n === 0) return { low: Number.NaN, high: Number.NaN, confidence: 0 }
  let trim = 0
  while (trim + 1 < n / 2 && coverage(n, trim + 1) >= wished) trim++
  return {
    low: sorted[trim] as number,
    high: sorted[n - 1 - trim] as number,
    confidence: coverage(n, trim),
  }
}

/**
 * How many times `base` the values are. Both series come from the same interleaved rounds, so
 * each round gives one ratio and what slows a whole round cancels out.
 */
export function pairedRatio(values: readonly number[], base: readonly number[]): Ratio {
  const ratios = values
    .map((value, round) => value / (base[round] as number))
    .filter(Number.isFinite)
  const ratio = median(ratios)
  const interval = medianInterval(ratios)
  return { ratio, ...interval, verdict: verdictOf(ratio, interval) }
}

function verdictOf(ratio: number, { low, high }: Interval): Verdict {
  if (high < 1) return 'less'
  if (low > 1) return 'more'
  return high - ratio <= tellable && ratio - low <= tellable ? 'same' : 'noisy'
}

/** Chance that the median lies between the values left when `trim` go at each end. */
function coverage(n: number, trim: number): number {
  let outside = 0
  let term = 0.5 ** n
  for (let below = 0; below <= trim; below++) {
    outside += term
    term = (term * (n - below)) / (below + 1)
  }
  return n === 1 ? 0 : Math.max(0, 1 - 2 * outside)
}
