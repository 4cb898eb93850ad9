import type { Benchmark } from './benchmark.ts'
import { pairedRatio, summarize } from './harness/statistics.ts'
import type { Comparison, Goal, Measurement } from './report/report.ts'
import { measureReads } from './state/reads.ts'
import { measureSessions } from './state/sessions.ts'
import { measureWrites } from './state/writes.ts'

/** Microseconds of processor time, by round. */
interface Series {
  readonly scenario: string
  readonly system: string
  readonly cpu: readonly number[]
}

/** Limits that the project has set itself, each a ratio in the same rounds. */
const limits: readonly {
  readonly text: string
  readonly of: string
  readonly to: string
  readonly limit: number
}[] = [
  {
    text: 'a set through to PostgreSQL, its own CPU included, to the statement itself',
    of: 'set',
    to: 'statement',
    limit: 1.1,
  },
  {
    text: "CPU of a request with a session on PostgreSQL to connect-pg-simple's",
    of: 'handfast on PostgreSQL',
    to: 'connect-pg-simple',
    limit: 0.5,
  },
  {
    text: "CPU of a request with a session on Redis to connect-redis'",
    of: 'handfast on Redis',
    to: 'connect-redis',
    limit: 0.8,
  },
]

/** Application state beside what people use instead. */
export const state: Benchmark = {
  name: 'state',
  about:
    'application state: reads from the cache, writes to PostgreSQL, sessions in Express',
  async run(context) {
    const skipped: string[] = []
    const reads = await measureReads(context)
    const writes = await measureWrites(context, skipped)
    const sessions = await measureSessions(context, skipped)
    const series: Series[] = [
      ...writes.map(({ writer, total }) => ({
        scenario: 'write',
        system: writer,
        cpu: total,
      })),
      ...writes.map(({ writer, own }) => ({
        scenario: 'write, without PostgreSQL',
        system: `${writer} alone`,
        cpu: own,
      })),
      ...sessions.map(({ store, cpu }) => ({
        scenario: 'request with a session',
        system: store,
        cpu,
      })),
    ]
    const { goals, comparisons } = judge(series)
    return {
      result: {
        name: 'state',
        measurements: series.map(measurementOf),
        comparisons,
        goals: [...reads.goals, ...goals],
        skipped,
        notes: reads.notes,
        failures: reads.failures,
      },
      tables: [
        {
          title: 'Application state: CPU of each, µs',
          columns: ['what', 'with', 'CPU µs', '±'],
          rows: series.map(one => {
            const { median, q1, q3 } = summarize(one.cpu)
            const { scenario, system } = one
            return [scenario, system, median.toFixed(1), (q3 - q1).toFixed(1)]
          }),
        },
      ],
    }
  },
}

function measurementOf({ scenario, system, cpu }: Series): Measurement {
  const measures = { cpu: { ...summarize(cpu), unit: 'µs' } }
  return { scenario, system, parameters: {}, measures }
}

function judge(series: readonly Series[]): {
  readonly goals: readonly Goal[]
  readonly comparisons: readonly Comparison[]
} {
  const find = (name: string) => series.find(({ system }) => system === name)?.cpu
  const judged = limits.flatMap(({ text, of, to, limit }) => {
    const [values, base] = [find(of), find(to)]
    if (!values?.length || !base?.length) return []
    const comparison = { measure: 'cpu', of, to, ...pairedRatio(values, base) }
    const { ratio, low, high } = comparison
    const met = high <= limit ? true : low > limit ? false : undefined
    return [{ goal: { text, limit, value: ratio, met }, comparison }]
  })
  return {
    goals: judged.map(({ goal }) => goal),
    comparisons: judged.map(({ comparison }) => comparison),
  }
}
