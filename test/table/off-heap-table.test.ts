import t from 'tap'
import { systemClock } from '../../lib/clock.ts'
import { maxKeyLength, tables } from '../../lib/record/key.ts'
import { type CacheRecord, maxValueLength } from '../../lib/record/record.ts'
import { maxTableBytes, minTableBytes } from '../../lib/table/layout.ts'
import { defaultTableBytes, OffHeapTable } from '../../lib/table/off-heap-table.ts'
import {
  newTable,
  record,
  scanAll,
  seeded,
  seededBytes,
  start,
} from '../fixtures/table/records.ts'

const { session, auth } = tables
const MiB = 1024 * 1024
const key = Buffer.from('key')

t.test('a record comes back as it was put', async t => {
  const { table } = newTable()
  const given = record({ version: { ms: start - 5, logical: 65_535, node: 65_535 } })
  t.equal(table.get(session, key), undefined, 'a miss')
  t.equal(table.read(session, key), undefined)
  t.equal(table.put(given), true)
  t.same(table.read(session, key), given)
  t.same(table.get(session, key), given.value)
  t.equal(table.get(auth, key), undefined, 'virtual tables are apart')
  t.equal(table.get(session, Buffer.from('kez')), undefined)
  given.key.fill(0)
  given.value.fill(0)
  t.equal(table.get(session, key)?.toString(), 'value', 'the bytes were copied')
  const read = table.read(session, key) as CacheRecord
  read.value.fill(0)
  t.equal(table.get(session, key)?.toString(), 'value', 'what was read is a copy')
})

t.test('a walk answers copies, or views for who writes them down at once', async t => {
  const { table } = newTable()
  const given = record()
  table.put(given)
  const [own] = table.scan(undefined, 10_000).records
  t.same(own, given)
  own?.value.fill(0)
  t.equal(table.get(session, key)?.toString(), 'value', 'a copy')
  const [borrowed] = table.scan(undefined, 10_000, true).records
  t.same(borrowed, given)
  t.equal(borrowed?.value.buffer, table.get(session, key)?.buffer, 'a view')
})

t.test('it works as it comes, without options but the clock', async t => {
  const table = new OffHeapTable({ clock: systemClock })
  t.equal(table.stats().maxBytes, defaultTableBytes)
  t.ok(table.stats().bytes < MiB, 'no memory is taken before it is needed')
  const now = Date.now()
  const mine = record({
    version: { ms: now, logical: 0, node: 1 },
    expiresAt: now + 9999,
  })
  t.equal(table.put(mine), true)
  t.same(table.read(session, key), mine)
  table.close()
})

t.test('sizes at their limits', async t => {
  const random = seeded(4)
  for (const [keyLength, valueLength] of [
    [1, 0],
    [1, maxValueLength],
    [maxKeyLength, 0],
    [maxKeyLength, maxValueLength],
    [31, 65_535],
    [32, 1],
  ] as const) {
    const { table } = newTable({ maxBytes: minTableBytes })
    const given = record({
      key: seededBytes(random, keyLength),
      value: seededBytes(random, valueLength),
    })
    t.equal(table.put(given), true, `key of ${keyLength}, value of ${valueLength} bytes`)
    t.same(table.read(session, given.key), given)
    t.equal(table.get(session, given.key)?.length, valueLength)
  }

  const { table } = newTable()
  const long = Buffer.alloc(maxKeyLength + 1)
  const large = Buffer.alloc(maxValueLength + 1)
  t.throws(() => table.put(record({ key: Buffer.alloc(0) })), {
    name: 'RangeError',
    message: /1 to 255 bytes, got 0/,
  })
  t.throws(() => table.put(record({ key: long })), { message: /1 to 255 bytes, got 256/ })
  t.throws(() => table.put(record({ value: large })), {
    name: 'RangeError',
    message: /at most 65536 bytes, got 65537/,
  })
  t.equal(table.get(session, long), undefined, 'asking for what cannot be is a miss')
  t.equal(table.stats().records, 0)

  for (const maxBytes of [0, -1, minTableBytes - 1, maxTableBytes + 1, Number.NaN]) {
    t.throws(() => newTable({ maxBytes }), { name: 'RangeError', message: /maxBytes/ })
  }
})

