import t from 'tap'
import { ReplayWindow, replayWindowLength } from '../../lib/wire/replay-window.ts'
import { Chance } from '../fixtures/simulator/chance.ts'

t.test('each number passes once', async t => {
  const window = new ReplayWindow()
  t.ok(window.fresh(1))
  t.ok(window.fresh(1), 'asking does not take it')
  window.mark(1)
  t.notOk(window.fresh(1))
  window.mark(10)
  t.ok(window.fresh(5), 'late is not old')
  window.mark(5)
  t.notOk(window.fresh(5))
  t.ok(window.fresh(11))
})

t.test('what is too old does not pass, taken or not', async t => {
  const window = new ReplayWindow()
  const last = 2 ** 32 + 10
  window.mark(last)
  t.ok(window.fresh(last - replayWindowLength + 1))
  t.notOk(window.fresh(last - replayWindowLength))
  window.mark(last + 10 * replayWindowLength)
  t.ok(window.fresh(last + 10 * replayWindowLength - 1), 'a leap leaves nothing behind')
})

t.test('agrees with a set that forgets nothing', async t => {
  const seed = 5
  t.comment(`seed ${seed}`)
  const chance = new Chance(seed)
  const window = new ReplayWindow()
  const taken = new Set<number>()
  let highest = 2 ** 32 - 3_000
  window.mark(highest)
  taken.add(highest)
  for (let i = 0; i < 30_000; i++) {
    const sequence = highest + chance.whole(-5_000, chance.happens(0.01) ? 6_000 : 3)
    const expected = !taken.has(sequence) && sequence > highest - replayWindowLength
    if (window.fresh(sequence) !== expected) {
      t.fail(`step ${i}: ${sequence}, highest ${highest}`)
      return
    }
    if (!expected) continue
    window.mark(sequence)
    taken.add(sequence)
    highest = Math.max(highest, sequence)
  }
  t.pass('30,000 steps')
})
