import t from 'tap'
import { WriteWaits } from '../../../lib/farm/sending/write-waits.ts'

t.test('writes settle when their level is reached, or their time is up', async t => {
  const waits = new WriteWaits()
  const add = (token: number, level: 'one' | 'all', sequence: number, expires = 100) => {
    const wait = { token, level, sequence, expires }
    waits.add(wait)
    return wait
  }
  add(1, 'one', 5)
  add(2, 'all', 5)
  add(3, 'one', 6)
  const unsent = add(4, 'one', 0, 50)
  t.ok(waits.unanswered)
  t.same(
    waits.settle(level => (level === 'one' ? 5 : 4)),
    [{ token: 1, reached: true }],
  )
  t.same(waits.expire(49), [])
  t.same(waits.expire(50), [{ token: 4, reached: false }])
  t.equal(waits.size, 2)
  t.same(waits.drop([unsent]), [{ token: 4, reached: false }])
  t.same(
    waits
      .clear()
      .map(({ token }) => token)
      .sort(),
    [2, 3],
  )
})

t.test('the deadline is that of the waits that are left', async t => {
  const waits = new WriteWaits()
  t.equal(waits.deadline, Infinity)
  waits.add({ token: 1, level: 'one', sequence: 1, expires: 10 })
  waits.add({ token: 2, level: 'one', sequence: 2, expires: 40 })
  waits.add({ token: 3, level: 'all', sequence: 2, expires: 30 })
  t.equal(waits.deadline, 10)
  waits.settle(level => (level === 'one' ? 1 : 0))
  t.equal(waits.deadline, 30)
  waits.settle(() => 2)
  t.equal(waits.deadline, Infinity, 'nobody waits')
  const unsent = { token: 4, level: 'one', sequence: 0, expires: 50 } as const
  waits.add(unsent)
  t.equal(waits.deadline, 50)
  waits.drop([unsent])
  t.equal(waits.deadline, Infinity)
  waits.add({ token: 5, level: 'one', sequence: 3, expires: 60 })
  waits.add({ token: 6, level: 'one', sequence: 3, expires: 70 })
  waits.expire(60)
  t.equal(waits.deadline, 70)
})
