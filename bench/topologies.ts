import { randomBytes } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Source } from '../lib/cache/tier.ts'
import { generateSecret } from '../lib/farm/secret.ts'
import { joinFarm } from '../lib/member/create-farm.ts'
import { Farm, type FarmParts } from '../lib/member/farm.ts'
import type { FarmOptions } from '../lib/member/options.ts'
import { type TableId, tables } from '../lib/record/key.ts'
import { redis } from '../plugins/redis/index.ts'
import type { Benchmark, BenchmarkContext } from './benchmark.ts'
import type { Cell, Effort } from './handshake/cell.ts'
import { judgeGoals } from './handshake/goals.ts'
import { measureCells } from './handshake/measure-cells.ts'
import { cellTable } from './handshake/measurement.ts'
import { outcomeOf } from './handshake/outcome.ts'
import { scenarios } from './handshake/scenario.ts'
import { quantile } from './harness/statistics.ts'
import type { TextTable } from './harness/text-table.ts'
import type { Goal, Measurement } from './report/report.ts'
import {
  handfastRedis,
  handfastWorkers,
  nodeOwn,
  nodeRedis,
} from './systems/node-systems.ts'
import { findProgram } from './systems/program.ts'
import { startRedis } from './systems/store.ts'

/** Of a session with a P-256 certificate, bytes. */
const sessionLength = 180
/** Longest wait of a lookup, ms: nobody is to give up here. */
const budget = 5_000
const listen = { host: '127.0.0.1', port: 0 }

/** In milliseconds. */
const limits = {
  shelf: { p50: 0.005, p99: 0.1 },
  hub: { p50: 0.2, p99: 2 },
  peer: { p50: 1, p99: 5 },
  redis: { p50: 1, p99: 5 },
} as const

type Way = keyof typeof limits

/** Where a find says that it was. */
const sources: { readonly [way in Way]: Source } = {
  shelf: 'local',
  hub: 'peer',
  peer: 'peer',
  redis: 'redis',
}

/** A table of which each process of a host has all but what its hub was not told to tell. */
const untold = 200 as TableId

/** What lies between a host and a session that another one made. */
export const topologies: Benchmark = {
  name: 'topologies',
  about:
    'a lookup on the shelf, at the hub, at another member and in Redis; a handshake with a ' +
    'Redis under the farm',
  async run(context) {
    const effort: Effort = context.quick
      ? { rounds: 5, single: 24, loaded: 96, concurrency: 8, warmUp: 60 }
      : { rounds: 11, single: 60, loaded: 400, concurrency: 8, warmUp: 1500 }
    const visits = (visit: 'resume-cross' | 'resume-same') =>
      scenarios({ visits: [visit], modes: ['1.2-id'], identities: ['p256'] })
    const { members } = context
    const cells = [
      ...visits('resume-cross').flatMap(scenario =>
        [handfastRedis, handfastWorkers, nodeRedis].map(
          (system): Cell => ({ scenario, system, members, rtt: 0 }),
        ),
      ),
      ...visits('resume-same').map(
        (scenario): Cell => ({ scenario, system: nodeOwn, members, rtt: 0 }),
      ),
    ]
    const lookups = await measureLookups(context)
    const measured = await measureCells(cells, effort, context)
    const judged = judgeGoals(measured.results)
    const result = outcomeOf('topologies', measured, {
      comparisons: judged.map(({ comparison }) => comparison),
      goals: [...lookups.goals, ...judged.map(({ goal }) => goal)],
    })
    return {
      result: {
        ...result,
        measurements: [...lookups.measurements, ...result.measurements],
        skipped: [...lookups.skipped, ...result.skipped],
      },
      tables: [
        lookups.table,
        cellTable(
          `Redis under a farm: ${effort.rounds} rounds`,
          result.measurements.filter(({ system }) => system !== 'lookup'),
        ),
      ],
    }
  },
}

interface Lookups {
  readonly table: TextTable
  readonly measurements: readonly Measurement[]
  readonly goals: readonly Goal[]
  readonly skipped: readonly string[]
}

