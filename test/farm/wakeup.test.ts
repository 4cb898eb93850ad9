import t from 'tap'
import { Wakeup } from '../../lib/farm/wakeup.ts'
import { ManualClock } from '../fixtures/manual-clock.ts'

t.test('a deadline that has moved on is not due when it was to be', async t => {
  const clock = new ManualClock()
  const due: number[] = []
  const start = clock.monotonic()
  const wakeup = new Wakeup(clock, () => due.push(clock.monotonic() - start))
  wakeup.arm(start + 10, start)
  clock.advance(4)
  wakeup.arm(start + 25, clock.monotonic())
  clock.advance(20)
  t.same(due, [])
  clock.advance(1)
  t.same(due, [25])
  t.equal(clock.waiting, 0, 'until it is armed again')
})

t.test('an earlier deadline is kept, and none is no deadline', async t => {
  const clock = new ManualClock()
  let due = 0
  const start = clock.monotonic()
  const wakeup = new Wakeup(clock, () => {
    due += 1
  })
  wakeup.arm(start + 100, start)
  wakeup.arm(start + 10, start)
  t.equal(clock.waiting, 1)
  wakeup.arm(Infinity, start)
  clock.advance(100)
  t.equal(due, 0)
  wakeup.arm(start + 110, clock.monotonic())
  wakeup.close()
  clock.advance(100)
  t.equal(due, 0)
})

t.test('what is due already comes with the next turn of the loop, once', async t => {
  const clock = new ManualClock()
  let due = 0
  const wakeup = new Wakeup(clock, () => {
    due += 1
  })
  const now = clock.monotonic()
  wakeup.arm(now, now)
  wakeup.arm(now - 1, now)
  t.equal(due, 0)
  await new Promise(resolve => setImmediate(resolve))
  t.equal(due, 1)
})
