import t from 'tap'
import { tables } from '../../lib/record/key.ts'
import { BuzHash, buzhashSeedLength } from '../../lib/table/buzhash.ts'
import { seeded, seededBytes } from '../fixtures/table/records.ts'

const million = 1_000_000
const seed = 7

/** Keys as they occur: each fills the buffer for one number. */
const kinds: Record<string, { length: number; fill: (key: Buffer, i: number) => void }> =
  {
    'random session IDs': {
      length: 32,
      fill: (() => {
        const random = seeded(seed)
        return (key: Buffer) => {
          for (let at = 0; at < 32; at += 4) key.writeUInt32LE(random(2 ** 32), at)
        }
      })(),
    },
    'keys that differ in a counter at the end': {
      length: 32,
      fill: (key, i) => void key.writeUInt32BE(i, 28),
    },
    'keys that differ in two bytes far apart and one bit': {
      length: 40,
      fill: (key, i) => {
        key[3] = i & 0xff
        key[35] = (i >>> 8) & 0xff
        key.writeUInt32LE(i >>> 16 === 0 ? 0 : 1 << (i >>> 16), 16)
      },
    },
  }

for (const [name, { length, fill }] of Object.entries(kinds)) {
  t.test(`a million ${name} spread evenly (seed ${seed})`, async t => {
    const hash = new BuzHash(seededBytes(seeded(seed), buzhashSeedLength))
    const key = Buffer.alloc(length, 0x5a)
    const count = 4096
    // Bits that choose the bucket, bits that make the tag, and both ends of the other half.
    const parts = ['low', 'low top', 'high', 'high top'] as const
    const cells = parts.map(() => new Uint32Array(count))
    for (let i = 0; i < million; i += 1) {
      fill(key, i)
      hash.update(tables.session, key, 0, length)
      const found = [hash.low, hash.low >>> 20, hash.high, hash.high >>> 20]
      for (let p = 0; p < parts.length; p += 1) {
        const cell = cells[p] as Uint32Array
        const at = (found[p] as number) & (count - 1)
        cell[at] = (cell[at] as number) + 1
      }
    }
    parts.forEach((part, p) => {
      const score = chiSquareScore(cells[p] as Uint32Array, million)
      t.ok(Math.abs(score) < 5, `${part}: ${score.toFixed(2)} standard deviations`)
    })
  })
}

t.test('what plain BUZhash mixes up', async t => {
  const hash = new BuzHash(seededBytes(seeded(seed), buzhashSeedLength))
  const of = (key: Buffer, table = 1) => {
    hash.update(table, key, 0, key.length)
    return `${hash.low},${hash.high}`
  }
  t.test('bytes swapped 64 apart', async t => {
    const key = Buffer.alloc(100, 1)
    key[10] = 7
    const swapped = Buffer.alloc(100, 1)
    swapped[74] = 7
    t.not(of(key), of(swapped))
  })
  t.test('keys of 64 equal bytes', async t => {
    const all = new Set<string>()
    for (let byte = 0; byte < 256; byte += 1) all.add(of(Buffer.alloc(64, byte)))
    t.equal(all.size, 256)
  })
  t.test('keys of different lengths, and of different tables', async t => {
    const all = new Set<string>()
    for (let length = 1; length < 256; length += 1) {
      for (const table of [1, 2, 3, 255]) all.add(of(Buffer.alloc(length), table))
    }
    t.equal(all.size, 255 * 4)
  })
  t.test('another process has another hash', async t => {
    const other = new BuzHash(seededBytes(seeded(seed + 1), buzhashSeedLength))
    other.update(1, Buffer.from('key'), 0, 3)
    hash.update(1, Buffer.from('key'), 0, 3)
    t.not(other.low, hash.low)
    t.not(other.high, hash.high)
  })
})

/** How many standard deviations chi-square is from its mean. */
function chiSquareScore(cells: Uint32Array, total: number): number {
  const expected = total / cells.length
  let sum = 0
  for (const cell of cells) sum += (cell - expected) ** 2 / expected
  const freedom = cells.length - 1
  return (sum - freedom) / Math.sqrt(2 * freedom)
}
