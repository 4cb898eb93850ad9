import t from 'tap'
import { testSeed } from '../fixtures/random.ts'
import { CartCheck, Purchase } from '../fixtures/shop/cart-check.ts'
import { databaseNames, withoutDatabase } from '../fixtures/shop/shop-databases.ts'
import { goShopping } from '../fixtures/shop/shopping.ts'

/** `npm run test:shop` is the same for a minute with 200 clients. */
for (const database of databaseNames) {
  const skip = withoutDatabase(database)
  t.test(`a shop that dies and comes back, on ${database}`, { skip }, async t => {
    const seed = testSeed()
    t.comment(`SEED=${seed}`)
    const terms = { clients: 12, duration: 4_000, pace: 400, seed, database }
    const outcome = await goShopping(terms)
    t.strictSame(outcome.problems, [])
    t.ok(outcome.deaths > 0)
    t.ok(outcome.requests > 12)
  })
}

t.test('the check of the shop sees what is lost, doubled, made up and old', async t => {
  const purchase = new Purchase()
  const [laptop, phone] = [
    new CartCheck('laptop', purchase),
    new CartCheck('phone', purchase),
  ]
  const cart = (items: string[], billing = {}) => ({ items, billing, payment: {} })
  const now = () => performance.now()
  laptop.acknowledged(laptop.next('item', 'a'))
  laptop.next('item', 'b')
  t.same(laptop.problems(cart(['a']), now()), [], 'b was never acknowledged')
  t.same(phone.problems(cart([]), now()), [], 'a moment later it is told')
  t.match(phone.problems(cart([]), now() + 60_000), ['a is not there'], 'long ago')
  t.match(laptop.problems(cart([]), now()), ['a is not there', 'a is not there'])
  t.same(phone.problems(cart(['a', 'b']), now()), [])
  t.match(phone.problems(cart(['a']), now()), ['b is not there, which was there before'])
  t.match(phone.problems(cart(['a', 'b', 'b']), now()), ['an item is there twice'])
  t.match(phone.problems(cart(['a', 'b', 'c']), now()), ['c was never put there'])
  laptop.acknowledged(laptop.next('billing', ''))
  laptop.acknowledged(laptop.next('billing', ''))
  t.same(laptop.problems(cart(['a', 'b'], { laptop: 2 }), now()), [])
  t.match(laptop.problems(cart(['a', 'b'], { laptop: 1 }), now()), ['billing is 1'])
})
