import t from 'tap'
import { tables } from '../../lib/record/key.ts'
import { compareVersions } from '../../lib/record/version.ts'
import { newTable, record, scanAll } from '../fixtures/table/records.ts'

const { session, auth } = tables
const MiB = 1024 * 1024

t.test('segments go back whole when they have expired', async t => {
  const { table, clock } = newTable({ maxBytes: 64 * MiB })
  const value = Buffer.alloc(1000)
  const wave = (n: number) => {
    for (let i = 0; i < 30_000; i += 1) {
      table.put(record({ key: `${n} ${i}`, value, expiresAt: clock.ms + 10_000 }))
    }
  }
  wave(0)
  const full = table.stats().bytes
  for (let n = 1; n < 10; n += 1) {
    clock.ms += 10_000
    wave(n)
    t.equal(table.stats().evicted, 0)
    t.ok(table.stats().bytes < full * 1.2, `wave ${n}: ${table.stats().bytes} bytes`)
    t.ok(table.stats().records < 31_100)
  }
  t.equal(table.stats().corrupt, 0)
})

t.test('purge', async t => {
  const { table } = newTable({ maxBytes: 64 * MiB })
  const value = Buffer.alloc(1000)
  const fill = () => {
    for (let i = 0; i < 10_000; i += 1) {
      table.put(record({ key: i, value }))
      table.put(record({ key: i, value, table: auth }))
    }
  }
  fill()
  const before = table.stats()
  t.equal(before.records, 20_000)

  table.purge(auth)
  t.equal(table.stats().records, 10_000)
  t.equal(table.get(auth, Buffer.from('5')), undefined)
  t.ok(table.get(session, Buffer.from('5')))
  t.equal(scanAll(table, 100).size, 10_000)
  t.ok(table.stats().bytes < before.bytes * 0.75, 'memory is given back at once')
  t.equal(
    table.put(record({ key: '5', table: auth, version: { ms: 1, logical: 0, node: 1 } })),
    true,
    'no tombstones are left',
  )

  table.purge()
  t.equal(table.stats().records, 0)
  t.ok(table.stats().bytes < 0.3 * MiB)
  t.equal(scanAll(table, 100).size, 0)
  t.same([before.evicted, table.stats().evicted], [0, 0], 'a purge is not an eviction')

  for (let n = 0; n < 40; n += 1) {
    fill()
    table.purge(n % 2 === 0 ? session : auth)
  }
  fill()
  t.equal(scanAll(table, 1000).size, 20_000)
  t.equal(table.stats().corrupt, 0)
})

t.test('purge up to a version leaves what is newer', async t => {
  const { table } = newTable({ maxBytes: 64 * MiB })
  const value = Buffer.alloc(1000)
  const put = (i: number, more = {}) =>
    table.put(
      record({
        key: i,
        value,
        version: { ms: 1000 + (i >> 1), logical: i & 1, node: 5 },
      }),
    ) && table.put(record({ key: i, value, table: auth, ...more }))
  for (let i = 0; i < 10_000; i += 1) put(i)
  const bytes = table.stats().bytes
  const upTo = { ms: 1000 + 4500, logical: 0, node: 5 }
  table.purge(session, upTo)
  const left = [...scanAll(table, 100).values()].filter(found => found.table === session)
  t.equal(left.length, 999)
  t.ok(left.every(({ version }) => compareVersions(version, upTo) > 0))
  t.equal(table.stats().records, 10_999)
  t.ok(table.stats().bytes < bytes, 'segments of old records alone are given back')

  table.purge(session, { ms: 999, logical: 0, node: 0 })
  t.equal(table.stats().records, 10_999, 'nothing is that old')
  table.purge(session, { ms: 1000 + 4_999, logical: 1, node: 5 })
  t.equal(table.stats().records, 10_000, 'up to the newest is all')
  t.same([table.stats().evicted, table.stats().corrupt], [0, 0])
  for (let i = 0; i < 10_000; i += 1) put(i)
  t.equal(scanAll(table, 1000).size, 20_000)
})
