import t from 'tap'
import { ReceiveWindow } from '../../../lib/farm/peer/receive-window.ts'
import { Chance } from '../../fixtures/simulator/chance.ts'

t.test('a receive window agrees with a set', async t => {
  const seed = 11
  t.comment(`seed ${seed}`)
  const chance = new Chance(seed)
  const start = 2 ** 32 - 500
  const window = new ReceiveWindow(start)
  const taken = new Set<number>()
  let contiguous = start
  for (let i = 0; i < 20_000; i++) {
    const sequence = contiguous + chance.whole(-5, chance.happens(0.02) ? 5_000 : 40)
    const fresh =
      sequence > contiguous && sequence <= contiguous + 4_096 && !taken.has(sequence)
    if (window.fresh(sequence) !== fresh) {
      t.fail(`step ${i}: ${sequence} after ${contiguous}`)
      return
    }
    if (!fresh) continue
    window.mark(sequence)
    taken.add(sequence)
    while (taken.has(contiguous + 1)) contiguous += 1
    if (window.contiguous !== contiguous) {
      t.fail(`step ${i}: contiguous ${window.contiguous}, not ${contiguous}`)
      return
    }
  }
  t.ok(contiguous > start + 1_000)
})

t.test('a receive window says what is missing, and can be moved', async t => {
  const window = new ReceiveWindow(10)
  t.ok(window.complete)
  for (const sequence of [12, 13, 16]) window.mark(sequence)
  window.learn(18)
  t.same(window.missing(0, Infinity, 64, 64), [
    { first: 11, length: 1 },
    { first: 14, length: 2 },
    { first: 17, length: 2 },
  ])
  t.same(window.missing(0, Infinity, 2, 64), [
    { first: 11, length: 1 },
    { first: 14, length: 1 },
  ])
  t.same(window.missing(12, 15, 64, 1), [{ first: 14, length: 2 }])
  window.lower(8)
  t.same(window.missing(0, 13, 64, 64), [{ first: 9, length: 3 }], '12 and 13 stay')
  window.skip(14)
  t.equal(window.contiguous, 14)
  window.mark(15)
  t.equal(window.contiguous, 16, '16 had come')
  window.lower(16)
  t.equal(window.contiguous, 16, 'lowering never raises')
  window.lower(2)
  window.skip(40)
  t.ok(window.complete)
  const far = new ReceiveWindow(10_000)
  far.mark(10_002)
  far.lower(100)
  t.ok(far.fresh(10_002 - 9_000), 'beyond the bits everything is asked for again')
})
