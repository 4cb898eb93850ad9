import { PassThrough } from 'node:stream'
import t from 'tap'
import { HandshakeMeter } from '../../lib/resumption/handshake-cost.ts'
import { ManualClock } from '../fixtures/manual-clock.ts'

t.test('the first handshakes are measured, then four in a second', async t => {
  const clock = new ManualClock()
  const meter = new HandshakeMeter(clock)
  let measured = 0
  /** So many handshakes, with so many milliseconds before each. */
  const handshakes = async (count: number, apart: number): Promise<number> => {
    const before = measured
    for (let i = 0; i < count; i += 1) {
      clock.advance(apart)
      const socket = Object.assign(new PassThrough(), { bytesWritten: 0 })
      const answer = () => Object.assign(socket, { bytesWritten: 1_000 })
      meter.measure(
        socket,
        () => process.nextTick(answer),
        () => (measured += 1),
      )
      await new Promise(resolve => setImmediate(resolve))
    }
    return measured - before
  }
  t.equal(await handshakes(64, 1), 64)
  t.equal(await handshakes(1_000, 1), 4)
  t.equal(await handshakes(4, 1_000), 4)
})

t.test('a flight that is only a request for another hello is no handshake', async t => {
  const meter = new HandshakeMeter(new ManualClock())
  const socket = Object.assign(new PassThrough(), { bytesWritten: 99 })
  meter.measure(
    socket,
    () => {},
    () => t.fail('it was measured'),
  )
  await new Promise(resolve => setImmediate(resolve))
  t.equal(meter.snapshot().full.samples, 0)
})

t.test('the median of what was measured is told for each kind', t => {
  const meter = new HandshakeMeter(new ManualClock())
  for (const seconds of [3, 1, 2]) meter.add(false, seconds)
  meter.add(true, 5)
  const { full, resumed } = meter.snapshot()
  t.same(full, { samples: 3, seconds: 2 })
  t.same(resumed, { samples: 1, seconds: 5 })
  t.end()
})
