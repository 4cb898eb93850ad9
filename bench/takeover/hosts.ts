import { spawn } from 'node:child_process'
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { whyNoNetworks } from '../../test/fixtures/takeover/namespaces.ts'
import type { BenchmarkContext } from '../benchmark.ts'
import { median, pairedRatio } from '../harness/statistics.ts'
import type { TextTable } from '../harness/text-table.ts'
import type { CommitCost, Served } from './commit-cost.ts'
import { type Part, ratioGoal } from './part.ts'

/** A host that dies during downloads of some clients; all times in milliseconds. */
export interface HostDeath {
  /** From the cut of its cable until another one was sure that it is silent. */
  readonly detection: number
  readonly fencing: number
  /** From the first question to a client until the address was there. */
  readonly wait: number
  /** The longest silence of any client. */
  readonly stall: number
  /** Of each client: `right`, `other bytes`, or what curl said. */
  readonly outcomes: readonly string[]
  /** What the other host says that became of them. */
  readonly counted: Readonly<Record<string, number>>
}

/** CPU of a proxy for the same work with and without checkpoints, one of each in each round. */
export interface CheckpointCost {
  readonly what: string
  readonly limit: number
  readonly ratios: readonly number[]
}

export type HostsWord =
  | { readonly step: string }
  | { readonly death: HostDeath; readonly clients: number }
  | { readonly cost: CheckpointCost }
  | { readonly commit: CommitCost }

export const heartbeatTimeout = 300
const many = 100

/** A host that is gone, in networks of their own; and what the others cost while none is. */
export async function hosts({ quick, progress }: BenchmarkContext): Promise<Part> {
  const why = process.platform === 'linux' ? whyNoNetworks() : 'not Linux'
  if (why !== undefined) {
    const skipped = [`takeover of hosts: no network namespaces here (${why})`]
    return { goals: [], tables: [], skipped }
  }
  const [single, crowds]: [HostDeath[], HostDeath[]] = [[], []]
  const [costs, commits]: [CheckpointCost[], CommitCost[]] = [[], []]
  const path = fileURLToPath(
    new URL(`./hosts-process${extname(import.meta.url)}`, import.meta.url),
  )
  const flags = ['-Urnm', process.execPath, ...process.execArgv, path]
  const child = spawn('unshare', [...flags, quick ? 'quick' : 'whole', String(many)], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  const onExit = () => child.kill('SIGKILL')
  process.once('exit', onExit)
  child.on('message', word => {
    const said = word as HostsWord
    if ('step' in said) progress.step(said.step)
    else if ('cost' in said) costs.push(said.cost)
    else if ('commit' in said) commits.push(said.commit)
    else (said.clients === 1 ? single : crowds).push(said.death)
  })
  const code = await new Promise<number | null>(resolve => child.once('close', resolve))
  process.off('exit', onExit)
  const failures = code === 0 ? [] : [`the process of the hosts ended with ${code}`]
  const { tables, ...rest } = part(single, crowds, costs, failures)
  return { ...rest, tables: [...tables, commitTable(commits)] }
}

function part(
  single: readonly HostDeath[],
  crowds: readonly HostDeath[],
  costs: readonly CheckpointCost[],
  failures: readonly string[],
): Part {
  const outcomes = crowds.flatMap(({ outcomes }) => outcomes)
  const wrong = outcomes.filter(outcome => outcome !== 'right')
  const corrupt = [...single, ...crowds].flatMap(({ outcomes }) =>
    outcomes.filter(outcome => outcome === 'other bytes'),
  )
  const reset = (100 * wrong.length) / Math.max(1, outcomes.length)
  const row = (death: HostDeath) => [
    String(death.outcomes.length),
    ...[death.detection, death.fencing, death.wait, death.stall].map(ms => ms.toFixed(0)),
    Object.entries(death.counted)
      .filter(([, count]) => count > 0)
      .map(([what, count]) => `${what} ${count}`)
      .join(', '),
  ]
  return {
    goals: [
      ratioGoal(
        'ms of silence of a 200 MB download beyond the detection',
        50,
        single.map(({ stall, detection }) => stall - detection),
      ),
      {
        text: `% of ${many} connections at once that were not gone on with`,
        limit: 1,
        value: reset,
        met: outcomes.length > 0 && reset <= 1,
      },
      {
        text: 'connections with a wrong byte',
        limit: 0,
        value: corrupt.length,
        met: outcomes.length > 0 && corrupt.length === 0,
      },
      ...costs.map(({ what, limit, ratios }) => ratioGoal(what, limit, ratios)),
    ],
    tables: [
      {
        title: `Hosts that died, heartbeat timeout ${heartbeatTimeout} ms, 400 Mbit/s; ms`,
        columns: ['clients', 'detection', 'fencing', 'moving', 'silence', 'outcomes'],
        rows: [...single, ...crowds].map(row),
      },
      {
        title: 'Checkpoints to another host, CPU with to without',
        columns: ['of', 'median'],
        rows: costs.map(({ what, ratios }) => [what, median(ratios).toFixed(3)]),
      },
    ],
    notes: [...new Set(wrong)].map(outcome => `a client: ${outcome}`),
    failures,
  }
}

/** Medians of all rounds, without it and with it; of how many times as much, the interval too. */
function commitTable(costs: readonly CommitCost[]): TextTable {
  const figures: { readonly [name: string]: (served: Served) => number } = {
    'CPU of the host that serves, us': ({ serving }) => serving,
    'CPU of both hosts, us': ({ serving, other }) => serving + other,
    'p50, ms': ({ p50 }) => p50,
  }
  return {
    title: 'commit: before-response in a farm of two, per request of 1 KB',
    columns: ['requests', 'of', 'without', 'with', 'times', 'from', 'to'],
    rows: costs.flatMap(cost =>
      Object.entries(figures).map(([name, figure]) => {
        const [without, committed] = [cost.without.map(figure), cost.with.map(figure)]
        const { ratio, low, high } = pairedRatio(committed, without)
        const numbers = [median(without), median(committed), ratio, low, high]
        return [cost.what, name, ...numbers.map(number => number.toFixed(2))]
      }),
    ),
  }
}
