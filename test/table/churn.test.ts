import t from 'tap'
import { type TableId, tables } from '../../lib/record/key.ts'
import { collectedMemory } from '../fixtures/collected-memory.ts'
import { newTable, record, seeded, seededBytes } from '../fixtures/table/records.ts'

/** Writes, in millions. The full soak: SOAK=20 npx tap --timeout=200 test/table/churn.test.ts */
const millions = Number(process.env['SOAK'] ?? 0.4)
const seed = 41
const maxBytes = 32 * 1024 * 1024

t.test(`memory is flat over ${millions} million writes (seed ${seed})`, async t => {
  const random = seeded(seed)
  const { table, clock } = newTable({ maxBytes })
  const pool = seededBytes(random, 8192)
  let writes = 0
  const churn = () => {
    for (let i = 0; i < 20_000; i += 1) {
      const length = random(50) === 0 ? random(8192) : random(1500)
      const key = random(200_000)
      writes += 1
      clock.ms += random(3)
      table.put(
        record({
          key,
          table: (1 + (key % 4)) as TableId,
          value: pool.subarray(0, length),
          version: { ms: clock.ms, logical: 0, node: 1 },
          expiresAt: clock.ms + 1000 + random(120_000),
          tombstone: random(30) === 0,
        }),
      )
      table.get(tables.session, Buffer.from(String(random(2000))))
    }
    if (random(100) === 0) table.purge((1 + random(4)) as TableId)
    if (table.stats().bytes > maxBytes) t.fail(`${table.stats().bytes} bytes`)
  }

  while (writes < millions * 500_000) churn()
  const middle = collectedMemory()
  while (writes < millions * 1_000_000) churn()
  const last = collectedMemory()

  const { records, evicted, expired, corrupt } = table.stats()
  t.comment(
    `${writes} writes, ${records} records, ${evicted} evicted, ${expired} expired`,
  )
  t.equal(corrupt, 0)
  t.ok(evicted > 0)
  t.ok(expired > 0)
  t.ok(records > 10_000)
  const grown = last.arrayBuffers - middle.arrayBuffers
  t.ok(grown < maxBytes / 8, `array buffers grew by ${grown} bytes`)
  const rss = last.rss - middle.rss
  // Pages of the heap that are free and not yet given back are in it as well.
  t.ok(rss < maxBytes * 2, `the process grew by ${rss} bytes`)
  t.ok(last.arrayBuffers < maxBytes * 1.25, `${last.arrayBuffers} bytes of array buffers`)
})
