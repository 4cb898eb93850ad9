import t from 'tap'
import { Attempts } from '../../lib/dispatch/attempts.ts'

t.test('each in turn, as long as nothing was sent', t => {
  const attempts = new Attempts(['a', 'b', 'c'])
  t.strictSame(
    [attempts.next(), attempts.next(), attempts.next(), attempts.next()],
    ['a', 'b', 'c', undefined],
  )
  t.end()
})

t.test('once more after a loss, with the others first', t => {
  const attempts = new Attempts(['a', 'b'])
  t.equal(attempts.next(), 'a')
  t.notOk(attempts.retrying)
  t.ok(attempts.retry('a'))
  t.ok(attempts.retrying)
  t.equal(attempts.next(), 'b')
  t.notOk(attempts.retry('b'), 'a failed retry is not retried')
  t.equal(attempts.next(), 'a')
  t.equal(attempts.next(), undefined)
  t.end()
})

t.test('the only one gets the retry as well', t => {
  const attempts = new Attempts(['a'])
  t.equal(attempts.next(), 'a')
  t.ok(attempts.retry('a'))
  t.equal(attempts.next(), 'a')
  t.notOk(attempts.retry('a'))
  t.equal(attempts.next(), undefined)
  t.end()
})

t.test('one may be given precedence', t => {
  const attempts = new Attempts(['a', 'b', 'c'], 'b')
  t.strictSame([attempts.next(), attempts.next(), attempts.next()], ['b', 'a', 'c'])
  t.end()
})
