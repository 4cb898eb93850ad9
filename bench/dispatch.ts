import type { Benchmark } from './benchmark.ts'
import { median, medianInterval, pairedRatio } from './harness/statistics.ts'
import { handfast } from './proxying/handfast.ts'
import { measureProxies, type ProxyJob } from './proxying/measure.ts'
import { measurementOf, proxyTable, type Row, type Sample } from './proxying/rows.ts'
import type { Goal } from './report/report.ts'

/** The same proxy, with more and more to think of before a request goes to its backend. */
const systems = [
  handfast('as it comes', 'handfast proxy, one backend, no options'),
  handfast('queue', 'priorities and classes, and nobody has to wait', {
    site: ['queue: { classes: [{ headers: { X-Tier: gold }, priority: high }] }'],
  }),
  handfast('all', 'affinity by cookie, a check, routes, classes, fields set', {
    site: [
      'affinity: { by: cookie }',
      'health: { check: { path: /small, interval: 1s } }',
      'queue: { classes: [{ headers: { X-Tier: gold }, priority: high }] }',
      'routes:',
      '  - { path: /pay, queue: { priority: high } }',
      '  - { path: /reports, methods: [POST], queue: { priority: low } }',
      '  - { path: /small, requestHeaders: { set: { X-From: proxy } } }',
    ],
  }),
]

const jobs: readonly ProxyJob[] = [
  // Two at a time: what is measured is the way, not the wait for others.
  { name: 'latency', kind: 'h1', body: 'small', concurrency: 2, requests: 2_000 },
  { name: 'cpu', kind: 'h1', body: 'small', concurrency: 50, requests: 6_000 },
].map(job => ({ ...job, cookies: true }) as ProxyJob)

/** What choosing a backend with all that belongs to it adds to a request. */
export const dispatch: Benchmark = {
  name: 'dispatch',
  about: 'what affinity, health, routes and the queue add to a proxied request',
  async run(context) {
    const rounds = context.quick ? 5 : 15
    const measured = await measureProxies(systems, jobs, rounds, context)
    const { rows, skipped, failures } = measured
    const ratio = pairedRatio(...pair(rows, 'cpu', 'cpu', 'queue'))
    const [all, base] = pair(rows, 'latency', 'p99', 'all')
    const added = all.map((value, round) => value - (base[round] as number))
    return {
      result: {
        name: 'dispatch',
        measurements: rows.map(measurementOf),
        comparisons: [
          { measure: 'cpu', of: 'cpu queue', to: 'cpu as it comes', ...ratio },
        ],
        goals: [
          goal(
            'ms that all of it adds at p99',
            0.2,
            median(added),
            medianInterval(added),
          ),
          goal('CPU of a queue that nobody waits in', 1.05, ratio.ratio, ratio),
        ],
        skipped,
        notes: [],
        failures,
      },
      tables: [proxyTable(`Requests to one backend, ${rounds} rounds`, rows)],
    }
  },
}

/** Of one job and measure: a system's rounds, and those of the proxy as it comes. */
function pair(
  rows: readonly Row[],
  job: string,
  measure: keyof Sample,
  system: string,
): [number[], number[]] {
  const of = (name: string): number[] =>
    rows
      .filter(row => row.job === job && row.system === name)
      .flatMap(({ samples }) => samples.map(sample => sample[measure] ?? Number.NaN))
  return [of(system), of('as it comes')]
}

function goal(
  text: string,
  limit: number,
  value: number,
  { low, high }: { readonly low: number; readonly high: number },
): Goal {
  const met = high <= limit ? true : low > limit ? false : undefined
  return { text, limit, value, met }
}