/** One at a time, in turns, each of a session that was never asked for before. */
async function measureLookups({
  quick,
  folder,
  progress,
}: BenchmarkContext): Promise<Lookups> {
  progress.show('lookups')
  const count = quick ? 1_000 : 10_000
  const closers: (() => Promise<void>)[] = []
  const member = async (options: FarmOptions): Promise<FarmParts> => {
    const parts = await joinFarm({ host: false, ...options })
    const farm = new Farm(parts)
    closers.push(() => farm.close())
    return parts
  }
  try {
    const secret = generateSecret()
    const far = await member({ secret, listen })
    const members = [far.member.address() ?? '']
    const asker: Partial<Record<Way, FarmParts>> = {
      peer: await member({ secret, listen, members }),
    }
    const host = join(folder, 'host')
    await mkdir(host, { mode: 0o700 })
    const hub = await member({ secret, listen, host })
    asker.shelf = await member({ secret, listen, host })
    asker.hub = asker.shelf
    const { missing } = findProgram('redis-server', 'valkey-server')
    let writer: FarmParts | undefined
    if (missing === undefined) {
      const store = await startRedis(folder)
      closers.unshift(() => store.close())
      const tiers = [redis(`redis://127.0.0.1:${store.port}`)]
      writer = await member({ secret, tiers })
      asker.redis = await member({ secret, tiers })
    }
    const write: { readonly [way in Way]: (key: Buffer, value: Buffer) => unknown } = {
      shelf: (key, value) => hub.cache.add(tables.session, key, value, { ttl: 60_000 }),
      hub: (key, value) => hub.cache.apply(recordOf(untold, key, value)),
      peer: (key, value) => far.table.put(recordOf(tables.session, key, value)),
      redis: (key, value) =>
        writer?.cache.add(tables.session, key, value, { ttl: 60_000 }),
    }
    const times: Record<Way, number[]> = { shelf: [], hub: [], peer: [], redis: [] }
    for (let n = 0; n < count; n += 1) {
      for (const [way, parts] of Object.entries(asker) as [Way, FarmParts][]) {
        const [key, value] = [randomBytes(32), randomBytes(sessionLength)]
        await write[way](key, value)
        const table = way === 'hub' ? untold : tables.session
        const began = performance.now()
        const found = await parts.cache.find(table, key, budget)
        const time = performance.now() - began
        if (found === undefined || found === 'timeout' || found.source !== sources[way]) {
          throw new Error(`a session was not found by way of ${way}`)
        }
        // The first ones are compiled on the way.
        if (n >= count / 10) times[way].push(time)
      }
    }
    return reportOf(times, missing)
  } finally {
    for (const close of closers.reverse()) await close()
  }
}

function recordOf(table: TableId, key: Buffer, value: Buffer) {
  const now = Date.now()
  return {
    table,
    key,
    value,
    version: { ms: now, logical: 0, node: 1 },
    expiresAt: now + 60_000,
    tombstone: false,
  }
}

function reportOf(times: Record<Way, number[]>, missing: string | undefined): Lookups {
  const ways = (Object.keys(times) as Way[]).filter(way => times[way].length > 0)
  const figures = ways.map(way => ({
    way,
    p50: quantile(times[way], 0.5),
    p99: quantile(times[way], 0.99),
  }))
  const measure = (value: number) => ({
    ...{ median: value, q1: value, q3: value, rounds: 1 },
    unit: 'ms',
  })
  return {
    skipped: missing === undefined ? [] : [missing],
    table: {
      title: 'A session that is not here, on loopback, ms',
      columns: ['found by way of', 'p50', 'p99'],
      rows: figures.map(({ way, p50, p99 }) => [way, p50.toFixed(4), p99.toFixed(3)]),
    },
    measurements: figures.map(({ way, p50, p99 }) => ({
      scenario: `lookup-${way}`,
      system: 'lookup',
      parameters: {},
      measures: { p50: measure(p50), p99: measure(p99) },
    })),
    goals: figures.flatMap(({ way, p50, p99 }) =>
      (
        [
          ['p50', p50],
          ['p99', p99],
        ] as const
      ).map(([name, value]) => ({
        text: `lookup by way of ${way}, ${name}, ms`,
        limit: limits[way][name],
        value,
        met: value <= limits[way][name],
      })),
    ),
  }
}
