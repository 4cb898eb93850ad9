import t from 'tap'
import {
  type Checkpoint,
  longestCheckpoint,
} from '../../../lib/takeover/checkpoint/checkpoint.ts'
import {
  bundleOf,
  decodeCheckpoint,
  encodeCheckpoint,
} from '../../../lib/takeover/checkpoint/codec.ts'
import { seededRandom, testSeed } from '../../fixtures/random.ts'
import {
  askedCheckpoint,
  fullCheckpoint,
  idleCheckpoint,
} from '../../fixtures/takeover/checkpoints.ts'

const protocol = { code: 'ERR_HANDFAST_PROTOCOL' }

t.test('a checkpoint is the same after a way through bytes', async t => {
  for (const checkpoint of [fullCheckpoint, idleCheckpoint, askedCheckpoint]) {
    t.strictSame(decodeCheckpoint(encoded(checkpoint)), checkpoint)
  }
})

t.test(
  'the bundle of a checkpoint is read from its front, and none from anything else',
  async t => {
    t.strictSame(bundleOf(encoded(fullCheckpoint)), fullCheckpoint.bundle)
    t.equal(bundleOf(encoded(idleCheckpoint)), undefined)
    for (const length of [0, 1, 20, 30, 40]) {
      t.equal(bundleOf(encoded(fullCheckpoint).subarray(0, length)), undefined)
    }
    t.equal(bundleOf(Buffer.alloc(60, 7)), undefined)
  },
)

t.test('a byte less or more is refused', async t => {
  const bytes = encoded(fullCheckpoint)
  for (let length = 0; length < bytes.length; length++) {
    const cut = bytes.subarray(0, length)
    try {
      decodeCheckpoint(cut)
      t.fail(`${length} bytes were taken`)
    } catch (error) {
      if ((error as { code?: string }).code !== protocol.code) throw error
    }
  }
  t.throws(() => decodeCheckpoint(Buffer.concat([bytes, Buffer.alloc(1)])), protocol)
})

t.test('whatever bits are turned, it is a checkpoint or refused', async t => {
  const seed = testSeed()
  t.comment(`SEED=${seed}`)
  const random = seededRandom(seed)
  const bytes = encoded(fullCheckpoint)
  let refused = 0
  for (let round = 0; round < 5_000; round++) {
    const turned = Buffer.from(bytes)
    for (let flips = 1 + random() * 4; flips > 0; flips--) {
      const at = Math.floor(random() * turned.length)
      turned[at] = (turned[at] as number) ^ (1 << Math.floor(random() * 8))
    }
    try {
      decodeCheckpoint(turned)
    } catch (error) {
      if ((error as { code?: string }).code !== protocol.code) throw error
      refused++
    }
  }
  t.ok(refused > 0, `${refused} of 5000 were refused`)
})

t.test('another version is refused', async t => {
  const bytes = encoded(idleCheckpoint)
  bytes[0] = 2
  t.throws(() => decodeCheckpoint(bytes), protocol)
})

t.test('a plan of other bytes than its object is refused', async t => {
  const { owed } = fullCheckpoint
  const response = owed?.response
  if (owed === undefined || response === undefined) throw new Error('there is one')
  const representation = { ...response.representation, first: 11 }
  const wrong = {
    ...fullCheckpoint,
    owed: { ...owed, response: { ...response, representation } },
  }
  t.throws(() => decodeCheckpoint(encoded(wrong)), protocol)
})

t.test('what is too long is not written, and not read', async t => {
  const { owed } = askedCheckpoint
  if (owed === undefined) throw new Error('there is one')
  const fields = ['Cookie', 'x'.repeat(longestCheckpoint)]
  const request = { ...owed.request, fields }
  t.equal(encodeCheckpoint({ ...askedCheckpoint, owed: { ...owed, request } }), undefined)
  t.throws(() => decodeCheckpoint(Buffer.alloc(longestCheckpoint + 1, 1)), protocol)
})

function encoded(checkpoint: Checkpoint): Buffer {
  const bytes = encodeCheckpoint(checkpoint)
  if (bytes === undefined) throw new Error('it is short enough')
  return bytes
}
