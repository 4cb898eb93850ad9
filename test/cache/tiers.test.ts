import t from 'tap'
import { Cache } from '../../lib/cache/cache.ts'
import { noTier, type Tier } from '../../lib/cache/tier.ts'
import { HybridClock } from '../../lib/record/hybrid-clock.ts'
import { tables } from '../../lib/record/key.ts'
import type { CacheRecord } from '../../lib/record/record.ts'
import { MapTable } from '../fixtures/map-table.ts'

const { state } = tables
const key = Buffer.from('key')
const value = Buffer.from('value')
const begin = 1_000_000

function setUp(...tiers: Partial<Tier>[]) {
  let now = begin
  const clock = { now: () => now, monotonic: () => now, after: () => ({ cancel() {} }) }
  const table = new MapTable({ clock })
  const cache = new Cache({ table, versions: new HybridClock(clock, 1), clock })
  for (const tier of tiers) cache.extend({ ...noTier, ...tier })
  const pass = (ms: number) => {
    now += ms
  }
  return { cache, table, pass }
}

const record: CacheRecord = {
  table: state,
  key,
  value,
  version: { ms: begin, logical: 0, node: 2 },
  expiresAt: begin + 60_000,
  tombstone: false,
}

t.test('a cache without tiers is a whole one', async t => {
  const { cache } = setUp()
  await cache.open()
  t.equal(await cache.add(state, key, value, { ttl: 1_000, level: 'all' }), true)
  t.match(await cache.get(state, key), { value, source: 'local' })
  t.equal(await cache.get(state, Buffer.from('other')), undefined)
  t.match(await cache.purge(state), { everywhere: true, missing: [] })
  await cache.close()
})

t.test('no tier keeps nothing and misses nobody', async t => {
  const { cache } = setUp(noTier)
  await cache.open()
  t.equal(await cache.add(state, key, value, { ttl: 1_000 }), true)
  t.equal(await cache.find(state, Buffer.from('other'), 50), undefined)
  await cache.close()
})

t.test('the nearest is asked first, and the farther ones only after a miss', async t => {
  const asked: string[] = []
  const tier = (name: string, found?: CacheRecord): Partial<Tier> => ({
    get: async () => {
      asked.push(name)
      return found
    },
  })
  const { cache } = setUp(tier('near'), tier('far', record), tier('farthest', record))
  t.match(await cache.get(state, key), { value, source: 'peer' })
  t.same(asked, ['near', 'far'])
  t.match(await cache.get(state, key), { source: 'local' })
  t.equal(asked.length, 2)
})

t.test('what a far tier has is kept in the nearer ones', async t => {
  const put: unknown[] = []
  const { cache, table } = setUp(
    {
      put: async (...given) => {
        put.push(given)
        return true
      },
    },
    { get: async () => record },
  )
  await cache.get(state, key)
  t.same(put, [[record, 'local', 0]])
  t.same(table.read(state, key), record)
  table.purge()
  await cache.get(state, key)
  t.equal(put.length, 2)
})

t.test('a deletion that a near tier knows ends the search', async t => {
  let asked = 0
  const deleted = { ...record, value: Buffer.alloc(0), tombstone: true }
  const { cache } = setUp(
    { get: async () => deleted },
    {
      get: async () => {
        asked += 1
        return record
      },
    },
  )
  t.equal(await cache.get(state, key), undefined)
  t.equal(asked, 0)
  t.equal(cache.isDeleted(state, key), true)
})

t.test('the time that a near tier takes is lost to the farther ones', async t => {
  const budgets: number[] = []
  const { cache, pass } = setUp(
    {
      get: async (_table, _key, budget) => {
        budgets.push(budget)
        pass(30)
        return undefined
      },
    },
    {
      get: async (_table, _key, budget) => {
        budgets.push(budget)
        pass(30)
        return undefined
      },
    },
  )
  t.equal(await cache.find(state, key, 100), undefined)
  t.same(budgets, [100, 70])
  budgets.length = 0
  t.equal(await cache.find(state, key, 20), 'timeout')
  t.same(budgets, [20], 'who is out of time asks nobody')
})

t.test('a write counts as done when every tier says so', async t => {
  const { cache } = setUp({}, { put: async () => false })
  t.equal(await cache.add(state, key, value, { ttl: 1_000 }), false)
  const member = { id: 'b', address: undefined, away: 1 }
  const reach = await setUp({}, { absent: () => [member] }).cache.purge(state)
  t.same(reach, { everywhere: false, reachable: true, missing: [member] })
})

t.test('a cache is as current as the least of its tiers', async t => {
  t.equal(setUp().cache.isCurrent(), true)
  t.equal(setUp({}, {}).cache.isCurrent(), true)
  t.equal(setUp({}, { isCurrent: () => false }, {}).cache.isCurrent(), false)
})

t.test('a tier that refuses ends them all', async t => {
  const closed: string[] = []
  const close = (name: string) => async () => void closed.push(name)
  const { cache } = setUp(
    { close: close('near') },
    { watch: () => Promise.reject(new Error('refused')), close: close('far') },
  )
  await t.rejects(cache.open(), { message: 'refused' })
  t.same(closed, ['near', 'far'])
})
