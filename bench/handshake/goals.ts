import type { Comparison, Goal } from '../report/report.ts'
import type { CellResult } from './measure-cells.ts'
import { compare } from './measurement.ts'
import { scenarioName } from './scenario.ts'

/** Limits the project has set itself, each a ratio of two rows of the same rounds. */
const limits: readonly {
  readonly text: string
  readonly measure: 'serverCpu' | 'p50'
  readonly of: readonly [scenario: string, system: string]
  readonly to: readonly [scenario: string, system: string]
  readonly limit: number
}[] = [
  {
    text: "server CPU of a resumed TLS 1.2 handshake to Node's floor",
    measure: 'serverCpu',
    of: ['resume-cross-1.2-p256-id', 'handfast'],
    to: ['resume-cross-1.2-p256-id', 'node-map'],
    limit: 1.05,
  },
  {
    text: 'the same to a floor of as many processes, each with its own sessions',
    measure: 'serverCpu',
    of: ['resume-cross-1.2-p256-id', 'handfast'],
    to: ['resume-same-1.2-p256-id', 'node-own'],
    limit: 1.05,
  },
  {
    text: 'server CPU of a resumed TLS 1.2 handshake to Node + Redis',
    measure: 'serverCpu',
    of: ['resume-cross-1.2-p256-id', 'handfast'],
    to: ['resume-cross-1.2-p256-id', 'node-redis'],
    limit: 0.55,
  },
  {
    text: "resumed TLS 1.3 auto, 3 members: server CPU to Node's shared ticketKeys",
    measure: 'serverCpu',
    of: ['resume-cross-1.3-p256-stateless', 'handfast'],
    to: ['resume-cross-1.3-p256-stateless', 'node-tickets'],
    limit: 1.2,
  },
  {
    text: 'full TLS 1.3 handshake, auto: server CPU to plain Node',
    measure: 'serverCpu',
    of: ['full-1.3-p256-stateless', 'handfast'],
    to: ['full-1.3-p256-stateless', 'node-tickets'],
    limit: 1.15,
  },
  {
    text: "stateful TLS 1.3, resumed: server CPU to Node's shared ticketKeys",
    measure: 'serverCpu',
    of: ['resume-cross-1.3-p256-stateful', 'handfast-stateful'],
    to: ['resume-cross-1.3-p256-stateless', 'node-tickets'],
    limit: 1.5,
  },
  {
    text: 'server CPU of a resumed TLS 1.3 handshake to Apache + memcached',
    measure: 'serverCpu',
    of: ['resume-cross-1.3-p256-stateful', 'handfast-stateful'],
    to: ['resume-cross-1.3-p256-stateful', 'apache'],
    limit: 1,
  },
  {
    text: "p50 latency of a resumed TLS 1.2 handshake to Node's floor",
    measure: 'p50',
    of: ['resume-cross-1.2-p256-id', 'handfast'],
    to: ['resume-cross-1.2-p256-id', 'node-map'],
    limit: 1.05,
  },
  {
    text: 'the same to a floor of as many processes, each with its own sessions',
    measure: 'p50',
    of: ['resume-cross-1.2-p256-id', 'handfast'],
    to: ['resume-same-1.2-p256-id', 'node-own'],
    limit: 1.05,
  },
  {
    text: 'server CPU of a TLS 1.3 handshake resumed elsewhere to a full one',
    measure: 'serverCpu',
    of: ['resume-cross-1.3-p256-stateful', 'handfast'],
    to: ['full-1.3-p256-stateful', 'handfast'],
    limit: 1,
  },
]

/** What a handshake may cost in the largest farm, to the smallest. */
const growthLimit = 1.05

/** The goals that these results can say something about. */
export function judgeGoals(
  results: readonly CellResult[],
): { readonly goal: Goal; readonly comparison: Comparison }[] {
  const find = ([scenario, system]: readonly [string, string]): CellResult | undefined =>
    results.find(
      ({ cell }) =>
        cell.system.name === system &&
        cell.rtt === 0 &&
        scenarioName(cell.scenario) === scenario,
    )
  return limits.flatMap(({ text, measure, of, to, limit }) => {
    const comparison = compare(measure, find(of), find(to))
    if (comparison === undefined) return []
    return [{ goal: goalOf(text, limit, comparison), comparison }]
  })
}

/** Whether handshakes of one system cost the same however many members there are. */
export function judgeGrowth(results: readonly CellResult[]): Goal[] {
  return [...new Set(results.map(({ cell }) => scenarioName(cell.scenario)))].flatMap(
    name => {
      const bySize = results
        .filter(({ cell }) => scenarioName(cell.scenario) === name)
        .sort((a, b) => a.cell.members - b.cell.members)
      const [smallest, largest] = [bySize[0], bySize.at(-1)]
      const comparison = compare('serverCpu', largest, smallest)
      if (comparison === undefined) return []
      const text =
        `server CPU of ${name} with ${largest?.cell.members} members ` +
        `to ${smallest?.cell.members}`
      return [goalOf(text, growthLimit, comparison)]
    },
  )
}

function goalOf(text: string, limit: number, { ratio, low, high }: Comparison): Goal {
  const met = high <= limit ? true : low > limit ? false : undefined
  return { text, limit, value: ratio, met }
}
