import t from 'tap'
import type { Transport } from '../../lib/farm/transport.ts'
import { maxClockLead } from '../../lib/record/hybrid-clock.ts'
import { tables } from '../../lib/record/key.ts'
import type { CacheRecord } from '../../lib/record/record.ts'
import { recordingCache } from '../fixtures/cache/recording-cache.ts'

const key = Buffer.from('key')
const value = Buffer.from('value')
const { state } = tables

function setUp(transport: Partial<Transport> = {}) {
  let now = 1_000_000
  const clock = { now: () => now, monotonic: () => now, after: () => ({ cancel() {} }) }
  const pass = (ms: number) => {
    now += ms
  }
  return { ...recordingCache(clock, 1, transport), pass, now: () => now }
}

t.test('the verbs of row A11', async t => {
  t.test('add writes over, and tells the farm', async t => {
    const { cache, published } = setUp()
    t.equal(await cache.add(state, key, Buffer.from('old'), { ttl: 1000 }), true)
    await cache.add(state, key, value, { ttl: 1000, level: 'all', budget: 7 })
    t.same((await cache.get(state, key))?.value, value)
    t.equal(published.length, 2)
    t.match(published[1], { level: 'all', budget: 7 })
  })

  t.test('update changes what is there and nothing else', async t => {
    const { cache, published } = setUp()
    t.equal(await cache.update(state, key, value, { ttl: 1000 }), false)
    t.equal(published.length, 0)
    await cache.add(state, key, Buffer.from('old'), { ttl: 1000 })
    t.equal(await cache.update(state, key, value, { ttl: 1000 }), true)
    t.same(cache.getLocal(state, key)?.value, value)
  })

  t.test('get finds nothing after the time to live', async t => {
    const { cache, pass } = setUp()
    await cache.add(state, key, value, { ttl: 1000 })
    pass(999)
    t.ok(await cache.get(state, key))
    pass(1)
    t.equal(await cache.get(state, key), undefined)
  })
})

t.test('a deleted record is not brought back by a late replica', async t => {
  const { cache, published, pass } = setUp()
  await cache.add(state, key, value, { ttl: 600_000 })
  await cache.delete(state, key)
  const late = published[0]?.record as CacheRecord
  t.equal(cache.apply(late), false)
  t.equal(cache.getLocal(state, key), undefined)
  t.equal(cache.isDeleted(state, key), true)
  pass(600_001)
  t.equal(cache.apply(late), false, 'not when the record itself has run out either')
  const tombstone = published[1]?.record as CacheRecord
  t.ok(tombstone.expiresAt > late.expiresAt, 'the tombstone outlives the record')
})

t.test('a record from a clock that is far ahead is refused', async t => {
  const { cache, now } = setUp()
  const record: CacheRecord = {
    table: state,
    key,
    value,
    version: { ms: now() + maxClockLead + 1, logical: 0, node: 2 },
    expiresAt: now() + 2 * maxClockLead,
    tombstone: false,
  }
  t.equal(cache.apply(record), false)
  t.equal(cache.apply({ ...record, version: { ...record.version, ms: now() } }), true)
})

t.test('a miss asks the farm', async t => {
  const record = (now: number): CacheRecord => ({
    table: state,
    key,
    value,
    version: { ms: now, logical: 0, node: 2 },
    expiresAt: now + 1000,
    tombstone: false,
  })

  t.test('once for many askers, and keeps the answer', async t => {
    const answers: ((record: CacheRecord) => void)[] = []
    const { cache, now } = setUp({
      fetch: () => new Promise(resolve => answers.push(resolve)),
    })
    const asked = [cache.get(state, key), cache.get(state, key), cache.get(state, key)]
    t.equal(answers.length, 1)
    answers[0]?.(record(now()))
    for (const found of await Promise.all(asked)) {
      t.match(found, { value, source: 'peer' })
    }
    t.equal((await cache.get(state, key))?.source, 'local')
  })

  t.test('but not for a key that was deleted here', async t => {
    let asked = 0
    const { cache } = setUp({
      fetch: async () => {
        asked += 1
        return undefined
      },
    })
    await cache.add(state, key, value, { ttl: 1000 })
    await cache.delete(state, key)
    t.equal(await cache.get(state, key), undefined)
    t.equal(asked, 0)
    t.equal(
      await cache.get(state, Buffer.from('other'), 0),
      undefined,
      'nor without budget',
    )
    t.equal(asked, 0)
  })

  t.test('and a delete that overtakes the answer wins', async t => {
    let answer: (record: CacheRecord) => void = () => {}
    const { cache, now } = setUp({
      fetch: () => new Promise(resolve => (answer = resolve)),
    })
    const asked = cache.get(state, key)
    await cache.delete(state, key)
    answer(record(now() - 1))
    t.equal(await asked, undefined)
  })
})

t.test(
  'nobody waits longer than asked, and each is told why there is nothing',
  async t => {
    const asked: { budget: number; settle: () => void }[] = []
    const { cache, pass } = setUp({
      fetch: (_table, _key, budget) =>
        new Promise(resolve => {
          asked.push({ budget, settle: () => resolve(undefined) })
        }),
    })
    const patient = cache.find(state, key, 5_000)
    const hasty = cache.find(state, key, 50)
    pass(20)
    const joining = cache.find(state, key, 50)
    t.same(
      asked.map(({ budget }) => budget),
      [5_000, 50],
      'who can not wait asks anew, and others ask along',
    )
    pass(30)
    asked[1]?.settle()
    t.equal(await hasty, 'timeout')
    t.equal(await joining, 'timeout', 'though it waited 30 ms only')
    asked[0]?.settle()
    t.equal(await patient, undefined, 'all have answered that they have none')
  },
)

t.test('bad arguments are refused before anything is written', async t => {
  const { cache, published } = setUp()
  t.throws(() => cache.add(state, Buffer.alloc(0), value, { ttl: 1 }), RangeError)
  t.throws(() => cache.add(state, key, value, { ttl: 0 }), RangeError)
  t.throws(() => cache.add(state, key, value, { ttl: Number.NaN }), RangeError)
  t.throws(() => cache.add(state, key, Buffer.alloc(65_537), { ttl: 1 }), RangeError)
  t.equal(published.length, 0)
  cache.close()
  t.throws(() => cache.add(state, key, value, { ttl: 1 }), {
    code: 'ERR_HANDFAST_CLOSED',
  })
})
