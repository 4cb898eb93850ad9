import { median, pairedRatio } from '../harness/statistics.ts'
import type { Comparison, Goal } from '../report/report.ts'
import { type Row, type Sample, seriesOf } from './rows.ts'

/** Limits the project has set itself, each a ratio of two proxies in the same rounds. */
const limits: readonly {
  readonly text: string
  readonly job: string
  readonly measure: keyof Sample
  readonly to: string
  readonly limit: number
}[] = [
  {
    text: 'CPU per request to http-proxy with a keep-alive agent',
    job: 'small-h1',
    measure: 'cpu',
    to: 'http-proxy',
    limit: 0.6,
  },
  {
    text: 'CPU per request to thirty lines on undici',
    job: 'small-h1',
    measure: 'cpu',
    to: 'undici',
    limit: 1.1,
  },
  {
    text: "p99 to http-proxy's",
    job: 'small-h1',
    measure: 'p99',
    to: 'http-proxy',
    limit: 1,
  },
  {
    text: 'HTTP/2 in front: CPU per request to undici behind bare http2',
    job: 'small-h2',
    measure: 'cpu',
    to: 'undici',
    limit: 1.2,
  },
  {
    text: '1 MiB bodies: CPU per request to undici',
    job: 'mib-h1',
    measure: 'cpu',
    to: 'undici',
    limit: 1.05,
  },
  {
    text: 'a new connection with one request: CPU to the same on bare https and undici',
    job: 'new-connection',
    measure: 'cpu',
    to: 'undici',
    limit: 1.2,
  },
]

export function judgeProxies(rows: readonly Row[]): {
  readonly goals: readonly Goal[]
  readonly comparisons: readonly Comparison[]
} {
  const judged = limits.flatMap(({ text, job, measure, to, limit }) => {
    const comparison = compare(rows, job, measure, to)
    if (comparison === undefined) return []
    const { ratio, low, high } = comparison
    const met = high <= limit ? true : low > limit ? false : undefined
    return [{ goal: { text, limit, value: ratio, met }, comparison }]
  })
  const gc = judgeGc(rows)
  return {
    goals: [...judged.map(({ goal }) => goal), ...(gc === undefined ? [] : [gc])],
    comparisons: judged.map(({ comparison }) => comparison),
  }
}

/** The garbage collector's part of the processor time, small requests by HTTP/1.1. */
function judgeGc(rows: readonly Row[]): Goal | undefined {
  const row = rows.find(({ job, system }) => job === 'small-h1' && system === 'handfast')
  const shares = row && seriesOf(row, 'gc')
  if (shares === undefined) return undefined
  const text = 'part of the CPU that the garbage collector takes'
  const value = median(shares)
  return { text, limit: 0.06, value, met: value <= 0.06 }
}

function compare(
  rows: readonly Row[],
  job: string,
  measure: keyof Sample,
  to: string,
): Comparison | undefined {
  const find = (system: string): readonly number[] | undefined => {
    const row = rows.find(one => one.job === job && one.system === system)
    return row === undefined ? undefined : seriesOf(row, measure)
  }
  const values = find('handfast')
  const base = find(to)
  if (values === undefined || base === undefined) return undefined
  return {
    measure,
    of: `${job} handfast`,
    to: `${job} ${to}`,
    ...pairedRatio(values, base),
  }
}
