import type { Benchmark } from './benchmark.ts'
import {
  type BenchmarkResult,
  type Measure,
  type Measurement,
  nothingMeasured,
} from './report/report.ts'
import { run } from './table.ts'

/** The record table's benchmark in the form of the others. Each figure was measured once. */
export const recordTable: Benchmark = {
  name: 'table',
  about: 'the record table beside Map and lru-cache: speed, bytes, pauses, hit rate',
  async run({ quick, print, progress }) {
    progress.show('table')
    const { fills, hits, goals } = await run({
      quick,
      // Goals come at the end, with those of the other benchmarks.
      print: text => text.startsWith('goal:') || print(text),
    })
    const result: BenchmarkResult = {
      ...nothingMeasured,
      name: 'table',
      measurements: [
        ...fills.map(({ name, ...figures }) =>
          measurement('fill and get', name, figures),
        ),
        ...hits.map(({ name, ...figures }) => measurement('zipf 0.99', name, figures)),
      ],
      goals,
    }
    return { result, tables: [] }
  },
}

function measurement(scenario: string, system: string, figures: object): Measurement {
  const entries = Object.entries(figures)
    .filter(([, value]) => Number.isFinite(value))
    .map(([name, value]): [string, Measure] => [
      name,
      { median: value, q1: value, q3: value, rounds: 1, unit: '' },
    ])
  return { scenario, system, parameters: {}, measures: Object.fromEntries(entries) }
}
