import t from 'tap'
import {
  decodeKernel,
  encodeKernel,
  kernelLength,
} from '../../lib/takeover/host/board/kernel-codec.ts'
import { seededRandom, testSeed } from '../fixtures/random.ts'

const seed = testSeed()
t.comment(`SEED=${seed}`)
const random = seededRandom(seed)
const below = (limit: number) => Math.floor(random() * limit)

t.test('what a kernel has to be told comes out as it went in', async t => {
  for (let round = 0; round < 500; round++) {
    const state = {
      tcp: {
        sendStart: below(2 ** 32),
        receiveStart: below(2 ** 32),
        mss: below(65_536),
        sack: random() < 0.5,
        scale: random() < 0.5 ? { send: below(15), receive: below(15) } : undefined,
        timestamp: random() < 0.5 ? below(2 ** 32) : undefined,
      },
      readAt: below(2 ** 47),
    }
    const bytes = encodeKernel(state)
    t.equal(bytes.length, kernelLength)
    t.strictSame(decodeKernel(bytes), state)
  }
})

t.test('other bytes are refused', async t => {
  const right = encodeKernel({
    tcp: {
      sendStart: 1,
      receiveStart: 2,
      mss: 1_448,
      sack: true,
      scale: { send: 7, receive: 7 },
      timestamp: 3,
    },
    readAt: 4,
  })
  const changed = (at: number, to: number) => {
    const bytes = Buffer.from(right)
    bytes[at] = to
    return bytes
  }
  const wrong = {
    nothing: Buffer.alloc(0),
    'a byte less': right.subarray(1),
    'a byte more': Buffer.concat([right, Buffer.alloc(1)]),
    'unknown flags': changed(10, 8),
    'a scale beyond 14, sending': changed(11, 15),
    'a scale beyond 14, receiving': changed(12, 15),
  }
  for (const [what, bytes] of Object.entries(wrong)) {
    t.throws(() => decodeKernel(bytes), { code: 'ERR_HANDFAST_PROTOCOL' }, what)
  }
})
