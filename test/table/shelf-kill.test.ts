import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import t from 'tap'
import { systemClock } from '../../lib/clock.ts'
import { tables } from '../../lib/record/key.ts'
import { Shelf } from '../../lib/table/shelf/shelf.ts'
import { ShelfFiles } from '../../lib/table/shelf/shelf-files.ts'
import { programOf } from '../fixtures/process/program.ts'
import { seededRandom, testSeed } from '../fixtures/random.ts'
import { isProven, keyOf, provable } from '../fixtures/table/shelf-records.ts'
import type { Orders } from '../fixtures/table/shelf-writer.ts'

const seed = testSeed()

function shelfOf(bytes: number): { files: ShelfFiles; shelf: Shelf } {
  const files = ShelfFiles.make(bytes, 8)
  if (files === undefined) throw new Error('no memory for files')
  const shelf = new Shelf({ files, clock: systemClock })
  shelf.claim(0)
  return { files, shelf }
}

/** A writer, once it has written something. */
async function writer(orders: Orders): Promise<{ child: ChildProcess; told: number }> {
  const { path, execArgv } = programOf('table/shelf-writer')
  const child = fork(path, { execArgv })
  const writes = { child, told: 0 }
  child.on('message', (count: number) => {
    writes.told = count
  })
  child.send(orders)
  await once(child, 'message')
  return writes
}

t.test('writers that are killed in the middle of a write lose nothing', async t => {
  t.comment(`SEED=${seed}`)
  const random = seededRandom(seed)
  const { files, shelf } = shelfOf(256 * 1024 * 1024)
  for (let i = 0; i < 2_000; i += 1) shelf.put(provable(random, 0, i))
  let checked = 0
  for (let round = 0; round < 6; round += 1) {
    const ring = 1 + (round % 2)
    const writes = await writer({ place: files.place, ring, seed: seed + round })
    // Somewhere in the middle of what it does.
    for (let turns = Math.floor(random() * 50); turns > 0; turns -= 1) {
      await new Promise(resolve => setImmediate(resolve))
    }
    writes.child.kill('SIGKILL')
    await once(writes.child, 'close')
    for (let i = 0; i < writes.told; i += 1) {
      const found = shelf.read(tables.session, keyOf(ring, i))
      if (found === undefined || !isProven(found)) t.fail(`${i} of round ${round}`)
      checked += 1
    }
  }
  for (let i = 0; i < 2_000; i += 1) {
    const found = shelf.read(tables.session, keyOf(0, i))
    if (found === undefined || !isProven(found)) t.fail(`own ${i}`)
  }
  t.ok(checked >= 6 * 200, `${checked} records of killed writers`)
  shelf.close()
})

t.test(
  'on rings so small that writers overtake readers no torn value is taken',
  async t => {
    t.comment(`SEED=${seed}`)
    const random = seededRandom(seed)
    const { files, shelf } = shelfOf(256 * 1024)
    const orders = [1, 2].map(ring => ({ place: files.place, ring, seed: seed + ring }))
    const writers = await Promise.all(orders.map(writer))
    let found = 0
    const until = () => writers.every(({ told }) => told > 60_000) && found > 1_000
    for (let reads = 0; !until() && reads < 10_000_000; reads += 1) {
      const at = writers[reads % 2]
      if (at === undefined) break
      const near = Math.max(0, at.told - 100 + Math.floor(random() * 600))
      const there = shelf.read(tables.session, keyOf(1 + (reads % 2), near))
      if (there !== undefined) {
        found += 1
        if (!isProven(there)) t.fail('a torn value')
      }
      if (reads % 1000 === 0) await new Promise(resolve => setImmediate(resolve))
    }
    t.ok(until(), `${found} found`)
    for (const { child } of writers) {
      child.kill('SIGKILL')
      await once(child, 'close')
    }
    for (const there of walk(shelf)) t.ok(isProven(there))
    shelf.close()
  },
)

function walk(shelf: Shelf) {
  const found = []
  let from: number | undefined = 0
  while (from !== undefined) {
    const step = shelf.scan(from, 100)
    found.push(...step.records)
    from = step.next
  }
  return found
}
