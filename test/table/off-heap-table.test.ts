import t from 'tap'
import { systemClock } from '../../lib/clock.ts'
import { maxKeyLength, type TableId, tables } from '../../lib/record/key.ts'
import { type CacheRecord, maxValueLength } from '../../lib/record/record.ts'
import { compareVersions } from '../../lib/record/version.ts'
import { maxTableBytes, minTableBytes } from '../../lib/table/layout.ts'
import { defaultTableBytes, OffHeapTable } from '../../lib/table/off-heap-table.ts'
import {
  nameOf,
  newTable,
  record,
  scanAll,
  seeded,
  seededBytes,
  start,
} from '../fixtures/table-records.ts'

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
  t.throws(() => table.update(record({ value: large })), RangeError)
  t.equal(table.get(session, long), undefined, 'asking for what cannot be is a miss')
  t.equal(table.touch(session, Buffer.alloc(0), start), false)
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
  t.equal(
    table.update({ ...written, version: { ms: start + 2, logical: 0, node: 1 } }),
    false,
  )
  t.equal(table.touch(session, key, start + 99_000), false)
  clock.ms = start + 89_999
  t.equal(
    table.put({ ...written, expiresAt: start + 100_000 }),
    false,
    'as long as it lives',
  )
  clock.ms = start + 90_000
  t.equal(table.read(session, key), undefined, 'a tombstone has a life of its own')
})

