import { setTimeout as pause } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { Database } from '../../lib/state/database.ts'
import { postgres } from '../../plugins/postgres/database.ts'
import { redisDatabase } from '../../plugins/redis/database.ts'
import { PostgresServer, withoutPostgres } from '../fixtures/postgres/server.ts'
import { seededRandom, testSeed } from '../fixtures/random.ts'
import { noRedis, RedisServer } from '../fixtures/redis/server.ts'
import {
  type Look,
  type TriedChange,
  wrongInHistory,
} from '../fixtures/state/version-history.ts'
import { until } from '../fixtures/until.ts'

const seconds = Number(process.env['SECONDS'] ?? 3)
const keys = ['ann', 'bob', 'eve']

t.test('the check of a history knows what can not be', async t => {
  const change = (
    name: string,
    expected: bigint | undefined,
    at: number,
    version?: bigint,
  ) => ({
    name,
    expected,
    calledAt: at,
    answeredAt: version === undefined ? Infinity : at + 1,
    version,
  })
  const look = (name: string, version: bigint, at: number): Look => ({
    name,
    version,
    calledAt: at,
    answeredAt: at + 1,
  })
  const first = change('a', undefined, 0, 1n)
  t.same(wrongInHistory([first, change('b', 1n, 2, 2n)], [look('b', 2n, 9)]), [])
  t.same(wrongInHistory([first, change('b', 1n, 2)], [look('a', 1n, 9)]), [], 'never')
  t.same(wrongInHistory([first, change('b', 1n, 2)], [look('b', 2n, 9)]), [], 'unseen')
  const both = [first, change('b', 1n, 2, 2n), change('c', 1n, 2, 3n)]
  t.match(wrongInHistory(both, [look('c', 3n, 9)]), [/b, .* was lost/], 'a lost update')
  const back = [look('b', 2n, 4), look('a', 1n, 6), look('b', 2n, 9)]
  t.match(wrongInHistory([first, change('b', 1n, 2, 2n)], back), [/1 was shown/])
  t.match(wrongInHistory([first], [look('x', 5n, 9)]), [
    /x was never written/,
    /a, .* lost/,
  ])
})

t.test(
  'PostgreSQL that is killed again and again',
  { skip: withoutPostgres },
  async t => {
    const server = await PostgresServer.start(t)
    const open = () => postgres({ url: server.url, connections: 3 })
    await underKills(t, open, {
      die: () => server.kill(),
      rise: () => server.rise(),
    })
  },
)

t.test('Redis that is killed again and again', { skip: noRedis }, async t => {
  const config = [
    ['appendonly', 'yes'],
    ['appendfsync', 'always'],
  ]
  const server = await RedisServer.start(t, { config })
  const { url } = server
  const open = () => redisDatabase({ url, connectTimeout: 10_000, commandTimeout: 5_000 })
  await underKills(t, open, { die: () => server.stop(), rise: () => server.start() })
})

interface Mortal {
  die(): Promise<void>
  rise(): Promise<void>
}

/** Three servers change three keys under it; `SECONDS` says for how long. */
async function underKills(t: Test, open: () => Database, mortal: Mortal): Promise<void> {
  const seed = testSeed()
  t.comment(`SEED=${seed}`)
  const random = seededRandom(seed)
  const servers = [open(), open(), open()]
  for (const one of servers) {
    t.teardown(() => one.close())
    await one.open()
  }
  const histories = new Map(
    keys.map(key => [key, { changes: [] as TriedChange[], looks: [] as Look[] }]),
  )
  const history = (key: string) =>
    histories.get(key) as { changes: TriedChange[]; looks: Look[] }
  const look = async (one: Database, key: string): Promise<Look> => {
    const calledAt = performance.now()
    const stored = await one.get('kills', key)
    const answeredAt = performance.now()
    const name = stored && String(stored.value)
    const seen = { name, version: stored?.version, calledAt, answeredAt }
    history(key).looks.push(seen)
    return seen
  }
  let names = 0
  const change = async (one: Database, key: string, expected: bigint | undefined) => {
    const tried = { name: `n${names++}`, expected, calledAt: performance.now() }
    try {
      const version = await one.compareAndSet(
        'kills',
        key,
        expected,
        Buffer.from(tried.name),
        undefined,
      )
      if (version === undefined) return
      history(key).changes.push({ ...tried, answeredAt: performance.now(), version })
    } catch (error) {
      if ((error as { code?: string }).code === 'ERR_HANDFAST_DATABASE') return
      history(key).changes.push({ ...tried, answeredAt: Infinity, version: undefined })
    }
  }
  const end = performance.now() + 1_000 * seconds
  // A slow machine may need longer for a change of each.
  const isOver = () =>
    performance.now() >= end && keys.every(key => history(key).changes.length > 0)
  let kills = 0
  const clients = [...servers, ...servers].map(async one => {
    while (!isOver()) {
      const key = keys[Math.floor(random() * keys.length)] as string
      const seen = await look(one, key).catch(() => undefined)
      if (seen !== undefined) await change(one, key, seen.version)
      else await pause(20)
    }
  })
  const killer = (async () => {
    do {
      await pause(300 + 700 * random())
      await mortal.die()
      kills += 1
      await pause(200 * random())
      await mortal.rise()
    } while (performance.now() < end)
  })()
  await Promise.all([...clients, killer])
  for (const key of keys) {
    await until(async () => (await look(servers[0] as Database, key)) !== undefined)
    const { changes, looks } = history(key)
    t.comment(`${key}: ${changes.length} changes, ${looks.length} looks, ${kills} kills`)
    t.ok(changes.length > 0)
    t.same(wrongInHistory(changes, looks), [])
  }
}
