import { median, medianInterval } from '../harness/statistics.ts'
import type { TextTable } from '../harness/text-table.ts'
import type { Goal } from '../report/report.ts'

/** What one part of the benchmark has found. */
export interface Part {
  readonly goals: readonly Goal[]
  readonly tables: readonly TextTable[]
  readonly skipped?: readonly string[]
  readonly notes?: readonly string[]
  /** What had to be and was not. */
  readonly failures?: readonly string[]
}

/** Of what was measured in each round: undefined where the interval holds the limit. */
export function ratioGoal(text: string, limit: number, values: readonly number[]): Goal {
  const { low, high } = medianInterval(values)
  const met = high <= limit ? true : low > limit ? false : undefined
  return { text, limit, value: median(values), met }
}
