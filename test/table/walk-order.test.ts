import t from 'tap'
import { type TableId, tables } from '../../lib/record/key.ts'
import type { CacheRecord } from '../../lib/record/record.ts'
import {
  nameOf,
  newTable,
  record,
  scanAll,
  seeded,
  seededBytes,
  start,
} from '../fixtures/table/records.ts'

const { session } = tables
const MiB = 1024 * 1024

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
