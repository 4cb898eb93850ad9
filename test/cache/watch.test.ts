import t from 'tap'
import type { Transport } from '../../lib/farm/transport.ts'
import { HybridClock } from '../../lib/record/hybrid-clock.ts'
import { tables } from '../../lib/record/key.ts'
import type { CacheRecord } from '../../lib/record/record.ts'
import { Revocations } from '../../lib/resumption/revocation/revocation.ts'
import { encodeRevocation } from '../../lib/resumption/revocation/revocation-record.ts'
import { keyOf } from '../../lib/resumption/revocation/revocation-target.ts'
import { recordingCache } from '../fixtures/cache/recording-cache.ts'

const { state, auth, revocation } = tables
const key = Buffer.from('key')
const value = Buffer.from('value')
const begin = 1_000_000
const clock = { now: () => begin, monotonic: () => begin, after: () => ({ cancel() {} }) }

/** As another member writes it. */
function record(given: Partial<CacheRecord> = {}): CacheRecord {
  return {
    table: state,
    key,
    value,
    version: { ms: begin, logical: 0, node: 2 },
    expiresAt: begin + 60_000,
    tombstone: false,
    ...given,
  }
}

function watched(transport: Partial<Transport> = {}) {
  const told: CacheRecord[] = []
  const made = recordingCache(clock, 1, transport)
  const unwatch = made.cache.watch(state, given => void told.push(given))
  return { ...made, told, unwatch }
}

t.test('whoever watches a table is told of all that changes it', async t => {
  t.test('written here', async t => {
    const { cache, told } = watched()
    await cache.add(state, key, value, { ttl: 1_000 })
    await cache.update(state, key, Buffer.from('other'), { ttl: 1_000 })
    await cache.delete(state, key)
    t.match(told, [{ key, value }, { value: Buffer.from('other') }, { tombstone: true }])
    await cache.update(state, key, value, { ttl: 1_000 })
    await cache.add(auth, key, value, { ttl: 1_000 })
    t.equal(told.length, 3, 'and of nothing else')
  })

  t.test('told by another member', async t => {
    const { cache, told } = watched()
    t.equal(cache.apply(record()), true)
    t.same(told, [record()])
    t.equal(cache.apply(record()), false, 'once')
    cache.apply(record({ version: { ms: begin - 1, logical: 0, node: 2 } }))
    cache.apply(record({ key: Buffer.from('over'), expiresAt: begin }))
    cache.apply(record({ key: value, version: { ms: begin * 2, logical: 0, node: 2 } }))
    t.equal(told.length, 1, 'not of what is older, over or from the future')
  })

  t.test('found elsewhere', async t => {
    const { cache, told } = watched({ fetch: async () => record() })
    t.ok(await Promise.all([cache.get(state, key), cache.get(state, key)]))
    t.same(told, [record()], 'once for all who asked')
  })

  t.test('written with a version of its own', async t => {
    const { cache, told, published } = watched()
    await cache.write(record(), { level: 'all', budget: 7 })
    t.same(told, [record()])
    t.same(published, [{ record: record(), level: 'all', budget: 7 }])
    t.same(cache.read(state, key), record())
    await cache.write(record())
    t.equal(told.length, 1)
    t.equal(published.length, 2, 'the others may lack what is here')
  })
})

t.test('whoever watches is told first', async t => {
  const { cache, told, published } = watched()
  const order: string[] = []
  cache.watch(state, () => void order.push(`told after ${told.length}`))
  const added = cache.add(state, key, value, { ttl: 1_000 })
  order.push(`published ${published.length}`)
  await added
  t.same(order, ['told after 1', 'published 1'])
})

t.test('what a watcher can not take is not acknowledged', async t => {
  const { cache } = watched()
  cache.watch(state, () => {
    throw new Error('no')
  })
  t.throws(() => cache.apply(record()), { message: 'no' })
})

t.test('what one watcher can not take, the others are told all the same', async t => {
  const { cache, published } = recordingCache(clock, 1)
  const told: string[] = []
  cache.watch(state, () => {
    throw new Error('no')
  })
  cache.watch(state, ({ key }) => void told.push(`${key}`))
  t.throws(() => cache.apply(record()), { message: 'no' })
  t.throws(() => cache.add(state, value, value, { ttl: 1_000 }), { message: 'no' })
  t.throws(() => cache.delete(state, key), { message: 'no' })
  await t.rejects(cache.update(state, value, value, { ttl: 1_000 }), { message: 'no' })
  t.same(told, ['key', 'value', 'key', 'value'])
  t.same(
    published.map(({ record }) => `${record.key}`),
    ['value', 'key', 'value'],
    'and so are the other members',
  )
})

t.test('a revocation ends what one of many can not', async t => {
  const { cache, published } = recordingCache(clock, 1)
  const versions = new HybridClock(clock, 1)
  const revocations = new Revocations({ cache, clock, versions, lineageTimeout: 1_000 })
  const told: unknown[] = []
  revocations.onRevoke(() => {
    throw new Error('no')
  })
  revocations.onRevoke(({ target }) => void told.push(target))
  await t.rejects(revocations.revoke({ user: 'ann' }), { message: 'no' })
  t.same(told, [{ user: 'ann' }])
  t.equal(published.length, 1)
  t.equal(revocations.voidsLogin('ann', begin, undefined), true)
})

t.test('who watches no more is told nothing, who begins meanwhile the next', async t => {
  const { cache, told, unwatch } = watched()
  const late: CacheRecord[] = []
  const stop = cache.watch(state, () => {
    unwatch()
    stop()
    cache.watch(state, given => void late.push(given))
  })
  cache.apply(record())
  t.same([told.length, late.length], [1, 0])
  cache.apply(record({ version: { ms: begin, logical: 1, node: 2 } }))
  t.same([told.length, late.length], [1, 1])
})

t.test('a revocation that is found elsewhere takes effect', async t => {
  const target = { user: 'ann' }
  const revoked = record({
    table: revocation,
    key: keyOf(target),
    value: encodeRevocation({ target, at: begin, reason: '', close: true }),
  })
  const { cache } = recordingCache(clock, 1, { fetch: async () => revoked })
  const versions = new HybridClock(clock, 1)
  const revocations = new Revocations({ cache, clock, versions, lineageTimeout: 1_000 })
  const told: unknown[] = []
  revocations.onRevoke(({ target }) => told.push(target))
  t.equal(revocations.voidsLogin('ann', begin, undefined), false)
  await cache.get(revocation, revoked.key)
  t.equal(revocations.voidsLogin('ann', begin, undefined), true)
  t.same(told, [target], 'and closes what is open')
  revocations.close()
  cache.apply({ ...revoked, version: { ms: begin, logical: 9, node: 2 } })
  t.equal(told.length, 1)
})
