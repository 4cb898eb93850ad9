import { randomBytes } from 'node:crypto'
import t from 'tap'
import { type TableId, tables } from '../../lib/record/key.ts'
import { type CacheRecord, maxValueLength } from '../../lib/record/record.ts'
import {
  recordSealer,
  sealedNameLength,
  sealedOverhead,
  sealedVersionAt,
} from '../../lib/record/record-sealer.ts'
import { readVersion } from '../../lib/record/version.ts'

const key = randomBytes(32)
const sealer = recordSealer(key)

const record: CacheRecord = {
  table: tables.session,
  key: Buffer.from('a session id'),
  value: Buffer.from('a master secret'),
  version: { ms: 2 ** 48 - 2, logical: 7, node: 65_535 },
  expiresAt: 2 ** 48 - 1,
  tombstone: false,
}

t.test('a record comes back as it was, from another process as well', async t => {
  const deleted = { ...record, value: Buffer.alloc(0), tombstone: true }
  const long = { ...record, key: randomBytes(255), value: randomBytes(maxValueLength) }
  for (const one of [record, deleted, long, { ...record, value: Buffer.alloc(0) }]) {
    const name = sealer.name(one.table, one.key)
    const sealed = sealer.seal(one)
    t.same(sealer.open(name, sealed), one)
    t.same(recordSealer(key).open(name, sealed), one)
    t.equal(sealed.length, sealedOverhead + one.key.length + one.value.length)
    t.equal(name.length, sealedNameLength)
    t.same(readVersion(sealed, sealedVersionAt), one.version)
  }
})

t.test('the place learns neither key nor value, nor that two are equal', async t => {
  const name = sealer.name(record.table, record.key)
  const [one, other] = [sealer.seal(record), sealer.seal(record)]
  t.not(one.compare(other), 0)
  for (const bytes of [name, one, other]) {
    t.notOk(bytes.includes(record.key))
    t.notOk(bytes.includes(record.value))
  }
  t.equal(name[0], tables.session, 'only the table')
  const elsewhere = sealer.name(tables.auth, record.key)
  t.notOk(elsewhere.subarray(1).equals(name.subarray(1)))
})

t.test('a record that was altered anywhere is a miss', async t => {
  const name = sealer.name(record.table, record.key)
  const sealed = sealer.seal(record)
  for (let at = 0; at < sealed.length; at += 1) {
    const altered = Buffer.from(sealed)
    altered[at] = (altered[at] ?? 0) ^ 1
    t.equal(sealer.open(name, altered), undefined, `byte ${at}`)
  }
  for (let length = 0; length < sealed.length; length += 1)
    t.equal(sealer.open(name, sealed.subarray(0, length)), undefined)
  t.equal(sealer.open(name, Buffer.concat([sealed, Buffer.of(0)])), undefined)
})

t.test('a record under another name, or of another secret, is a miss', async t => {
  const sealed = sealer.seal(record)
  const name = sealer.name(record.table, record.key)
  t.equal(sealer.open(sealer.name(record.table, Buffer.from('other')), sealed), undefined)
  t.equal(sealer.open(sealer.name(tables.auth, record.key), sealed), undefined)
  const foreign = recordSealer(randomBytes(32))
  t.equal(foreign.open(foreign.name(record.table, record.key), sealed), undefined)
  t.equal(foreign.open(name, sealed), undefined)
  t.equal(sealer.open(Buffer.alloc(sealedNameLength), sealed), undefined)
  t.equal(sealer.open(Buffer.alloc(0), sealed), undefined)
})

t.test('bytes that nobody sealed are a miss and no error', async t => {
  const name = sealer.name(5 as TableId, Buffer.from('k'))
  for (const length of [0, 1, 49, 50, 51, 66, 67, 68, 69, 1_000, 100_000])
    for (const first of [0, 1]) {
      const noise = randomBytes(length)
      if (length > 1) noise[0] = first
      if (length > 1) noise[1] = 0
      t.equal(sealer.open(name, noise), undefined)
    }
})
