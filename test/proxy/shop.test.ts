import t from 'tap'
import { testSeed } from '../fixtures/random.ts'
import { goShopping } from '../fixtures/shop/shopping.ts'

/** `npm run test:shop` is the same for a minute with 200 clients. */
t.test('a shop whose proxies and backends die and come back', async t => {
  const seed = testSeed()
  t.comment(`SEED=${seed}`)
  const outcome = await goShopping({ clients: 12, duration: 4_000, pace: 400, seed })
  t.strictSame(outcome.problems, [])
  t.ok(outcome.deaths > 0)
  t.ok(outcome.requests > 12)
})
