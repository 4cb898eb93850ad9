import { readSync, writeSync } from 'node:fs'
import t, { type Test } from 'tap'
import { tables } from '../../lib/record/key.ts'
import { recordLength } from '../../lib/record/record.ts'
import { Shelf } from '../../lib/table/shelf/shelf.ts'
import { ShelfFiles } from '../../lib/table/shelf/shelf-files.ts'
import {
  bucketBytes,
  indexHead,
  recordHead,
  ringHead,
} from '../../lib/table/shelf/shelf-layout.ts'
import { seededRandom, testSeed } from '../fixtures/random.ts'
import { HandClock, record, start } from '../fixtures/table/records.ts'
import { isProven, keyOf, provable } from '../fixtures/table/shelf-records.ts'

const KiB = 1024

/** Two processes of one host, in one process. */
function two(
  t: Test,
  maxBytes = 4096 * KiB,
): {
  files: ShelfFiles
  clock: HandClock
  mine: Shelf
  other: Shelf
} {
  const files = ShelfFiles.make(maxBytes, 4)
  const again = files && ShelfFiles.open(files.place)
  if (files === undefined || again === undefined) throw new Error('no memory for files')
  const clock = new HandClock()
  const mine = new Shelf({ files, clock })
  const other = new Shelf({ files: again, clock })
  mine.claim(0)
  other.claim(1)
  t.teardown(() => {
    mine.close()
    other.close()
  })
  return { files, clock, mine, other }
}

const session = (key: string, more = {}) =>
  record({ table: tables.session, key: Buffer.from(key), ...more })

t.test('what one process puts there another finds, whole', async t => {
  const { mine, other } = two(t)
  const put = session('a session', { value: Buffer.from('its bytes') })
  t.equal(mine.put(put), true)
  t.same(other.read(put.table, put.key), put)
  t.equal(other.read(tables.auth, put.key), undefined, 'not under another table')
  t.equal(other.read(put.table, Buffer.from('a sessiom')), undefined)
  t.same(walk(other), [put])
})

t.test('the newer record stands, whoever wrote it', async t => {
  const { mine, other } = two(t)
  const old = session('key', { version: { ms: start, logical: 0, node: 1 } })
  const newer = session('key', { version: { ms: start, logical: 1, node: 1 } })
  const gone = { ...newer, value: Buffer.alloc(0), tombstone: true }
  t.equal(mine.put(newer), true)
  t.equal(other.put(old), false)
  t.equal(other.put(newer), false, 'the same is no change')
  t.equal(other.put(gone), true, 'of equals the tombstone')
  t.equal(mine.read(old.table, old.key)?.tombstone, true)
  t.equal(walk(mine).length, 1)
})

t.test('a record may last for longer than an entry can say', async t => {
  const { mine, other } = two(t)
  const put = session('key', { expiresAt: 2 ** 48 - 1 })
  t.equal(mine.put(put), true)
  t.same(other.read(put.table, put.key), put)
})

t.test('a record is gone when its time is over', async t => {
  const { mine, other, clock } = two(t)
  const put = session('key', { expiresAt: start + 1_500 })
  mine.put(put)
  clock.ms += 1_499
  t.ok(other.read(put.table, put.key))
  clock.ms += 1
  t.equal(other.read(put.table, put.key), undefined)
  t.same(walk(other), [])
  t.equal(mine.put(put), false, 'nor is it put there afterwards')
})

t.test('whatever byte of a record or its entry changes, it is a miss', async t => {
  const { mine, other, files } = two(t)
  const put = session('key', { value: Buffer.alloc(40, 7) })
  mine.put(put)
  const ring = files.rings[0] as number
  let changed = 0
  const flip = (file: number, at: number) => {
    const byte = Buffer.alloc(1)
    readSync(file, byte, 0, 1, at)
    writeSync(file, Buffer.from([(byte[0] as number) ^ 0x40]), 0, 1, at)
    const found = other.read(put.table, put.key)
    writeSync(file, byte, 0, 1, at)
    changed += 1
    return found
  }
  for (let i = 0; i < recordHead + recordLength(put); i += 1) {
    t.equal(flip(ring, ringHead + i), undefined, `byte ${i} of the record`)
  }
  const bucket = Buffer.alloc(bucketBytes)
  for (let at = indexHead; bucket.every(byte => byte === 0); at += bucketBytes) {
    readSync(files.index, bucket, 0, bucketBytes, at)
    const from = bucket.findIndex(byte => byte !== 0)
    if (from < 0) continue
    // Not those of the expiry: the record has its own.
    const entry = at + from - (from % 16)
    for (const i of [0, 1, 2, 3, 8, 9, 10, 11, 12, 13, 14, 15]) {
      const found = flip(files.index, entry + i)
      t.ok(found === undefined || i === 13, `byte ${i} of the entry`)
    }
  }
  t.ok(changed > 80)
  t.same(other.read(put.table, put.key), put, 'and whole again it is found')
})

