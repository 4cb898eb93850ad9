import t from 'tap'
import { Candidates } from '../../lib/dispatch/candidates.ts'
import type { Choice } from '../../lib/dispatch/selection/selection.ts'

const a = { name: 'a', ready: true }
const b = { name: 'b', ready: true }
const c = { name: 'c', ready: true }

/** The names of all that are left, in order. */
function rest(candidates: Candidates<typeof a>): string {
  const { name } = candidates.next() ?? {}
  return name === undefined ? '' : name + rest(candidates)
}

function of(...members: (typeof a)[]): Choice<typeof a> {
  return { next: () => members.shift() }
}

t.test('each in turn, as long as nothing was sent', t => {
  t.equal(rest(new Candidates(of(a, b, c))), 'abc')
  t.equal(rest(new Candidates(of())), '')
  t.end()
})

t.test('those that are not ready come last, and none is left out', t => {
  const one = { name: 'a', ready: true }
  const two = { name: 'b', ready: false }
  const order = () => rest(new Candidates(of(one, two, c)))
  t.equal(order(), 'acb')
  one.ready = false
  t.equal(order(), 'cab')
  t.equal(rest(new Candidates(of(one, two))), 'ab', 'when all are down, all are tried')
  t.end()
})

t.test('one that fails meanwhile is passed over as well', t => {
  const two = { name: 'b', ready: true }
  const candidates = new Candidates(of(a, two, c))
  t.equal(candidates.next(), a)
  two.ready = false
  t.equal(rest(candidates), 'cb')
  t.end()
})

t.test('once more after a loss, with the others first', t => {
  const candidates = new Candidates(of(a, b))
  t.equal(candidates.next(), a)
  t.notOk(candidates.retrying)
  t.ok(candidates.retry(a))
  t.ok(candidates.retrying)
  t.equal(candidates.next(), b)
  t.notOk(candidates.retry(b), 'a failed retry is not retried')
  t.equal(candidates.next(), a)
  t.equal(candidates.next(), undefined)
  t.end()
})

t.test('the only one gets the retry as well', t => {
  const candidates = new Candidates(of(a))
  t.equal(candidates.next(), a)
  t.ok(candidates.retry(a))
  t.equal(candidates.next(), a)
  t.notOk(candidates.retry(a))
  t.equal(candidates.next(), undefined)
  t.end()
})

t.test('one may be given precedence, ready or not', t => {
  t.equal(rest(new Candidates(of(a, b, c), b)), 'bac')
  const two = { name: 'b', ready: false }
  t.equal(rest(new Candidates(of(a, two, c), two)), 'bac')
  t.end()
})
