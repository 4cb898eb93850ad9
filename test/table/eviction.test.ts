import t from 'tap'
import { type TableId, tables } from '../../lib/record/key.ts'
import { maxValueLength } from '../../lib/record/record.ts'
import { minTableBytes } from '../../lib/table/layout.ts'
import { newTable, record, seeded, start } from '../fixtures/table/records.ts'

const { session } = tables
const MiB = 1024 * 1024

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
