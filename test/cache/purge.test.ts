import t from 'tap'
import { mayBePurged } from '../../lib/cache/purge-marks.ts'
import { type TableId, tables } from '../../lib/record/key.ts'
import type { CacheRecord } from '../../lib/record/record.ts'
import { recordingCache } from '../fixtures/cache/recording-cache.ts'

const key = Buffer.from('key')
const value = Buffer.from('value')
const { state, auth } = tables
const writable = Object.values(tables).filter(id => id !== tables.purge)

/** Members whose writes reach nobody until the test hands them over. */
function members(count: number) {
  let now = 1_000_000
  const clock = { now: () => now, monotonic: () => now, after: () => ({ cancel() {} }) }
  const made = Array.from({ length: count }, (_, node) => {
    const { cache, table, published } = recordingCache(clock, node)
    const latest = () => published.at(-1)?.record as CacheRecord
    const has = (name: string, id: TableId = state) =>
      cache.getLocal(id, Buffer.from(name)) !== undefined
    const add = (name: string, id: TableId = state) => {
      void cache.add(id, Buffer.from(name), value, { ttl: 3_600_000 })
      return latest()
    }
    const purge = async (id: TableId = state) => {
      await cache.purge(id)
      return latest()
    }
    return { cache, table, published, has, add, purge }
  })
  const pass = (ms: number) => {
    now += ms
  }
  type Made = (typeof made)[0]
  return { all: made as [Made, Made, Made], pass }
}

t.test('purge empties one virtual table, but none that protects the farm', async t => {
  const { all } = members(1)
  const [{ cache, has, add, published }] = all
  const ids = writable
  for (const id of ids) add('a', id)
  await cache.purge(state)
  t.same(
    ids.filter(id => !has('a', id)),
    [state],
  )
  t.match(published.at(-1)?.record, { table: tables.purge, key: Buffer.of(state) })
  for (const id of [tables.revocation, tables.farm, tables.purge]) {
    await t.rejects(cache.purge(id), { code: 'ERR_HANDFAST_USAGE' })
  }
})

t.test(
  'what was written before a purge goes, what was written after it stays',
  async t => {
    const { all, pass } = members(3)
    const [a, b] = all
    const before = a.add('before')
    const other = a.add('other', auth)
    const mark = await a.purge()
    const after = a.add('after')
    pass(5)
    for (const order of [
      [before, other, mark, after],
      [after, mark, other, before],
      [mark, before, after, other],
      [before, after, other, mark],
    ]) {
      const { all } = members(1)
      for (const record of order) all[0].cache.apply(record)
      t.same([all[0].has('before'), all[0].has('after')], [false, true])
      t.ok(all[0].has('other', auth), 'same time, other table')
    }
    // One that was cut off all the while wrote less and wrote more.
    b.add('mine')
    t.ok(b.cache.apply(mark))
    t.ok(b.has('mine'), 'for it is younger')
    t.notOk(b.cache.apply(mark), 'news only once')
  },
)

t.test('a purge takes tombstones with it, and needs none', async t => {
  const { all } = members(2)
  const [a, b] = all
  const written = a.add('key')
  await a.cache.delete(state, key)
  await a.purge()
  t.notOk(a.cache.isDeleted(state, key))
  t.equal(a.cache.apply(written), false)
  t.notOk(a.has('key'))
  t.equal(b.table.stats().records, 0)
})

t.test('an older mark undoes nothing, whichever comes first', async t => {
  const { all } = members(2)
  const [a] = all
  const first = await a.purge()
  const between = a.add('between')
  const second = await a.purge()
  const after = a.add('after')
  for (const marks of [
    [first, second],
    [second, first],
  ]) {
    const { all } = members(1)
    for (const record of [...marks, between, after]) all[0].cache.apply(record)
    t.same([all[0].has('between'), all[0].has('after')], [false, true])
  }
})

t.test("a mark is not the table's to drop", async t => {
  const { all } = members(1)
  const [{ cache, table, add, purge }] = all
  const old = add('old')
  const mark = await purge()
  table.purge()
  t.equal(cache.apply(old), false)
  t.same(cache.read(tables.purge, mark.key), mark)
  t.same(cache.scan(undefined, 10).records, [mark], 'whoever comes later is told')
})

t.test('a mark is written by purge alone', async t => {
  const { all } = members(1)
  const [{ cache, published, purge }] = all
  const mark = await purge()
  published.length = 0
  const { key } = mark
  const code = { code: 'ERR_HANDFAST_USAGE' }
  t.throws(() => cache.add(tables.purge, key, value, { ttl: 1_000 }), code)
  await t.rejects(cache.update(tables.purge, key, value, { ttl: 1_000 }), code)
  t.throws(() => cache.delete(tables.purge, key), code)
  t.same(cache.read(tables.purge, key), mark)
  t.same(published, [])
})

t.test('no mark empties what must stay, nor a table that is none', async t => {
  const { all } = members(1)
  const [{ cache, add, has, purge, table }] = all
  for (const id of writable) if (!mayBePurged(id)) add('a', id)
  const { records } = table.stats()
  const mark = await purge()
  const later = { ...mark.version, logical: 500 }
  const forged: [string, Buffer, boolean][] = [
    ['revocations', Buffer.from([tables.revocation]), false],
    ['ticket keys', Buffer.from([tables.farm]), false],
    ['marks', Buffer.from([tables.purge]), false],
    ['no table', Buffer.alloc(0), false],
    ['two', Buffer.from([state, auth]), false],
    ['a deletion', Buffer.from([state]), true],
  ]
  for (const [what, key, tombstone] of forged) {
    t.equal(cache.apply({ ...mark, version: later, key, tombstone }), false, what)
  }
  t.equal(table.stats().records, records)
  for (const id of writable) if (!mayBePurged(id)) t.ok(has('a', id))
  const future = { ...mark.version, ms: mark.version.ms + 3_600_000 }
  t.equal(cache.apply({ ...mark, version: future }), false, 'one from the future')
})

t.test('what a member answers from before the purge is not taken', async t => {
  const { all } = members(2)
  const [a] = all
  const old = a.add('key')
  const mark = await a.purge()
  let now = 1_000_000
  const clock = { now: () => now, monotonic: () => now++, after: () => ({ cancel() {} }) }
  const { cache: asking } = recordingCache(clock, 9, { fetch: async () => old })
  t.ok(await asking.get(state, key, 10_000))
  asking.apply(mark)
  t.equal(await asking.get(state, key, 10_000), undefined)
})
