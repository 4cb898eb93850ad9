import t from 'tap'
import { closeFrame, FrameBoundary } from '../../../lib/proxy/relay/frame-boundary.ts'
import { seededRandom, testSeed } from '../../fixtures/random.ts'

/** A frame of so many bytes, with the shortest form of its length unless told otherwise. */
function frame(length: number, { opcode = 2, mask = false, form = 0 } = {}): Buffer {
  const short = length < 126 && form === 0
  const middle = length < 65_536 && form < 2
  const header = Buffer.alloc(2 + (short ? 0 : middle ? 2 : 8))
  header[0] = 0x80 | opcode
  header[1] = (mask ? 0x80 : 0) | (short ? length : middle ? 126 : 127)
  if (!short && middle) header.writeUInt16BE(length, 2)
  else if (!short) header.writeBigUInt64BE(BigInt(length), 2)
  return Buffer.concat([header, Buffer.alloc(mask ? 4 : 0), Buffer.alloc(length, 0x88)])
}

t.test('it is known where frames end, however their bytes come', async t => {
  const seed = testSeed()
  t.comment(`SEED=${seed}`)
  const random = seededRandom(seed)
  const lengths = [0, 1, 125, 126, 127, 65_535, 65_536, 100_000]
  for (let round = 0; round < 60; round++) {
    const frames = Array.from({ length: 6 }, () =>
      frame(lengths[Math.floor(random() * lengths.length)] as number, {
        mask: random() < 0.3,
        form: Math.floor(random() * 3),
      }),
    )
    const ends = new Set<number>([0])
    let end = 0
    for (const one of frames) {
      end += one.length
      ends.add(end)
    }
    const stream = Buffer.concat(frames)
    const boundary = new FrameBoundary()
    for (let at = 0; at < stream.length; ) {
      const size = 1 + Math.floor(random() * (random() < 0.5 ? 4 : 70_000))
      boundary.take(stream.subarray(at, at + size))
      at = Math.min(stream.length, at + size)
      if (boundary.isBetween !== ends.has(at)) {
        t.fail(`at ${at} of ${[...ends]}`)
        return
      }
    }
    t.ok(boundary.isBetween)
  }
})

t.test('after a close frame, or in what can not be counted, none may follow', async t => {
  const closed = new FrameBoundary()
  closed.take(closeFrame(1001))
  t.notOk(closed.isBetween)
  const endless = new FrameBoundary()
  endless.take(Buffer.from('827fffffffffffffffff', 'hex'))
  t.notOk(endless.isBetween)
  endless.take(Buffer.alloc(100))
  t.notOk(endless.isBetween)
})

t.test('a close frame as RFC 6455 has it', async t => {
  t.equal(closeFrame(1001).toString('hex'), '880203e9')
  t.equal(closeFrame(1012).toString('hex'), '880203f4')
})
