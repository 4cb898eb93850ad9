import t from 'tap'
import { EpochKey } from '../../../lib/resumption/ticket/epoch-key.ts'
import {
  longestChain,
  readName,
  sealedLineageLength,
  writeName,
} from '../../../lib/resumption/ticket/ticket-name.ts'

const day = 24 * 3_600_000
const minute = 60_000
const begin = Date.UTC(2026, 2, 1)
const lineage = Buffer.from('0102030405060708ff', 'hex')

t.test('the layout of a name is fixed', async t => {
  const name = Buffer.alloc(16)
  writeName(name, { lineage, originalAt: 0x1_8899_aabb }, 0xcc)
  t.equal(name.toString('hex'), '0102030405060708ff8899aabbcc0000')
  t.equal(sealedLineageLength, 9)
})

t.test('a name says what was written, to the millisecond', async t => {
  const mask = Buffer.alloc(16, 0x5a)
  // Time modulo 2^32 comes round within these.
  for (let days = 0; days < 120; days += 1) {
    const originalAt = begin + days * day + days
    for (const age of [-5 * minute, -1, 0, 1, day, longestChain]) {
      const name = Buffer.from(mask)
      writeName(name, { lineage, originalAt }, 7)
      const read = readName(name, mask, originalAt + age)
      t.same(read, { lineage, originalAt, tag: 7 }, `${days} days, ${age} ms`)
    }
  }
})

t.test('what was written too long ago or too far ahead is not read', async t => {
  const mask = Buffer.alloc(16, 0x5a)
  const name = Buffer.from(mask)
  writeName(name, { lineage, originalAt: begin }, 7)
  for (const age of [-5 * minute - 1, -day, 39 * day, 49 * day]) {
    t.equal(readName(name, mask, begin + age), undefined, `${age} ms`)
  }
})

t.test('no other mask reads it', async t => {
  const key = new EpochKey(Buffer.alloc(32, 1))
  const other = new EpochKey(Buffer.alloc(32, 2))
  let noise = 0
  for (let n = 0; n < 2_000; n += 1) {
    const { iv, mask } = key.draw()
    writeName(mask, { lineage, originalAt: begin }, 7)
    t.match(readName(mask, key.mask(iv), begin), { lineage, originalAt: begin })
    if (readName(mask, other.mask(iv), begin) !== undefined) noise += 1
  }
  t.ok(noise <= 2, `${noise} of 2000`)
})

t.test('names of one chain look like random bytes', async t => {
  const key = new EpochKey(Buffer.alloc(32, 1))
  const seen = new Set<string>()
  const ones = Array.from({ length: 128 }, () => 0)
  const names: Buffer[] = []
  const count = 4_096
  for (let n = 0; n < count; n += 1) {
    const { iv, mask: name } = key.draw()
    writeName(name, { lineage, originalAt: begin }, 7)
    names.push(name)
    seen.add(name.toString('hex')).add(iv.toString('hex'))
    for (const bit of ones.keys()) {
      if (((name[bit >> 3] ?? 0) >> (bit & 7)) & 1) ones[bit] = (ones[bit] ?? 0) + 1
    }
  }
  t.equal(seen.size, 2 * count, 'no name and no IV comes twice')
  // Six standard deviations of a fair coin: 1 in 4 million for all 128.
  for (const [bit, sum] of ones.entries()) {
    if (Math.abs(sum - count / 2) > 3 * Math.sqrt(count)) t.fail(`bit ${bit}: ${sum}`)
  }
  const changed = names.slice(1).map((name, n) => distance(name, names[n] as Buffer))
  const mean = changed.reduce((sum, bits) => sum + bits, 0) / changed.length
  t.ok(Math.abs(mean - 64) < 1, `${mean} of 128 bits differ from one to the next`)
})

function distance(a: Buffer, b: Buffer): number {
  let bits = 0
  for (const [at, byte] of a.entries()) {
    for (let rest = byte ^ (b[at] ?? 0); rest > 0; rest >>= 1) bits += rest & 1
  }
  return bits
}
