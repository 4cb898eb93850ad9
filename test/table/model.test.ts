import t from 'tap'
import type { TableId } from '../../lib/record/key.ts'
import type { CacheRecord } from '../../lib/record/record.ts'
import { supersedes } from '../../lib/record/supersedes.ts'
import { TableModel } from '../fixtures/table/model.ts'
import {
  nameOf,
  newTable,
  scanAll,
  seeded,
  seededBytes,
  start,
} from '../fixtures/table/records.ts'

const seed = Number(process.env['SEED'] ?? 20_250_801)
const operations = 1_000_000
const keyCount = 3000

t.test(`a million random operations do what a Map does (seed ${seed})`, async t => {
  const random = seeded(seed)
  const { table, clock } = newTable({ maxBytes: 64 * 1024 * 1024 })
  const model = new TableModel(clock)
  const keys = makeKeys(random)
  const pool = seededBytes(random, 70_000)
  let wrong = 0
  let lost = 0

  for (let i = 0; i < operations && wrong === 0; i += 1) {
    const [id, key] = keys[random(keyCount)] as [TableId, Buffer]
    if (model.mayBeGone(id, key) && table.read(id, key) === undefined) {
      model.forget(id, key)
      lost += 1
    }
    const expiresAt = clock.ms + lifeOf(random)
    const given: CacheRecord = {
      table: id,
      key,
      value: someValue(random, pool),
      version: {
        ms: clock.ms - random(3),
        logical: random(2),
        node: random(2),
      },
      expiresAt,
      tombstone: false,
    }
    const dead = { ...given, value: Buffer.alloc(0), tombstone: true }
    const choice = random(1000)
    const agrees =
      choice < 400
        ? isSame(table.read(id, key), model.read(id, key))
        : choice < 500
          ? isSameValue(table.get(id, key), model.read(id, key))
          : choice < 850
            ? table.put(given) === model.put(given)
            : choice < 900
              ? table.put(dead) === model.put(dead)
              : true
    if (!agrees) {
      wrong += 1
      t.fail(`operation ${i} (choice ${choice}) differs`, {
        table: table.read(id, key),
        model: model.read(id, key),
        lapsed: model.mayBeGone(id, key),
      })
    }
    clock.ms += random(4)
    if (i % 20_000 === 0 && random(3) === 0) {
      clock.ms += random(200_000)
    } else if (i % 20_000 === 10_000 && random(3) === 0) {
      model.noteLapsed()
      clock.ms = Math.max(start, clock.ms - random(200_000))
    }
    if (random(100_000) === 0) {
      const purged = random(4) === 0 ? undefined : id
      table.purge(purged)
      model.purge(purged)
    } else if (random(20_000) === 0) {
      const upTo = {
        ms: clock.ms - random(100_000),
        logical: random(4),
        node: random(4),
      }
      table.purge(id, upTo)
      model.purge(id, upTo)
    }
  }

  t.equal(wrong, 0)
  t.ok(lost > 0, `clock jumps took ${lost} records`)
  const { evicted, corrupt } = table.stats()
  t.same({ evicted, corrupt }, { evicted: 0, corrupt: 0 })
  const seen = scanAll(table, 50)
  let expected = 0
  for (const kept of model.live()) {
    const found = seen.get(nameOf(kept.table, kept.key))
    if (found === undefined && model.mayBeGone(kept.table, kept.key)) continue
    expected += 1
    if (!isSame(found, kept)) t.fail('the walk differs', { found, kept })
  }
  t.equal(seen.size, expected)
})

t.test(`a full table answers the newest record or nothing (seed ${seed})`, async t => {
  const random = seeded(seed + 1)
  const { table, clock } = newTable({ maxBytes: 4 * 1024 * 1024 })
  const pool = seededBytes(random, 70_000)
  const newest = new Map<string, CacheRecord>()
  let hits = 0
  let wrong = 0
  for (let i = 0; i < 200_000; i += 1) {
    const key = Buffer.from(`key ${Math.floor((random(1000) * random(1000)) / 25)}`)
    const id = (1 + (key.length % 3)) as TableId
    const name = nameOf(id, key)
    if (random(2) === 0) {
      const given: CacheRecord = {
        table: id,
        key,
        value: someValue(random, pool),
        version: { ms: clock.ms - random(5), logical: random(3), node: 1 },
        expiresAt: clock.ms + 1 + random(100_000),
        tombstone: random(20) === 0,
      }
      const kept = { ...given, value: given.tombstone ? Buffer.alloc(0) : given.value }
      // What was evicted is forgotten, its version too; then any record is new.
      const old = table.read(id, key)
      const wins = old === undefined || supersedes(kept, old)
      if (table.put(given) !== wins) wrong += 1
      if (wins) newest.set(name, kept)
    } else {
      const found = table.read(id, key)
      if (found !== undefined && !isSame(found, newest.get(name))) wrong += 1
      if (found !== undefined) hits += 1
    }
    clock.ms += random(3)
    const { bytes, maxBytes } = table.stats()
    if (bytes > maxBytes) wrong += 1
  }
  t.equal(wrong, 0)
  t.ok(hits > 10_000, `${hits} hits`)
  const { evicted, corrupt } = table.stats()
  t.ok(evicted > 1000, `${evicted} evicted`)
  t.equal(corrupt, 0)
})

function makeKeys(random: (below: number) => number): [TableId, Buffer][] {
  return Array.from({ length: keyCount }, (_, i) => {
    const key = seededBytes(random, 4 + random(i % 50 === 0 ? 252 : 36))
    key.writeInt32LE(i)
    return [(1 + random(3)) as TableId, key]
  })
}

/** Mostly short values, now and then a large one. */
function someValue(random: (below: number) => number, pool: Buffer): Buffer {
  const length =
    random(500) === 0 ? random(65_537) : random(20) === 0 ? random(2000) : random(100)
  const from = random(pool.length - length)
  return pool.subarray(from, from + length)
}

/** From already expired to more than the 49 days that fit a narrow record. */
function lifeOf(random: (below: number) => number): number {
  const kind = random(100)
  if (kind === 0) return -random(1000)
  if (kind === 1) return 4_294_967_295 + random(3)
  if (kind < 30) return random(5000)
  return random(200_000)
}

function isSame(a: CacheRecord | undefined, b: CacheRecord | undefined): boolean {
  if (a === undefined || b === undefined) return a === b
  return (
    a.table === b.table &&
    a.key.equals(b.key) &&
    a.value.equals(b.value) &&
    a.version.ms === b.version.ms &&
    a.version.logical === b.version.logical &&
    a.version.node === b.version.node &&
    a.expiresAt === b.expiresAt &&
    a.tombstone === b.tombstone
  )
}

function isSameValue(value: Buffer | undefined, kept: CacheRecord | undefined): boolean {
  if (kept === undefined || kept.tombstone) return value === undefined
  return value?.equals(kept.value) === true
}