t.test('update writes over a live record only', async t => {
  const { table, clock } = newTable()
  const next = record({ version: { ms: start + 1, logical: 0, node: 1 }, value: 'next' })
  t.equal(table.update(next), false, 'none there')
  table.put(record())
  t.equal(table.update(record({ value: 'alter' })), false, 'an older one')
  t.equal(table.update(next), true)
  t.equal(table.get(session, key)?.toString(), 'next')
  clock.ms = start + 60_000
  t.equal(
    table.update({
      ...next,
      version: { ms: start + 2, logical: 0, node: 1 },
      expiresAt: start * 2,
    }),
    false,
    'an expired one',
  )
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

t.test('touch moves the expiry and nothing else', async t => {
  const { table, clock } = newTable()
  const given = record()
  t.equal(table.touch(session, key, start + 1), false, 'none there')
  table.put(given)
  for (const expiresAt of [
    start + 30_000,
    start + 50_000,
    start + 10_000_000,
    start + 2 ** 40,
    start + 61_000,
  ]) {
    t.equal(table.touch(session, key, expiresAt), true)
    t.same(table.read(session, key), { ...given, expiresAt })
    t.equal(table.stats().records, 1)
  }
  clock.ms = start + 60_999
  t.ok(table.get(session, key))
  t.equal(table.touch(session, key, start + 5), true, 'into the past')
  t.equal(table.get(session, key), undefined)
  table.put(
    record({
      expiresAt: start + 100_000,
      version: { ms: start + 2 ** 33, logical: 0, node: 1 },
    }),
  )
  t.equal(table.touch(session, key, start + 2 ** 34), true)
  t.equal(table.touch(session, key, start + 1), true, 'into the past, past its width')
  t.equal(table.get(session, key), undefined)
})

t.test('a touched record outlives the segment it was written to', async t => {
  const { table, clock } = newTable()
  for (let i = 0; i < 1000; i += 1) table.put(record({ key: i }))
  t.equal(table.touch(session, Buffer.from('500'), start + 500_000), true)
  clock.ms = start + 60_000
  for (let i = 0; i < 10; i += 1)
    table.put(record({ key: `x${i}`, expiresAt: start * 2 }))
  t.equal(table.stats().expired, 999)
  t.equal(table.stats().records, 11)
  t.ok(table.get(session, Buffer.from('500')))
})

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

t.test('a walk', async t => {
  t.test('sees every record once when nothing else happens', async t => {
    const { table } = newTable()
    const expected = new Set<string>()
    for (let i = 0; i < 30_000; i += 1) {
      const given = record({
        key: i,
        table: (1 + (i % 5)) as TableId,
        tombstone: i % 7 === 0,
      })
      table.put(given)
      expected.add(nameOf(given.table, given.key))
    }
    for (const limit of [1, 100, 100_000]) {
      let count = 0
      let largest = 0
      let next: object | undefined
      const seen = new Set<string>()
      do {
        const step = table.scan(next, limit)
        for (const found of step.records) seen.add(nameOf(found.table, found.key))
        count += step.records.length
        largest = Math.max(largest, step.records.length)
        next = step.next
      } while (next !== undefined)
      t.equal(count, expected.size)
      t.same(seen, expected)
      t.ok(largest < limit + 40, `${largest} records in a step of ${limit}`)
    }
  })

  t.test(
    'sees all that was there at its start, while the table grows and changes',
    async t => {
      const random = seeded(11)
      const { table, clock } = newTable({ maxBytes: 256 * MiB })
      const before = new Map<string, CacheRecord>()
      for (let i = 0; i < 20_000; i += 1) {
        const given = record({
          key: i,
          value: seededBytes(random, 20),
          tombstone: i % 9 === 0,
        })
        table.put(given)
        before.set(nameOf(given.table, given.key), given)
      }
      let made = 0
      const seen = scanAll(table, 200, () => {
        clock.ms += 1
        const version = { ms: clock.ms, logical: 0, node: 1 }
        for (let i = 0; i < 200; i += 1) {
          made += 1
          table.put(record({ key: `new ${made}`, version }))
          if (i % 5 === 0)
            table.put(record({ key: random(20_000), version, value: 'newer' }))
          if (i % 10 === 0)
            table.touch(session, Buffer.from(`${random(20_000)}`), start + 200_000)
        }
      })
      t.ok(made > 20_000, `${made} records were written meanwhile`)
      let missed = 0
      let older = 0
      for (const [name, given] of before) {
        const found = seen.get(name)
        if (found === undefined) missed += 1
        else if (found.version.ms < given.version.ms) older += 1
      }
      t.same({ missed, older }, { missed: 0, older: 0 })
    },
  )

  t.test('sees what lives through eviction and merging', async t => {
    const random = seeded(12)
    const { table } = newTable({ maxBytes: 8 * MiB })
    const value = seededBytes(random, 300)
    for (let i = 0; i < 60_000; i += 1) table.put(record({ key: i, value }))
    let written = 60_000
    const isHeld = (i: number) =>
      table.read(session, Buffer.from(String(i))) !== undefined
    const before = Array.from({ length: written }, (_, i) => i).filter(isHeld)
    const seen = scanAll(table, 100, () => {
      for (let i = 0; i < 20; i += 1) {
        written += 1
        table.put(record({ key: written, value }))
      }
    })
    const missed = before.filter(
      i => isHeld(i) && !seen.has(nameOf(session, Buffer.from(String(i)))),
    )
    t.ok(before.length > 15_000, `${before.length} records at the start`)
    t.ok(table.stats().evicted > 0)
    t.same(missed, [])
  })

  t.test('ends when the table is purged under it', async t => {
    const { table } = newTable()
    for (let i = 0; i < 50_000; i += 1) table.put(record({ key: i }))
    let { next } = table.scan(undefined, 30_000)
    t.ok(next)
    table.purge()
    for (let i = 0; i < 20 && next !== undefined; i += 1)
      ({ next } = table.scan(next, 10_000))
    t.equal(next, undefined)
  })

  t.test('skips what has expired', async t => {
    const { table, clock } = newTable()
    for (let i = 0; i < 100; i += 1)
      table.put(record({ key: i, expiresAt: start + 1 + i }))
    clock.ms = start + 50
    t.equal(scanAll(table, 10).size, 50)
  })
})

t.test('corrupt memory', async t => {
  const random = seeded(21)
  const chunks: ArrayBuffer[] = []
  const memory = (length: number) => {
    const chunk = new ArrayBuffer(length)
    chunks.push(chunk)
    return chunk
  }
  const { table, clock } = newTable({ maxBytes: 4 * MiB, memory })
  const written = new Map<number, Buffer[]>()
  const put = (i: number) => {
    const value = seededBytes(random, random(300))
    clock.ms += 1
    const version = { ms: clock.ms, logical: 0, node: 1 }
    table.put(record({ key: `key ${i}`, value, version, expiresAt: clock.ms + 900_000 }))
    written.set(i, [...(written.get(i) ?? []), value])
  }
  // Older values count too: a slot that flips twice may bring back what was written over.
  const wasWritten = (i: number, value: Buffer) =>
    written.get(i)?.some(known => known.equals(value)) === true
  for (let i = 0; i < 20_000; i += 1) put(random(8000))

  t.test(
    'any byte may flip, in records and index: a miss or the right value',
    async t => {
      const [segments, index] = [128, 64].map(kib =>
        chunks.filter(c => c.byteLength === kib * 1024),
      )
      t.ok((segments?.length ?? 0) > 10)
      t.ok((index?.length ?? 0) > 0)
      let wrong = 0
      let misses = 0
      for (let i = 0; i < 100_000; i += 1) {
        const where = (i % 4 === 0 ? index : segments) as ArrayBuffer[]
        const bytes = new Uint8Array(where[random(where.length)] as ArrayBuffer)
        const at = random(bytes.length)
        bytes[at] = (bytes[at] as number) ^ (1 << random(8))
        const chosen = random(8000)
        const found = table.get(session, Buffer.from(`key ${chosen}`))
        if (found === undefined) misses += 1
        else if (!wasWritten(chosen, found)) wrong += 1
        if (i % 10 === 0) put(random(8000))
        if (i % 10_000 === 9_999) {
          table.purge(session, { ms: clock.ms - 4_000, logical: 0, node: 1 })
        }
        if (i % 2000 === 0)
          for (const { key, value } of scanAll(table, 500).values()) {
            if (!wasWritten(Number(key.toString().slice(4)), value)) wrong += 1
          }
      }
      t.equal(wrong, 0)
      t.ok(misses > 1000, `${misses} misses`)
      t.ok(table.stats().corrupt > 1000, `${table.stats().corrupt} corrupt`)
    },
  )

  t.test('whole chunks of rubbish do not stop it, and a purge heals it', async t => {
    for (const chunk of chunks)
      seededBytes(random, 4096).copy(new Uint8Array(chunk), random(60_000))
    for (const chunk of chunks) if (random(3) === 0) new Uint8Array(chunk).fill(255)
    for (let i = 0; i < 30_000; i += 1) {
      put(random(8000))
      const chosen = random(8000)
      const found = table.get(session, Buffer.from(`key ${chosen}`))
      if (found !== undefined && !wasWritten(chosen, found)) t.fail('wrong')
    }
    t.ok(table.stats().bytes <= 4 * MiB)
    scanAll(table, 500)
    table.purge()
    for (let i = 0; i < 1000; i += 1) put(i)
    t.equal(scanAll(table, 100).size, 1000)
  })
})

t.test('a full table', async t => {
  const value = Buffer.alloc(500)

  t.test('keeps what is used and lets go what is not', async t => {
    const { table } = newTable({ maxBytes: 8 * MiB })
    const hot = Array.from({ length: 2000 }, (_, i) => Buffer.from(`hot ${i}`))
    for (const key of hot) table.put(record({ key, value }))
    for (let i = 0; i < 100_000; i += 1) {
      table.put(record({ key: i, value }))
      table.get(session, hot[i % hot.length] as Buffer)
      if (table.stats().bytes > 8 * MiB) t.fail('more than may be held')
    }
    const kept = hot.filter(key => table.get(session, key) !== undefined).length
    t.ok(kept > 1950, `${kept} of 2000`)
    const { evicted, records } = table.stats()
    t.equal(evicted + records, 102_000, 'every record is counted once')
    t.ok(records > 12_000, `${records} records are held`)
  })

  t.test('keeps tombstones before records', async t => {
    const { table } = newTable({ maxBytes: 8 * MiB })
    for (let i = 0; i < 2000; i += 1)
      table.put(record({ key: `dead ${i}`, tombstone: true }))
    for (let i = 0; i < 100_000; i += 1) table.put(record({ key: i, value }))
    let kept = 0
    for (let i = 0; i < 2000; i += 1) {
      if (table.read(session, Buffer.from(`dead ${i}`)) !== undefined) kept += 1
    }
    t.equal(kept, 2000)
  })

  t.test('takes room from what was overwritten before it evicts', async t => {
    const { table } = newTable({ maxBytes: 8 * MiB })
    for (let n = 0; n < 50; n += 1) {
      const version = { ms: start + n, logical: 0, node: 1 }
      for (let i = 0; i < 5000; i += 1) table.put(record({ key: i, value, version }))
    }
    const { evicted, records } = table.stats()
    t.same({ evicted, records }, { evicted: 0, records: 5000 })
  })

  t.test('is not filled by half-empty segments of many lives and tables', async t => {
    const random = seeded(31)
    const { table } = newTable({ maxBytes: 8 * MiB })
    for (let i = 0; i < 5000; i += 1) {
      table.put(
        record({
          key: i,
          value,
          table: (1 + random(6)) as TableId,
          expiresAt: start + 1000 + Math.floor(2 ** (random(3000) / 100)),
        }),
      )
    }
    const { evicted, records } = table.stats()
    t.ok(evicted < 500, `${evicted} evicted`)
    t.equal(evicted + records, 5000)
  })

  t.test('of the largest records, of the smallest, and back again', async t => {
    const { table } = newTable({ maxBytes: minTableBytes })
    const large = Buffer.alloc(maxValueLength, 1)
    for (let round = 0; round < 2; round += 1) {
      for (let i = 0; i < 500; i += 1) {
        if (!table.put(record({ key: `${round} ${i}`, value: large }))) t.fail('refused')
        if (table.stats().bytes > minTableBytes) t.fail('more than may be held')
      }
      t.ok(table.stats().records > 15, `${table.stats().records} large records`)
      for (let i = 0; i < 150_000; i += 1) {
        table.put(record({ key: `${round}-${i}`, value: '' }))
        if (table.stats().bytes > minTableBytes) t.fail('more than may be held')
      }
      t.ok(table.stats().records > 70_000, `${table.stats().records} small records`)
    }
  })
})
