import t from 'tap'
import { tables } from '../../lib/record/key.ts'
import { BuzHash, buzhashSeedLength } from '../../lib/table/buzhash.ts'
import { Placement } from '../../lib/table/placement.ts'
import { seeded, seededBytes } from '../fixtures/table-records.ts'

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

t.test('placement', async t => {
  const members = Array.from({ length: 10 }, (_, i) => `proxy-${i}`)
  const key = Buffer.alloc(32)

  t.test('is the same on every member, however the others are listed', async t => {
    const here = new Placement()
    const there = new Placement()
    for (let i = 0; i < 1000; i += 1) {
      key.writeUInt32BE(i, 28)
      const owners = here.owners(tables.session, key, members, 3)
      t.same(there.owners(tables.session, key, members.toReversed(), 3), owners)
      if (new Set(owners).size !== 3) t.fail('an owner twice')
    }
    key.fill(1)
    t.same(
      here.owners(tables.session, key, members, 3),
      ['proxy-7', 'proxy-8', 'proxy-2'],
      'never changes: members of two releases must agree',
    )
  })

  t.test('follows the seed', async t => {
    const a = new Placement()
    const b = new Placement('another')
    let same = 0
    for (let i = 0; i < 1000; i += 1) {
      key.writeUInt32BE(i, 28)
      const [first] = a.owners(tables.session, key, members, 1)
      if (b.owners(tables.session, key, members, 1)[0] === first) same += 1
    }
    t.ok(same > 50 && same < 150, `${same} of 1000`)
  })

  t.test('gives each member its share, first and second', async t => {
    const placement = new Placement()
    const first = new Uint32Array(10)
    const second = new Uint32Array(10)
    for (let i = 0; i < 100_000; i += 1) {
      key.writeUInt32BE(i, 28)
      const owners = placement.owners(tables.session, key, members, 2)
      for (const [place, cells] of [first, second].entries()) {
        const at = members.indexOf(owners[place] as string)
        cells[at] = (cells[at] as number) + 1
      }
    }
    for (const cells of [first, second]) {
      const score = chiSquareScore(cells, 100_000)
      t.ok(Math.abs(score) < 5, `${score.toFixed(2)} standard deviations`)
    }
  })

  t.test('a member that leaves moves only its own keys', async t => {
    const placement = new Placement()
    const fewer = members.filter(id => id !== 'proxy-4')
    let moved = 0
    for (let i = 0; i < 10_000; i += 1) {
      key.writeUInt32BE(i, 28)
      const [before] = placement.owners(tables.session, key, members, 1)
      const [after] = placement.owners(tables.session, key, fewer, 1)
      if (before === after) continue
      moved += 1
      if (before !== 'proxy-4') t.fail(`moved from ${before}`)
    }
    t.ok(moved > 800 && moved < 1200, `${moved} of 10000`)
  })

  t.test('forgets members that are long gone', async t => {
    const placement = new Placement()
    for (let i = 0; i < 3000; i += 1) {
      placement.owners(tables.session, key, [`member ${i}`], 1)
    }
    t.same(
      placement.owners(tables.session, key, members, 3),
      new Placement().owners(tables.session, key, members, 3),
    )
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
