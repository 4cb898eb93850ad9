import t from 'tap'
import type { TableId } from '../../lib/record/key.ts'
import { BuzHash, buzhashSeedLength } from '../../lib/table/buzhash.ts'
import {
  at,
  bucketHalves,
  bucketLength,
  bucketWords,
  firstPlace,
  linkWord,
  maxSegmentLength,
  minSegmentLength,
  narrowAt,
  narrowHeader,
  type Offset,
  type SegmentNumber,
  segmentLength,
  slotsPerBucket,
  wideAt,
  wideHeader,
} from '../../lib/table/layout.ts'
import { Segment, storedLength } from '../../lib/table/segment/segment.ts'
import { type TtlClass, ttlClass, ttlClasses } from '../../lib/table/segment/ttl-class.ts'
import { record, seeded, seededBytes, start } from '../fixtures/table/records.ts'

const MiB = 1024 * 1024
const epoch = start - 2 ** 36

t.test('sizes', async t => {
  t.equal(narrowHeader, 20)
  t.equal(wideHeader, 24)
  t.same(at, { checksum: 0, shape: 4, ms: 8 })
  t.same(narrowAt, { logical: 12, node: 14, life: 16 })
  t.same(wideAt, { logical: 14, node: 16, expiry: 18 })
  t.equal(bucketLength, 64)
  t.equal(bucketHalves * 2, bucketLength)
  t.equal(bucketWords * 4, bucketLength)
  t.equal(slotsPerBucket * 2, firstPlace * 4, 'places begin where the marks end')
  t.equal(firstPlace + slotsPerBucket, linkWord, 'the link stands behind the places')
  t.equal((linkWord + 1) * 4, bucketLength)
})

t.test('a segment is a 64th of the table, from 128 KiB to 1 MiB', async t => {
  for (const [table, segment] of [
    [4 * MiB, minSegmentLength],
    [15 * MiB, minSegmentLength],
    [16 * MiB, 2 * minSegmentLength],
    [64 * MiB, MiB],
    [256 * MiB, MiB],
    [4096 * MiB, maxSegmentLength],
  ] as const) {
    t.equal(segmentLength(table), segment, `${table / MiB} MiB`)
  }
})

t.test('the bytes of a record', async t => {
  const segment = newSegment()
  const hash = newHash()
  const narrow = record({
    key: 'ab',
    value: 'xyz',
    version: { ms: epoch + 0x15_0203_0405, logical: 0x0708, node: 0x090a },
    expiresAt: epoch + 0x15_0203_0405 + 0x0b0c,
  })
  hash.update(1, narrow.key, 0, 2)
  t.equal(segment.append(narrow, hash), 0)
  t.equal(storedLength(narrow, epoch), 25)
  t.equal(segment.end, 25)
  const bytes = segment.bytes.subarray(4, 25).toString('hex')
  t.equal(bytes, '0300a802' + '05040302' + '0807' + '0a09' + '0c0b0000' + '616278797a')
  t.same(segment.recordAt(0 as Offset), narrow)

  const version = { ms: 0x0102_0304_0506, logical: 0x0708, node: 0x090a }
  const wide = record({ key: 'ab', tombstone: true, version, expiresAt: 2 ** 48 - 1 })
  t.equal(storedLength(wide, epoch), 26)
  const offset = segment.append(wide, hash)
  t.equal(offset, 25)
  t.equal(segment.end, 51)
  t.equal(
    segment.bytes.subarray(29, 51).toString('hex'),
    '00000602' + '060504030201' + '0807' + '0a09' + 'ffffffffffff' + '6162',
  )
  t.same(segment.recordAt(offset), wide)
  t.equal(segment.isIntact(offset, hash), true)
})

t.test('records at the edge of narrow', async t => {
  const hash = newHash()
  for (const [ms, life, length] of [
    [0, 0, 23],
    [2 ** 37 - 1, 2 ** 32 - 1, 23],
    [-1, 5, 27],
    [2 ** 37, 5, 27],
    [5, -1, 27],
    [5, 2 ** 32, 27],
  ] as const) {
    const segment = newSegment()
    const version = { ms: epoch + ms, logical: 0, node: 0 }
    const given = record({ key: 'a', value: 'bc', version, expiresAt: epoch + ms + life })
    t.equal(storedLength(given, epoch), length)
    const offset = segment.append(given, hash)
    t.equal(segment.end, length)
    t.same(segment.recordAt(offset), given)
    t.equal(segment.expiryAt(offset), given.expiresAt)
  }
})

t.test('any changed byte of a record is seen', async t => {
  const random = seeded(3)
  for (const given of [
    record({ value: '' }),
    record({ value: seededBytes(random, 37) }),
    record({ tombstone: true, expiresAt: start + 2 ** 40 }),
  ]) {
    const segment = newSegment()
    const hash = newHash()
    hash.update(1, given.key, 0, given.key.length)
    const offset = segment.append(given, hash)
    for (let i = 0; i < segment.end; i += 1) {
      for (let bit = 0; bit < 8; bit += 1) {
        flip(segment.bytes, i, bit)
        const seen = !segment.hasKey(offset, given.key) || !segment.isIntact(offset, hash)
        if (!seen) t.fail(`bit ${bit} of byte ${i} of ${segment.end}`)
        flip(segment.bytes, i, bit)
      }
    }
    t.equal(segment.isIntact(offset, hash), true)
  }
})

t.test('classes of time to live are a quarter of an octave wide', async t => {
  t.equal(ttlClass(-5), 0)
  t.equal(ttlClass(0), 0)
  t.equal(ttlClass(1023), 0)
  t.equal(ttlClass(1024), 1)
  t.equal(ttlClass(2 ** 48), ttlClasses - 1)
  let last = 0
  for (let left = 1024; left < 2 ** 33; left = Math.ceil(left * 1.01)) {
    const found = ttlClass(left)
    if (found !== last && found !== last + 1)
      t.fail(`from ${last} to ${found} at ${left}`)
    if (ttlClass(left * 1.26) === found && found < ttlClasses - 1)
      t.fail(`wide at ${left}`)
    last = found
  }
  t.equal(last, ttlClasses - 1)
})

function newSegment(): Segment {
  return new Segment(
    1 as SegmentNumber,
    1 as TableId,
    0 as TtlClass,
    Buffer.alloc(minSegmentLength),
    epoch,
  )
}

function newHash(): BuzHash {
  return new BuzHash(seededBytes(seeded(2), buzhashSeedLength))
}

function flip(bytes: Buffer, i: number, bit: number): void {
  bytes[i] = (bytes[i] as number) ^ (1 << bit)
}
