import t from 'tap'
import { Holdings } from '../../lib/limit/holdings.ts'

const life = 1_000

t.test(
  'never less than what is held, and nothing after one and a half lives',
  async t => {
    const holdings = new Holdings({ life })
    const taken: { at: number; amount: number }[] = []
    for (let now = 0; now < 20 * life; now += 37) {
      const within = (time: number) =>
        taken
          .filter(({ at }) => at > now - time)
          .reduce((sum, { amount }) => sum + amount, 0)
      const held = holdings.heldBy('a', now)
      if (held < within(life) || held > within(1.5 * life)) t.fail(`${held} at ${now}`)
      if (now % 5 === 0 || now > 15 * life) continue
      taken.push({ at: now, amount: now % 7 })
      holdings.add('a', now % 7, now)
    }
    t.ok(taken.length > 100)
    t.equal(holdings.heldBy('a', 20 * life), 0)
    t.equal(holdings.heldBy('b', 20 * life), 0)
  },
)

t.test('a million names take no more room than they may', async t => {
  const holdings = new Holdings({ life, mostNames: 1_000 })
  for (let n = 0; n < 100_000; n += 1) {
    holdings.add(`${n}`, 1, n / 1_000)
    if (holdings.size > 1_000) t.fail(`${holdings.size} names`)
  }
  t.equal(holdings.size, 1_000)
  for (let n = 0; n < 1_000; n += 1) holdings.add('one', 1, n * life)
  t.equal(holdings.size, 1, 'and the room is given back')
})
