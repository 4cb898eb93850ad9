import t from 'tap'
import { LossDetector } from '../../../lib/farm/peer/loss-detector.ts'
import { nackDelay } from '../../../lib/farm/peer/nack-delay.ts'
import { ReceiveWindow } from '../../../lib/farm/peer/receive-window.ts'
import { Chance } from '../../fixtures/simulator/chance.ts'

const alone = { size: 1, rank: 0 }
const half = () => 0.5

t.test('NACKs of a small group take turns, those of a large one spread', async t => {
  for (const size of [2, 9, 16]) {
    const delays = Array.from({ length: size }, (_, rank) =>
      nackDelay(77, { size, rank }, half),
    )
    t.equal(delays.filter(delay => delay === 1).length, 1, `one of ${size} asks at once`)
    t.ok(Math.max(...delays) <= 9)
  }
  const chance = new Chance(3)
  const delays = Array.from({ length: 64 }, () =>
    nackDelay(77, { size: 64, rank: 0 }, chance.next),
  ).sort((a, b) => a - b)
  t.ok(delays.every(delay => delay >= 1 && delay <= 5))
  const first = delays[0] ?? 0
  t.ok(delays.filter(delay => delay < first + 0.3).length <= 6, 'few before one is heard')
})

t.test('a loss is asked for, again with growing waits, then over the stream', async t => {
  const window = new ReceiveWindow(0)
  const detector = new LossDetector(window, half)
  window.mark(2)
  detector.look(2, alone, 0)
  t.equal(detector.deadline, 1, 'reordering is tolerated for a while')
  t.equal(detector.due(0.5), undefined)
  t.same(detector.due(1), { kind: 'nack', ranges: [{ first: 1, length: 1 }] })
  const waits: number[] = []
  let now = 1
  for (let i = 0; i < 8; i++) {
    waits.push(detector.deadline - now)
    now = detector.deadline
    const answer = detector.due(now)
    t.equal(answer?.kind, i < 6 ? 'nack' : 'pull')
  }
  t.same(waits, [20, 20, 40, 80, 160, 160, 160, 500])
  window.mark(1)
  detector.look(1, alone, now)
  t.equal(detector.deadline, Infinity, 'at rest')
})

t.test('a second gap is asked for by itself', async t => {
  const window = new ReceiveWindow(0)
  const detector = new LossDetector(window, half)
  window.mark(2)
  detector.look(2, alone, 0)
  detector.due(1)
  window.mark(5)
  detector.look(5, alone, 2)
  t.same(detector.due(3), { kind: 'nack', ranges: [{ first: 3, length: 2 }] })
  t.same(detector.due(21), {
    kind: 'nack',
    ranges: [
      { first: 1, length: 1 },
      { first: 3, length: 2 },
    ],
  })
})

t.test('who hears its question from another waits', async t => {
  const window = new ReceiveWindow(0)
  const detector = new LossDetector(window, half)
  window.mark(3)
  detector.look(3, { size: 9, rank: 4 }, 0)
  detector.overheard([{ first: 2, length: 1 }], 0.5)
  t.ok(detector.deadline < 20, 'only a part of it was asked for')
  detector.overheard([{ first: 1, length: 2 }], 0.6)
  t.equal(detector.deadline, 20.6)
  t.equal(detector.due(10), undefined)
})

t.test('at most 64 datagrams are asked for at a time', async t => {
  const window = new ReceiveWindow(0)
  const detector = new LossDetector(window, half)
  window.learn(1_000)
  detector.look(1_000, alone, 0)
  t.same(detector.due(1), { kind: 'nack', ranges: [{ first: 1, length: 64 }] })
  detector.look(1_000, alone, 1)
  t.equal(detector.due(5), undefined, 'the rest waits for the first')
  for (let sequence = 1; sequence <= 40; sequence++) window.mark(sequence)
  detector.look(40, alone, 6)
  t.same(detector.due(7), { kind: 'nack', ranges: [{ first: 65, length: 40 }] })
})
