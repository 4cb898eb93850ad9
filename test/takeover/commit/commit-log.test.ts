import t from 'tap'
import { CommitLog } from '../../../lib/takeover/commit/commit-log.ts'
import { ManualClock } from '../../fixtures/manual-clock.ts'

function world() {
  const clock = new ManualClock()
  const silent = new Set<string>()
  const log = new CommitLog({
    clock,
    patience: 1_000,
    isLive: member => !silent.has(member),
  })
  return { clock, log, silent }
}

t.test('alone, nobody is waited for', async t => {
  const { log } = world()
  t.strictSame(log.next('x', true).names, [])
  t.equal(log.settled('x', true), undefined)
  t.equal(log.settled('never told of', true), undefined)
})

t.test('it is known when all who are named have it', async t => {
  const { log } = world()
  log.met('b', 'b1')
  log.met('c', 'c1')
  const { number, names } = log.next('x', true)
  t.strictSame(names, ['b1', 'c1'])
  const settled = log.settled('x', true)
  log.received('b1', [number])
  log.received('c1', [number + 1])
  log.received('c1', [number])
  t.equal(await settled, 'known')
  t.equal(log.settled('x', true), undefined)
  t.strictSame(log.counts, { known: 1, late: 0, refused: 0 })
})

t.test('a word that was never answered is waited for with the next', async t => {
  const { log } = world()
  log.met('b', 'b1')
  const first = log.next('x', true)
  const second = log.next('x', false)
  const settled = log.settled('x', false)
  log.received('b1', [first.number])
  log.received('b1', [second.number])
  t.equal(await settled, 'known')
  t.equal(log.size, 0, 'nobody holds anything that could be gone on from')
})

t.test('nobody has an older one: it is said without the slow', async t => {
  const { clock, log } = world()
  log.met('b', 'b1')
  log.next('x', true)
  t.equal(log.settled('x', false), undefined)
  const settled = log.settled('x', true)
  clock.advance(1_000)
  t.equal(await settled, 'late')
  t.strictSame(log.next('y', true).names, [], 'and it is not named before it answers')
  const { number } = log.next('x', true)
  log.received('b1', [number])
  t.strictSame(log.next('z', true).names, ['b1'])
})

t.test('somebody may have an older one: it must not be said', async t => {
  const { clock, log, silent } = world()
  log.met('b', 'b1')
  const { number } = log.next('x', true)
  log.received('b1', [number])
  silent.add('b')
  t.strictSame(log.next('x', true).names, [], 'who is silent is not named')
  const settled = log.settled('x', true)
  clock.advance(1_000)
  t.equal(await settled, 'refused')
})

t.test('who left, was fenced or was started anew is not waited for', async t => {
  const { log } = world()
  for (const name of ['b', 'c', 'd']) log.met(name, `${name}1`)
  const { number } = log.next('x', true)
  log.received('b1', [number])
  log.next('x', false)
  const settled = log.settled('x', false)
  log.gone('b1')
  log.gone('c1')
  log.met('d', 'd2')
  t.equal(await settled, 'known')
  log.met('b', 'b1')
  t.strictSame(
    log.next('x', true).names,
    ['d2'],
    'a life that is gone does not come back',
  )
})

t.test('what is over is waited for no more', async t => {
  const { clock, log } = world()
  log.met('b', 'b1')
  log.next('x', true)
  const settled = log.settled('x', true)
  log.over('x')
  t.equal(await settled, 'refused')
  log.over('x')
  log.next('y', true)
  const other = log.settled('y', true)
  log.close()
  t.equal(await other, 'refused')
  t.equal(log.size, 0)
  t.equal(clock.waiting, 0)
})

t.test('a word of one of a bundle is one of all of it', async t => {
  const { log } = world()
  log.met('b', 'b1')
  log.next('x', true, 'bundle')
  const settled = log.settled('x', true)
  const later = log.next('y', true, 'bundle')
  log.received('b1', [later.number])
  t.equal(await settled, 'known')
  t.equal(log.settled('y', true), undefined)
})

t.test('those of a bundle do not put each other off', async t => {
  const { log } = world()
  log.met('b', 'b1')
  const { number } = log.next('x', true, 'bundle')
  const settled = log.settled('x', true)
  for (let i = 0; i < 50; i++) log.next('y', true, 'bundle')
  log.received('b1', [number])
  t.equal(await settled, 'known')
  t.not(log.settled('y', true), undefined, 'of which b has nothing yet')
})

t.test(
  'however many words of a bundle are on their way, the last ones count',
  async t => {
    const { log } = world()
    log.met('b', 'b1')
    log.next('x', true, 'bundle')
    const settled = log.settled('x', true)
    let last = 0
    for (let i = 0; i < 1_000; i++) last = log.next('y', true, 'bundle').number
    log.received('b1', [last - 1])
    t.equal(await settled, 'known')
  },
)

t.test('nobody is given up for another one of its bundle', async t => {
  const { clock, log, silent } = world()
  log.met('b', 'b1')
  const { number } = log.next('x', true, 'bundle')
  log.received('b1', [number])
  silent.add('b')
  log.next('x', true, 'bundle')
  log.next('y', true, 'bundle')
  t.equal(log.settled('y', true), undefined)
  const settled = log.settled('x', true)
  clock.advance(1_000)
  t.equal(await settled, 'refused')
})

t.test('who comes to know of one by a word of another is waited for', async t => {
  const { clock, log } = world()
  t.strictSame(log.next('x', true, 'bundle').names, [])
  log.met('b', 'b1')
  const { number, names } = log.next('y', false, 'bundle')
  t.strictSame(names, ['b1'], 'x is exact in it')
  log.received('b1', [number])
  const { number: next } = log.next('x', false, 'bundle')
  const settled = log.settled('x', false)
  t.not(settled, undefined)
  log.received('b1', [next])
  t.equal(await settled, 'known')
  t.equal(log.size, 0)
  t.equal(clock.waiting, 0)
})

t.test('what is over of a bundle is in its next word no more', async t => {
  const { log } = world()
  log.met('b', 'b1')
  log.next('x', true, 'bundle')
  const settled = log.settled('x', true)
  log.next('y', true, 'bundle')
  t.strictSame(log.over('x', 'bundle').names, ['b1'], 'y stands there')
  t.equal(await settled, 'refused')
  t.strictSame(log.over('y', 'bundle').names, [])
  t.equal(log.size, 0)
})

t.test(
  'one that nobody holds any more stays known while its bundle is told of',
  async t => {
    const { log } = world()
    log.met('b', 'b1')
    log.received('b1', [log.next('x', true, 'bundle').number])
    log.gone('b1')
    log.met('c', 'c1')
    t.strictSame(log.next('y', true, 'bundle').names, ['c1'])
    log.next('x', false, 'bundle')
    t.not(log.settled('x', false), undefined, 'c may have x from the word of y')
    log.close()
  },
)