t.test('a full ring writes over its oldest, and takes no more memory', async t => {
  const seed = testSeed()
  t.comment(`SEED=${seed}`)
  const random = seededRandom(seed)
  const { mine, other, files, clock } = two(t, 1024 * KiB)
  clock.ms = Date.now()
  for (let i = 0; i < 5_000; i += 1) {
    const made = provable(random, 0, i)
    const put = { ...made, expiresAt: made.expiresAt + 1000 * i }
    if (mine.put(put) !== true) t.fail(`put ${i}`)
  }
  const found = Array.from({ length: 5_000 }, (_, i) =>
    other.read(tables.session, keyOf(0, i)),
  )
  t.ok(found.slice(-400).every(there => there !== undefined && isProven(there)))
  // One may stand behind where each lap ended.
  const left = found.slice(0, 2_000).filter(there => there !== undefined)
  t.ok(left.length <= 2, `${left.length} old ones`)
  t.ok(files.bytes <= 1024 * KiB, `${files.bytes} bytes`)
})

t.test('another process goes on behind what the last owner of a ring wrote', async t => {
  const { mine, files, clock } = two(t)
  const keys = ['a', 'b', 'c']
  for (const key of keys) mine.put(session(key))
  const again = ShelfFiles.open(files.place)
  if (again === undefined) throw new Error('no shelf')
  const heir = new Shelf({ files: again, clock })
  t.equal(heir.put(session('d')), 'full', 'without a ring it can only read')
  heir.claim(0)
  t.equal(heir.ring, 0)
  heir.put(session('d'))
  for (const key of [...keys, 'd']) t.ok(mine.read(tables.session, Buffer.from(key)), key)
  heir.close()
})

t.test('without memory for more it writes over what it has', async t => {
  const files = ShelfFiles.make(4096 * KiB, 2)
  if (files === undefined) throw new Error('no memory for files')
  const clock = new HandClock()
  let room = 256 * KiB
  const shelf = new Shelf({
    files,
    clock,
    write(descriptor, bytes, from, length, at) {
      if (at + length > room) {
        throw Object.assign(new Error('no space'), { code: 'ENOSPC' })
      }
      return writeSync(descriptor, bytes, from, length, at)
    },
  })
  shelf.claim(0)
  const value = Buffer.alloc(1024)
  for (let i = 0; i < 1_000; i += 1) {
    if (shelf.put(session(`${i}`, { value })) !== true) t.fail(`put ${i}`)
  }
  t.ok(shelf.read(tables.session, Buffer.from('999')))
  room = 0
  t.equal(shelf.put(session('more', { value })), 'full')
  t.equal(shelf.counts.full, 1)
  t.ok(shelf.read(tables.session, Buffer.from('999')), 'what was there stays')
  shelf.close()
})

t.test('a place that is not a shelf, or no more, is none', async t => {
  const { files } = two(t)
  const { place } = files
  t.equal(ShelfFiles.open({ ...place, id: '0011223344556677' }), undefined)
  t.equal(ShelfFiles.open({ ...place, descriptors: [0, 1] }), undefined)
  t.equal(
    ShelfFiles.open({ ...place, descriptors: place.descriptors.toReversed() }),
    undefined,
  )
  t.equal(ShelfFiles.open({ ...place, pid: 2 ** 30 }), undefined)
  t.equal(ShelfFiles.make(1_000), undefined, 'too small to be of use')
})

t.test(
  'a step of a walk is bounded, by what it looks at and by what it finds',
  async t => {
    const { mine, other } = two(t, 64 * 1024 * KiB)
    // An index of 8 MiB.
    let steps = 1
    for (let { next } = other.scan(0, 100); next !== undefined; steps += 1) {
      ;({ next } = other.scan(next, 100))
    }
    t.equal(steps, 8)
    for (let n = 0; n < 2_000; n += 1) mine.put(session(`session ${n}`))
    t.ok(other.scan(0, 1e6).records.length < 600)
    t.equal(walk(other).length, 2_000)
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
