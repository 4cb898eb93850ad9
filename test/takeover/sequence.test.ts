import t from 'tap'
import {
  positionOf,
  sequenceAt,
  signedDistance,
} from '../../lib/takeover/native/sequence.ts'
import { seededRandom, testSeed } from '../fixtures/random.ts'

t.test('a sequence number wraps at 2^32, and a position does not', async t => {
  t.equal(sequenceAt(0xffff_fff0, 0x20), 0x10)
  t.equal(positionOf(0xffff_fff0, 0x10, 0), 0x20)
  t.equal(sequenceAt(5, -10), 0xffff_fffb)
  t.equal(signedDistance(0xffff_ffff, 1), 2)
  t.equal(signedDistance(1, 0xffff_ffff), -2)
})

t.test('every position is found again from near it', async t => {
  const seed = testSeed()
  t.comment(`SEED=${seed}`)
  const random = seededRandom(seed)
  for (let round = 0; round < 10_000; round++) {
    const start = Math.floor(random() * 2 ** 32)
    const position = Math.floor(random() * 2 ** 44)
    const near = Math.max(0, position + Math.floor((random() - 0.5) * (2 ** 32 - 2)))
    const found = positionOf(start, sequenceAt(start, position), near)
    if (found !== position) t.fail(`${start} ${position} ${near}: ${found}`)
  }
})
