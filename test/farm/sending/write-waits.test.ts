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
