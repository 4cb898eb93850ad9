import t from 'tap'
import { Candidates } from '../../lib/dispatch/candidates.ts'
import type { Choice } from '../../lib/dispatch/selection/selection.ts'

const a = { name: 'a' }
const b = { name: 'b' }
const c = { name: 'c' }

/** The names of all that are left, in order. */
function rest(candidates: Candidates<typeof a>): string {
  const { name } = candidates.next() ?? {}
  return name === undefined ? '' : name + rest(candidates)
}

function of(...members: (typeof a)[]): Choice<typeof a> {
  return { next: () => members.shift(), full: () => {} }
}

t.test('each in turn, as long as nothing was sent', t => {
  t.equal(rest(new Candidates(of(a, b, c))), 'abc')
  t.equal(rest(new Candidates(of())), '')
  t.end()
})

t.test('one that is to be avoided comes last', t => {
  t.equal(rest(new Candidates(of(a, b, c), { avoid: a })), 'bca')
  t.equal(rest(new Candidates(of(a), { avoid: a })), 'a')
  t.end()
})

t.test('once more after a loss, with the others first', t => {
  const candidates = new Candidates(of(a, b))
  t.equal(candidates.next(), a)
  candidates.lostAt(a)
  t.equal(candidates.next(), b)
  t.equal(candidates.next(), a)
  t.equal(candidates.next(), undefined)
  t.end()
})

t.test('the only one gets the retry as well', t => {
  const candidates = new Candidates(of(a))
  t.equal(candidates.next(), a)
  candidates.lostAt(a)
  t.equal(candidates.next(), a)
  t.equal(candidates.next(), undefined)
  t.end()
})

t.test('one may be given precedence', t => {
  t.equal(rest(new Candidates(of(a, b, c), { first: b })), 'bac')
  t.end()
})

t.test('one that holds the client gets it once more before all others', t => {
  const candidates = new Candidates(of(a, b))
  t.equal(candidates.next(), a)
  candidates.onceMore(a)
  t.equal(candidates.next(), a)
  t.equal(candidates.next(), b)
  t.equal(candidates.next(), undefined)
  t.end()
})
