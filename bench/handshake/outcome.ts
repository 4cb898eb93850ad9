import type { BenchmarkResult, Comparison, Goal } from '../report/report.ts'
import type { CellResults } from './measure-cells.ts'
import { failuresOf, measurementOf, noisyRows, oddities } from './measurement.ts'

/** The result of a benchmark that is made of cells. */
export function outcomeOf(
  name: string,
  { results, skipped }: CellResults,
  judged: {
    readonly comparisons?: readonly Comparison[]
    readonly goals?: readonly Goal[]
  } = {},
): BenchmarkResult {
  const measurements = results.map(measurementOf)
  const noisy = noisyRows(measurements)
  const notes = oddities(results)
  if (noisy.length > 0) {
    notes.push(`server CPU varies by more than 15 % between rounds: ${noisy.join(', ')}`)
  }
  return {
    name,
    measurements,
    comparisons: judged.comparisons ?? [],
    goals: judged.goals ?? [],
    skipped,
    notes,
    failures: failuresOf(results),
  }
}
