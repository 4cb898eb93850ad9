import t from 'tap'
import { KeptRecords } from '../../lib/cache/kept-records.ts'
import { tables } from '../../lib/record/key.ts'
import { type CacheRecord, maxValueLength } from '../../lib/record/record.ts'
import { recordingCache } from '../fixtures/cache/recording-cache.ts'
import { collectedMemory } from '../fixtures/collected-memory.ts'
import { MapTable } from '../fixtures/table/map-table.ts'

const { revocation, farm, session } = tables
const begin = 1_000_000

function setUp(most?: number) {
  let now = begin
  const clock = { now: () => now, monotonic: () => now, after: () => ({ cancel() {} }) }
  const table = new MapTable({ clock })
  const kept = new KeptRecords(table, clock, most)
  kept.keep(revocation)
  const pass = (ms: number) => {
    now += ms
  }
  return { kept, table, clock, pass }
}

function record(name: string, given: Partial<CacheRecord> = {}): CacheRecord {
  return {
    table: revocation,
    key: Buffer.from(name),
    value: Buffer.from('value'),
    version: { ms: begin, logical: 0, node: 1 },
    expiresAt: begin + 60_000,
    tombstone: false,
    ...given,
  }
}

const newer = { ms: begin + 1, logical: 0, node: 1 }

t.test('the newest stays, as in the table', async t => {
  const { kept, table, pass } = setUp()
  t.equal(kept.put(record('a')), true)
  t.equal(kept.put(record('a')), false)
  t.equal(kept.put(record('a', { version: newer })), true)
  t.equal(kept.put(record('a')), false)
  t.same(kept.get(revocation, Buffer.from('a'))?.version, newer)
  t.equal(table.stats().records, 0)
  const bytes = Buffer.from('b')
  kept.put(record('b', { key: bytes }))
  bytes.fill('c')
  t.ok(kept.get(revocation, Buffer.from('b')), 'its bytes are its own')
  pass(60_000)
  t.equal(kept.get(revocation, Buffer.from('a')), undefined, 'until it is over')
  t.same([...kept.all()], [])
})

t.test('only what was asked to be kept', async t => {
  const { kept } = setUp()
  kept.keep(farm, key => key[0] === 0)
  kept.keep(farm, key => key[0] === 2)
  t.equal(kept.wants(revocation, Buffer.from('any')), true)
  t.equal(kept.wants(farm, Buffer.of(0)), true)
  t.equal(kept.wants(farm, Buffer.of(1)), false)
  t.equal(kept.wants(farm, Buffer.of(2)), true, 'who comes later adds')
  t.equal(kept.wants(session, Buffer.of(0)), false)
  t.equal(kept.put(record('a', { table: session })), false)
})

t.test('beyond the bound the oldest are left to the table', async t => {
  const { kept, table } = setUp(3_000)
  for (let n = 0; n < 20; n += 1) kept.put(record(`${n}`))
  const here = [...kept.all()].map(({ key }) => key.toString())
  t.ok(here.length < 12, `${here.length} kept`)
  t.equal(here.at(-1), '19')
  t.equal(here.length + table.stats().records, 20)
  t.equal(kept.put(record('0')), false, 'which still knows them')
  t.equal(kept.put(record('0', { version: newer })), true)
  // One that alone is too large goes there as well.
  kept.put(record('large', { value: Buffer.alloc(maxValueLength) }))
  t.same([...kept.all()], [])
  t.ok(table.read(revocation, Buffer.from('large')))
})

t.test('what was left to the table and comes anew is in one place', async t => {
  const { kept, table } = setUp(3_000)
  for (let n = 0; n < 20; n += 1) kept.put(record(`${n}`))
  t.ok(table.read(revocation, Buffer.from('0')))
  kept.put(record('0', { version: newer }))
  t.equal(table.read(revocation, Buffer.from('0')), undefined)
  t.same(kept.get(revocation, Buffer.from('0'))?.version, newer)
})

t.test('they hold on to no memory of what came between them', async t => {
  const { kept } = setUp()
  const between = () => Buffer.from('x'.repeat(4_000))
  const before = collectedMemory().arrayBuffers
  for (let n = 0; n < 2_000; n += 1) {
    kept.put(record(`${n}`, { value: Buffer.from(`value ${n}`) }))
    between()
    between()
  }
  const grown = collectedMemory().arrayBuffers - before
  t.ok(grown < 2 ** 20, `${grown} bytes`)
  t.equal(kept.get(revocation, Buffer.from('7'))?.value.toString(), 'value 7')
})

t.test('nobody can change what is kept', async t => {
  const { kept } = setUp()
  kept.put(record('a'))
  kept.get(revocation, Buffer.from('a'))?.value.fill(0)
  for (const { key, value } of kept.all()) key.fill(0) && value.fill(0)
  t.same(kept.get(revocation, Buffer.from('a')), record('a'))
})

t.test('100,000 short-lived ones leave nothing behind', async t => {
  const { kept, table, pass } = setUp(1_000_000)
  for (let n = 0; n < 100_000; n += 1) {
    kept.put(record(`${n}`, { expiresAt: begin + n + 100 }))
    pass(1)
  }
  t.equal([...kept.all()].length, 99)
  t.equal(table.stats().records, 0)
})

t.test('a table without room keeps nobody from hearing of a revocation', async t => {
  const { clock } = setUp()
  const { cache, table } = recordingCache(clock)
  table.put = () => false
  const told: CacheRecord[] = []
  cache.keep(revocation)
  cache.watch(revocation, given => void told.push(given))
  t.equal(cache.apply(record('a')), true)
  t.equal(cache.apply(record('a')), false)
  t.same(told, [record('a')])
  t.same(cache.read(revocation, Buffer.from('a')), record('a'))
})

t.test('a walk shows all, whatever is written meanwhile', async t => {
  const { clock } = setUp()
  const { cache } = recordingCache(clock)
  cache.keep(revocation)
  const names = Array.from({ length: 50 }, (_, n) => `${n}`)
  for (const name of names) {
    cache.apply(record(name))
    cache.apply(record(name, { table: session }))
  }
  const seen = new Set<string>()
  let step = cache.scan(undefined, 7)
  for (;;) {
    t.ok(step.records.length <= 7)
    for (const { table, key } of step.records) seen.add(`${table} ${key}`)
    // Behind those that are still to come, and in front of them.
    cache.apply(record(`${seen.size % 50}`, { version: newer }))
    if (step.next === undefined) break
    step = cache.scan(step.next, 7)
  }
  for (const name of names) {
    t.ok(seen.has(`${revocation} ${name}`) && seen.has(`${session} ${name}`), name)
  }
})
