import t from 'tap'
import { HybridClock, maxClockLead } from '../../lib/record/hybrid-clock.ts'
import { tableId, tables } from '../../lib/record/key.ts'
import {
  type CacheRecord,
  checkRecordSize,
  readRecord,
  recordHeaderLength,
  recordLength,
  writeRecord,
} from '../../lib/record/record.ts'
import { compareVersions, versionLength } from '../../lib/record/version.ts'
import { seededRandom, testSeed } from '../fixtures/random.ts'

const sample: CacheRecord = {
  table: tables.session,
  key: Buffer.from('key'),
  value: Buffer.from('the value'),
  version: { ms: 2 ** 48 - 2, logical: 0xfffe, node: 0xfffd },
  expiresAt: 2 ** 48 - 1,
  tombstone: false,
}

t.test('the layout is what its drawing says', async t => {
  t.equal(versionLength, 10)
  t.equal(recordHeaderLength, 22)
  const bytes = Buffer.alloc(recordLength(sample))
  t.equal(writeRecord(sample, bytes, 0), 22 + 3 + 9)
  t.equal(
    bytes.toString('hex'),
    '010003000009fffffffffffefffefffdffffffffffff6b65797468652076616c7565',
  )
})

t.test('a record is read as it was written', async t => {
  const tombstone = { ...sample, value: Buffer.alloc(0), tombstone: true }
  for (const record of [sample, tombstone]) {
    const bytes = Buffer.alloc(recordLength(record) + 7)
    writeRecord(record, bytes, 7)
    t.same(readRecord(bytes, 7), record)
  }
})

/** Up to 60 bytes, half of them small, as the fields of a header are. */
function noise(random: () => number): Buffer {
  const bytes = Buffer.alloc(Math.floor(random() * 60))
  for (let at = 0; at < bytes.length; at += 1) {
    bytes[at] = Math.floor(random() * (random() < 0.5 ? 3 : 256))
  }
  return bytes
}

t.test('malformed records are refused, never misread', async t => {
  const good = Buffer.alloc(recordLength(sample))
  writeRecord(sample, good, 0)
  const changed = (offset: number, value: number) => {
    const bytes = Buffer.from(good)
    bytes[offset] = value
    return bytes
  }
  const cases = {
    'table 0': changed(0, 0),
    'unknown flags': changed(1, 2),
    'an empty key': changed(2, 0),
    'a value beyond 64 KiB': changed(3, 2),
    'a tombstone with a value': changed(1, 1),
    'a value cut short': good.subarray(0, -1),
    'a header cut short': good.subarray(0, 21),
    nothing: Buffer.alloc(0),
  }
  for (const [name, bytes] of Object.entries(cases)) {
    t.throws(() => readRecord(bytes, 0), { code: 'ERR_HANDFAST_PROTOCOL' }, name)
  }
})

t.test('any bytes are a record or an ERR_HANDFAST_PROTOCOL', async t => {
  const seed = testSeed()
  t.comment(`SEED=${seed}`)
  const random = seededRandom(seed)
  const good = Buffer.alloc(recordLength(sample))
  writeRecord(sample, good, 0)
  let records = 0
  for (let round = 0; round < 20_000; round += 1) {
    const bytes = round % 2 === 0 ? noise(random) : Buffer.from(good)
    if (round % 2 === 1)
      bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256)
    try {
      const record = readRecord(bytes, 0)
      if (recordLength(record) > bytes.length) t.fail('reads beyond the end')
      records += 1
    } catch (error) {
      if ((error as { code?: string }).code !== 'ERR_HANDFAST_PROTOCOL') throw error
    }
  }
  // Most of a good record is key, value and version: any byte will do there.
  t.ok(records > 1_000, `${records} were records still`)
})

t.test('sizes beyond the limits are RangeErrors that name them', async t => {
  checkRecordSize(1, 0)
  checkRecordSize(255, 65_536)
  t.throws(() => checkRecordSize(0, 0), /key must have 1 to 255 bytes, got 0/)
  t.throws(() => checkRecordSize(256, 0), /key must have 1 to 255 bytes, got 256/)
  t.throws(() => checkRecordSize(1, 65_537), /at most 65536 bytes, got 65537/)
  t.equal(tableId(255), 255)
  for (const id of [0, 256, 1.5, Number.NaN]) t.throws(() => tableId(id), RangeError)
})

t.test('the hybrid clock', async t => {
  let now = 1000
  const clock = { now: () => now, monotonic: () => now, after: () => ({ cancel() {} }) }
  const versions = new HybridClock(clock, 7)

  t.test('always goes forward, whatever the wall clock does', async t => {
    let last = versions.tick()
    for (const step of [0, 0, 5, -500, 0, 700, -1]) {
      now += step
      const next = versions.tick()
      t.ok(compareVersions(next, last) > 0, `${step}`)
      t.equal(next.node, 7)
      last = next
    }
  })

  t.test('runs over into the next millisecond', async t => {
    let last = versions.tick()
    for (let n = 0; n < 70_000; n += 1) {
      const next = versions.tick()
      if (compareVersions(next, last) <= 0) t.fail('went back')
      last = next
    }
    t.ok(last.logical <= 0xffff)
  })

  t.test(
    'overtakes what it hears from others, but for a clock that is far ahead',
    async t => {
      const ahead = { ms: now + 20_000, logical: 3, node: 1 }
      t.equal(versions.witness(ahead), true)
      t.ok(compareVersions(versions.tick(), ahead) > 0)
      const lunatic = { ms: now + maxClockLead + 1, logical: 0, node: 1 }
      t.equal(versions.witness(lunatic), false)
      t.ok(compareVersions(versions.tick(), lunatic) < 0)
    },
  )
})

t.test('versions order by time, then count, then node', async t => {
  const version = { ms: 2, logical: 2, node: 2 }
  t.equal(compareVersions(version, { ...version }), 0)
  for (const field of ['ms', 'logical', 'node'] as const) {
    t.ok(compareVersions(version, { ...version, [field]: 1 }) > 0, field)
    t.ok(compareVersions(version, { ...version, [field]: 3 }) < 0, field)
  }
  t.ok(compareVersions({ ms: 3, logical: 0, node: 0 }, version) > 0)
})
