import t from 'tap'
import { buzhashSeedLength } from '../../lib/table/buzhash.ts'
import {
  bucketBytes,
  entriesPerBucket,
  entryAt,
  entryLength,
  indexAt,
  indexHead,
  magic,
  recordAt,
  recordHead,
  ringAt,
  ringHead,
  unit,
} from '../../lib/table/shelf/shelf-layout.ts'

t.test('sizes of the index', async t => {
  t.equal(magic.length, indexAt.id)
  t.same(indexAt, { id: 8, buckets: 16, rings: 20, maxBytes: 24, seed: 40 })
  t.ok(indexAt.seed + buzhashSeedLength <= indexHead)
  t.equal(indexHead, 8192)
  t.equal(indexHead % bucketBytes, 0, 'no entry lies across two pages')
  t.equal(entryLength, 16)
  t.same(entryAt, { tag: 0, expires: 4, at: 8, length: 13, ring: 15 })
  t.equal(entriesPerBucket * entryLength, bucketBytes)
})

t.test('sizes of a ring', async t => {
  t.same(ringAt, { id: 0, number: 8, written: 16 })
  t.same(recordAt, { checksum: 0, length: 4 })
  t.equal(ringHead % unit, 0)
  t.equal(unit, 16)
  t.equal(recordHead, 8)
})
