import t from 'tap'
import { seededRandom, shuffled } from '../../bench/harness/random.ts'
import {
  medianInterval,
  pairedRatio,
  quantile,
  spread,
  summarize,
} from '../../bench/harness/statistics.ts'
import { formatTable } from '../../bench/harness/text-table.ts'
import { shortNumber, ticks } from '../../bench/report/svg.ts'

t.test('a quantile lies on the straight line between its neighbours', async t => {
  t.equal(quantile([4, 1, 3, 2], 0.5), 2.5)
  t.equal(quantile([10, 20, 30, 40, 50], 0.9), 46)
  t.equal(quantile([7], 0.99), 7)
  t.equal(quantile([3, 1, 2], 0), 1)
  t.equal(quantile([3, 1, 2], 1), 3)
  t.ok(Number.isNaN(quantile([], 0.5)))
})

t.test('a summary says where the middle half lies', async t => {
  const summary = summarize([1, 2, 3, 4, 5])
  t.same(summary, { median: 3, q1: 2, q3: 4, rounds: 5 })
  t.equal(spread(summary), 2 / 3)
  t.equal(spread(summarize([0, 0, 0])), 0, 'no division by nothing')
})

t.test('the interval of a median is as sure as its order statistics are', async t => {
  // Binomial sums: 1 - 2 * (1 + 11 + ...) / 2^11.
  const eleven = medianInterval([11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1])
  t.equal(eleven.low, 2)
  t.equal(eleven.high, 10)
  t.ok(Math.abs(eleven.confidence - (1 - (2 * (1 + 11)) / 2048)) < 1e-12)

  const five = medianInterval([1, 2, 3, 4, 5])
  t.same([five.low, five.high], [1, 5], 'few rounds: the whole range')
  t.ok(Math.abs(five.confidence - (1 - 2 / 32)) < 1e-12, 'and it says how sure that is')

  t.equal(medianInterval([3]).confidence, 0, 'one round tells nothing')
  t.equal(medianInterval([]).confidence, 0)
})

t.test('the interval holds the true median as often as it says', async t => {
  const random = seededRandom(7)
  let inside = 0
  let promised = 0
  for (let run = 0; run < 2000; run++) {
    // A skewed distribution whose median is ln 2.
    const values = Array.from({ length: 9 }, () => -Math.log(1 - random()))
    const { low, high, confidence } = medianInterval(values)
    if (low <= Math.LN2 && Math.LN2 <= high) inside++
    promised = confidence
  }
  t.ok(promised >= 0.95)
  t.ok(Math.abs(inside / 2000 - promised) < 0.015, `${inside / 2000} for ${promised}`)
})

t.test(
  'a ratio takes each round against itself, so a slow round cancels out',
  async t => {
    const base = [1, 9, 2, 5, 3, 1, 8]
    const half = base.map(value => value / 2)
    t.match(pairedRatio(half, base), { ratio: 0.5, low: 0.5, high: 0.5, verdict: 'less' })
    t.equal(pairedRatio(base, half).verdict, 'more')
    t.equal(pairedRatio(base, base).verdict, 'same')
  },
)

t.test('a wide interval around 1 is called noisy, not equal', async t => {
  const base = [1, 1, 1, 1, 1, 1, 1]
  t.equal(pairedRatio([0.5, 2, 1, 0.7, 1.4, 1.1, 0.9], base).verdict, 'noisy')
  t.equal(pairedRatio([0.99, 1.02, 1, 0.98, 1.01, 1.03, 0.97], base).verdict, 'same')
  t.equal(pairedRatio([], []).verdict, 'noisy', 'nothing measured is nothing told')
})

t.test('a seed repeats its numbers and its order', async t => {
  const take = (seed: number): number[] => {
    const random = seededRandom(seed)
    return Array.from({ length: 5 }, random)
  }
  t.same(take(3), take(3))
  t.not(take(3)[0], take(4)[0])
  t.ok(take(5).every(value => value >= 0 && value < 1))
  const items = Array.from({ length: 20 }, (_, index) => index)
  const mixed = shuffled(items, seededRandom(1))
  t.notSame(mixed, items)
  t.same(
    [...mixed].sort((a, b) => a - b),
    items,
    'nothing is lost',
  )
})

t.test('axis marks are round and reach the greatest value', async t => {
  t.same(ticks(1.9), [0, 0.5, 1, 1.5, 2])
  t.same(ticks(1000), [0, 200, 400, 600, 800, 1000])
  t.same(ticks(0), [0, 1])
  t.equal(shortNumber(0.1234), '0.12')
  t.equal(shortNumber(1234), '1234')
  t.equal(shortNumber(1_234_567), '1235k')
})

t.test('columns of numbers stand right, of words left', async t => {
  const text = formatTable({
    title: 'T',
    columns: ['name', 'ms'],
    rows: [
      ['a', '10.5'],
      ['bcdef', '–'],
    ],
  })
  t.equal(text, 'T\n\nname     ms\n─────  ────\na      10.5\nbcdef     –\n')
})
