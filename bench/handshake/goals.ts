import type { Comparison, Goal } from '../report/report.ts'
import { nodeTickets } from '../systems/node-systems.ts'
import type { CellResult } from './measure-cells.ts'
import { compare } from './measurement.ts'
import { scenarioName } from './scenario.ts'

/** Limits the project has set itself, each a ratio of two rows of the same rounds. */
const limits: readonly {
  readonly text: string
  readonly measure: 'serverCpu'
  readonly of: readonly [scenario: string, system: string]
  readonly to: readonly [scenario: string, system: string]
  readonly limit: number
}[] = [
  {
    text: "resumed TLS 1.3, auto: server CPU to Node's shared ticketKeys, which renew nothing",
    measure: 'serverCpu',
    of: ['resume-cross-1.3-p256-stateless', 'handfast'],
    to: ['resume-cross-1.3-p256-stateless', 'node-tickets'],
    limit: 1.2,
  },
  {
    text: "the same to Node's hook for ticket keys, fixed ones, which renews",
    measure: 'serverCpu',
    of: ['resume-cross-1.3-p256-stateless', 'handfast'],
    to: ['resume-cross-1.3-p256-stateless', 'node-hook'],
    limit: 1.1,
  },
  {
    text: 'full TLS 1.3 handshake, auto: server CPU to plain Node',
    measure: 'serverCpu',
    of: ['full-1.3-p256-stateless', 'handfast'],
    to: ['full-1.3-p256-stateless', 'node-tickets'],
    limit: 1.15,
  },
  {
    text: 'the same on one host of several processes',
    measure: 'serverCpu',
    of: ['full-1.3-p256-stateless', 'handfast-workers'],
    to: ['full-1.3-p256-stateless', 'node-tickets'],
    limit: 1.15,
  },
  {
    text: 'TLS 1.3, auto: server CPU of a handshake resumed elsewhere to a full one',
    measure: 'serverCpu',
    of: ['resume-cross-1.3-p256-stateless', 'handfast'],
    to: ['full-1.3-p256-stateless', 'handfast'],
    limit: 1,
  },
  {
    text: 'resumed TLS 1.2, one host: server CPU to a floor of as many processes',
    measure: 'serverCpu',
    of: ['resume-cross-1.2-p256-id', 'handfast-workers'],
    to: ['resume-same-1.2-p256-id', 'node-own'],
    limit: 1.15,
  },
  {
    text: 'the same, each process a host of its own',
    measure: 'serverCpu',
    of: ['resume-cross-1.2-p256-id', 'handfast'],
    to: ['resume-same-1.2-p256-id', 'node-own'],
    limit: 1.25,
  },
  {
    text: 'resumed TLS 1.2, one host: server CPU to Node + Redis',
    measure: 'serverCpu',
    of: ['resume-cross-1.2-p256-id', 'handfast-workers'],
    to: ['resume-cross-1.2-p256-id', 'node-redis'],
    limit: 0.67,
  },
  {
    text: 'the same, each process a host of its own',
    measure: 'serverCpu',
    of: ['resume-cross-1.2-p256-id', 'handfast'],
    to: ['resume-cross-1.2-p256-id', 'node-redis'],
    limit: 0.67,
  },
  {
    text: 'resumed TLS 1.2, one host with a Redis under it: server CPU to Node + Redis',
    measure: 'serverCpu',
    of: ['resume-cross-1.2-p256-id', 'handfast-redis'],
    to: ['resume-cross-1.2-p256-id', 'node-redis'],
    limit: 0.6,
  },
  {
    text: "resumed TLS 1.3, stateful: server CPU to Node's shared ticketKeys",
    measure: 'serverCpu',
    of: ['resume-cross-1.3-p256-stateful', 'handfast-stateful'],
    to: ['resume-cross-1.3-p256-stateless', 'node-tickets'],
    limit: 1.5,
  },
  {
    text: 'the same to Apache + memcached',
    measure: 'serverCpu',
    of: ['resume-cross-1.3-p256-stateful', 'handfast-stateful'],
    to: ['resume-cross-1.3-p256-stateful', 'apache'],
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

/** What of a chain of single-use tickets over random members did not resume: nothing may. */
export function judgeChains(results: readonly CellResult[]): Goal[] {
  return results.flatMap(({ cell: { scenario, system }, rounds }) => {
    if (scenario.visit !== 'chain' || !system.mustResume) return []
    const sum = (of: 'done' | 'resumed') =>
      rounds.reduce((total, round) => total + round[of], 0)
    const value = 1 - sum('resumed') / Math.max(1, sum('done'))
    const text = `${scenarioName(scenario)} ${system.name}: share that did not resume`
    return [{ text, limit: 0, value, met: value === 0 }]
  })
}

/**
 * Whether handshakes of one system cost the same however many members there are. Where all members
 * share a machine more processes are dearer for anybody: where plain Node was measured in as many,
 * the same is said of the ratio to it.
 */
export function judgeGrowth(results: readonly CellResult[]): Goal[] {
  const floors = results.filter(({ cell }) => cell.system === nodeTickets)
  const judged = results.filter(result => !floors.includes(result))
  return [...new Set(judged.map(({ cell }) => scenarioName(cell.scenario)))].flatMap(
    name => {
      const isOf = ({ cell }: CellResult): boolean => scenarioName(cell.scenario) === name
      const bySize = judged.filter(isOf).sort((a, b) => a.cell.members - b.cell.members)
      const [smallest, largest] = [bySize[0], bySize.at(-1)]
      const text =
        `server CPU of ${name} with ${largest?.cell.members} members ` +
        `to ${smallest?.cell.members}`
      const toFloor = (result: CellResult | undefined): CellResult | undefined =>
        relativeTo(
          floors.filter(isOf).find(({ cell }) => cell.members === result?.cell.members),
          result,
        )
      const comparison = compare('serverCpu', largest, smallest)
      const relative = compare('serverCpu', toFloor(largest), toFloor(smallest))
      return [
        ...(comparison === undefined ? [] : [goalOf(text, growthLimit, comparison)]),
        ...(relative === undefined
          ? []
          : [
              goalOf(
                `${text}, each of as many processes of plain Node`,
                growthLimit,
                relative,
              ),
            ]),
      ]
    },
  )
}

/** The same rounds, with server CPU as a part of what the floor used in that round. */
function relativeTo(
  floor: CellResult | undefined,
  result: CellResult | undefined,
): CellResult | undefined {
  if (floor === undefined || result === undefined) return undefined
  const rounds = result.rounds.map((round, at) => {
    const used = floor.rounds[at]?.serverCpu
    const { serverCpu } = round
    const isKnown = serverCpu !== undefined && used !== undefined
    return { ...round, serverCpu: isKnown ? serverCpu / used : undefined }
  })
  return { ...result, rounds }
}

function goalOf(text: string, limit: number, { ratio, low, high }: Comparison): Goal {
  const met = high <= limit ? true : low > limit ? false : undefined
  return { text, limit, value: ratio, met }
}
