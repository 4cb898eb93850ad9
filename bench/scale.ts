import type { Benchmark, BenchmarkContext } from './benchmark.ts'
import { type Goal, nothingMeasured } from './report/report.ts'
import { type FarmFigures, measureFarms, tls12 } from './scale/measure-farm.ts'
import { costTable, loadTable, measurementsOf } from './scale/presentation.ts'
import { type FarmPlan, sessionBytes } from './scale/scaled-farm.ts'

/** Repositories where nothing else is said. */
const usual = 3
/** Flat: the largest farm costs at most so many times the smallest, at the same rate per host. */
const flat = 1.25

/**
 * Farms of up to 300 proxies in one process and in virtual time. What runs is what runs in a
 * member: engine, placement, cache. Sockets and TLS are not there: what they cost follows from
 * the packets.
 */
export const scale: Benchmark = {
  name: 'scale',
  about: 'what sessions cost and who finds them in farms of 10 to 300, in virtual time',
  async run(context) {
    // The first farm is for the compiler.
    measureFarms([{ topology: 'auto', proxies: 10, repositories: 0 }], context)
    const farms = plansOf(context).flatMap(plans => measureFarms(plans, context))
    return {
      result: {
        ...nothingMeasured,
        name: 'scale',
        measurements: farms.flatMap(measurementsOf),
        goals: goalsOf(farms),
        notes: [
          'CPU is that of the state machines and tables of all hosts; questions of clients ' +
            'that come back are not among the packets, two for each',
          `sealed: ${100 - 100 * tls12} of 100 new sessions are with their clients, which ` +
            'costs nobody a packet, in a farm of any size',
          `a session takes ${sessionBytes} bytes in a table, and is kept for an hour`,
        ],
      },
      tables: [costTable(farms), loadTable(farms)],
    }
  },
}

/** Those that are compared with each other stand together. */
function plansOf({ quick }: BenchmarkContext): FarmPlan[][] {
  const sizes = quick ? [10, 50, 100] : [10, 50, 100, 300]
  const plan = (
    topology: FarmPlan['topology'],
    proxies: number,
    repositories = 0,
  ): FarmPlan => ({ topology, proxies, repositories })
  return [
    sizes.map(proxies => plan('auto', proxies)),
    sizes.map(proxies => plan('tiered', proxies, usual)),
    quick ? [] : [2, 4, 5].map(repositories => plan('tiered', 100, repositories)),
    [10, 50].map(proxies => plan('replicated', proxies)),
  ]
}

function goalsOf(farms: readonly FarmFigures[]): Goal[] {
  const shared = farms.filter(({ plan }) => plan.topology === 'auto')
  const tiered = farms.filter(({ plan }) => plan.repositories === usual)
  const grows = (of: readonly FarmFigures[], figure: (farm: FarmFigures) => number) =>
    Math.max(...of.map(figure)) / figure(of[0] as FarmFigures)
  const [copies, copiesText] = [2, 'one and its acknowledgement for each copy']
  const most = (of: readonly FarmFigures[], figure: (farm: FarmFigures) => number) =>
    Math.max(...of.map(figure))
  const packets = ({ cost, loads }: FarmFigures) =>
    Math.max(cost.packets, ...loads.map(load => load.cost.packets))
  const placed = [...shared, ...tiered]
  const least = Math.min(
    ...placed.flatMap(({ loads }) => loads.map(({ service }) => 1 - service.hits.none)),
  )
  const found = Math.min(...placed.map(({ death }) => death.found))
  return [
    atMost(
      'CPU of a stored session, most proxies to 10, at the same rate of each',
      flat,
      most(shared, ({ cpu }) => cpu.toFirst),
    ),
    atMost(
      `CPU with ${usual} repositories, likewise`,
      flat,
      most(tiered, ({ cpu }) => cpu.toFirst),
    ),
    atMost(
      'packets, likewise',
      flat,
      grows(shared, ({ cost }) => cost.packets),
    ),
    atMost(
      'hosts that hold it, likewise',
      flat,
      grows(shared, ({ cost }) => cost.copies),
    ),
    atMost(`packets at any rate: ${copiesText}`, 2 * copies, most(shared, packets)),
    atMost(
      `packets with ${usual} repositories, most proxies to 10, at the same rate of each`,
      flat,
      grows(tiered, ({ cost }) => cost.packets),
    ),
    atMost(
      `packets with ${usual} repositories at any rate: ${copiesText}`,
      2 * usual,
      most(tiered, packets),
    ),
    atLeast('share of visits that find their session, at any rate', 0.999, least),
    atLeast('... after a host that held it is gone', 0.999, found),
  ]
}

function atMost(text: string, limit: number, value: number): Goal {
  return { text, limit, value, met: value <= limit }
}

function atLeast(text: string, limit: number, value: number): Goal {
  return { text, limit, value, met: value >= limit }
}
