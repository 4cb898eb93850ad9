import { once } from 'node:events'
import { PostgresServer, withoutPostgres } from '../../test/fixtures/postgres/server.ts'
import { noRedis, RedisServer } from '../../test/fixtures/redis/server.ts'
import { type StoreName, storeNames } from '../../test/fixtures/state/session-stores.ts'
import type { BenchmarkContext } from '../benchmark.ts'
import { forkChild, stopChild } from '../harness/child.ts'
import { treeCpu } from '../harness/process-cpu.ts'
import { seededRandom, shuffled } from '../harness/random.ts'
import { Shoppers } from './shoppers.ts'

const clients = 200
const connections = 8
/** Before anything counts: until then V8 compiles, and the more code a store has the longer. */
const warmUp = 8_000

/** Microseconds of processor time for each request, of the server process, by round. */
export interface SessionCosts {
  readonly store: StoreName
  readonly cpu: number[]
}

/**
 * Express with express-session on each store, nine looks and a change; all in each round. What it
 * costs on MemoryStore is Express, express-session and Node: no store can be below it.
 */
export async function measureSessions(
  { quick, seed, progress, calibration }: BenchmarkContext,
  skipped: string[],
): Promise<readonly SessionCosts[]> {
  const rounds = quick ? 5 : 15
  const requests = quick ? 1_000 : 3_000
  const endings: (() => unknown)[] = []
  const scope = { teardown: (fn: () => unknown) => endings.push(fn) }
  try {
    const urls = await databases(scope, skipped)
    const running = await Promise.all(
      storeNames.map(async store => {
        const onRedis = store.includes('edis')
        const url = store === 'MemoryStore' ? '' : onRedis ? urls.redis : urls.postgres
        return url === undefined ? [] : [await start(scope, store, url)]
      }),
    )
    const systems = running.flat()
    const random = seededRandom(seed)
    progress.expect(systems.length * (rounds + 1))
    for (const { costs, shoppers } of systems) {
      progress.step(`sessions on ${costs.store}, warming up`)
      await shoppers.shop(warmUp, connections)
    }
    for (let round = 0; round < rounds; round += 1) {
      calibration.take()
      for (const { costs, shoppers, pid } of shuffled(systems, random)) {
        progress.step(`sessions on ${costs.store}`)
        const before = treeCpu(pid)
        await shoppers.shop(requests, connections)
        const after = treeCpu(pid)
        if (before === undefined || after === undefined) continue
        costs.cpu.push(((after - before) * 1_000) / requests)
      }
    }
    return systems.map(({ costs }) => costs)
  } finally {
    for (const end of endings.reverse()) await end()
  }
}

interface Scope {
  teardown(fn: () => unknown): void
}

async function databases(scope: Scope, skipped: string[]) {
  const urls: { postgres?: string; redis?: string } = {}
  if (withoutPostgres) skipped.push(`sessions on PostgreSQL: ${withoutPostgres}`)
  else urls.postgres = (await PostgresServer.start(scope)).url
  if (noRedis) skipped.push(`sessions on Redis: ${noRedis}`)
  else urls.redis = (await RedisServer.start(scope)).url
  return urls
}

async function start(scope: Scope, store: StoreName, url: string) {
  const child = forkChild(new URL('./session-process.ts', import.meta.url))
  scope.teardown(() => stopChild(child))
  child.send({ store, url })
  const [port] = (await once(child, 'message')) as [number]
  const shoppers = new Shoppers(port, clients, connections)
  scope.teardown(() => shoppers.close())
  await shoppers.open()
  const costs: SessionCosts = { store, cpu: [] }
  return { costs, shoppers, pid: child.pid as number }
}