t.test('last write wins, in whatever order two writes arrive', async t => {
  const version = { ms: start, logical: 3, node: 5 }
  const old = record({ version, value: 'b' })
  const winners: Record<string, CacheRecord> = {
    'later ms': record({ version: { ...version, ms: start + 1, logical: 0 }, value: '' }),
    'later logical': record({ version: { ...version, logical: 4, node: 0 }, value: '' }),
    'larger node': record({ version: { ...version, node: 6 }, value: '' }),
    'tombstone of the same version': record({ version, tombstone: true }),
    'larger bytes of the same version': record({ version, value: 'c' }),
    'longer bytes of the same version': record({ version, value: 'bb' }),
    'a newer tombstone': record({
      version: { ...version, ms: start + 1 },
      tombstone: true,
    }),
  }
  for (const [name, winner] of Object.entries(winners)) {
    const { table } = newTable()
    t.equal(table.put(old), true)
    t.equal(table.put(winner), true, name)
    t.same(table.read(session, key), winner)
    t.equal(table.put(old), false, `${name}: not the other way round`)
    t.equal(table.put(winner), false, 'nor twice')
    t.same(table.read(session, key), winner)
    t.equal(table.stats().records, 1)
  }
})

t.test('a late replica never resurrects a deleted record', async t => {
  const { table, clock } = newTable()
  const written = record({ version: { ms: start, logical: 0, node: 1 } })
  const deleted = record({
    version: { ms: start + 1, logical: 0, node: 1 },
    tombstone: true,
    value: 'is not kept',
    expiresAt: start + 90_000,
  })
  t.equal(table.put(deleted), true, 'a tombstone needs no record')
  t.equal(table.put(deleted), false)
  t.equal(table.put(written), false)
  t.equal(table.get(session, key), undefined)
  t.equal(table.read(session, key)?.tombstone, true)
  t.equal(table.read(session, key)?.value.length, 0)
  clock.ms = start + 89_999
  t.equal(
    table.put({ ...written, expiresAt: start + 100_000 }),
    false,
    'as long as it lives',
  )
  clock.ms = start + 90_000
  t.equal(table.read(session, key), undefined, 'a tombstone has a life of its own')
})

t.test('a record is gone at its expiry', async t => {
  const { table, clock } = newTable()
  table.put(record())
  clock.ms = start + 59_999
  t.ok(table.get(session, key))
  clock.ms = start + 60_000
  t.equal(table.get(session, key), undefined)
  t.equal(table.stats().expired, 1)
  t.equal(table.stats().records, 0)

  t.equal(table.put(record({ expiresAt: start })), false, 'expired on arrival')
  t.equal(table.put(record({ expiresAt: Number.NaN })), false)
  table.put(record({ expiresAt: start + 90_000 }))
  const late = record({ version: { ms: start + 1, logical: 0, node: 1 }, expiresAt: 5 })
  t.equal(table.put(late), true, 'expired on arrival, but newer than what was there')
  t.equal(table.read(session, key), undefined)

  table.put(record({ expiresAt: 2 ** 60 }))
  t.equal(table.read(session, key)?.expiresAt, 2 ** 48 - 1, 'as long as can be')
  table.purge()
  table.put(record({ expiresAt: start + 70_000.9 }))
  t.equal(table.read(session, key)?.expiresAt, start + 70_000)
})

t.test('the clock may jump, back and forth', async t => {
  const { table, clock } = newTable()
  table.put(record({ key: 'a' }))
  clock.ms = start + 10 ** 9
  t.equal(table.get(session, Buffer.from('a')), undefined)
  table.put(record({ key: 'b', expiresAt: clock.ms + 60_000 }))
  clock.ms = start - 10 ** 9
  table.put(record({ key: 'c', expiresAt: clock.ms + 60_000 }))
  t.ok(table.get(session, Buffer.from('b')))
  t.ok(table.get(session, Buffer.from('c')))
  clock.ms = 0
  t.ok(table.get(session, Buffer.from('b')))
  clock.ms = start
  t.equal(table.get(session, Buffer.from('c')), undefined)
})

t.test('after close there is nothing, and nothing goes in', async t => {
  const { table } = newTable()
  table.put(record())
  table.close()
  t.equal(table.get(session, key), undefined)
  t.equal(table.put(record()), false)
  t.equal(table.stats().records, 0)
  t.equal(scanAll(table, 10).size, 0)
  table.close()
})
