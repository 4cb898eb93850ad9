import t from 'tap'
import { tables } from '../../lib/record/key.ts'
import {
  newTable,
  record,
  scanAll,
  seeded,
  seededBytes,
} from '../fixtures/table/records.ts'

const { session } = tables
const MiB = 1024 * 1024

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
