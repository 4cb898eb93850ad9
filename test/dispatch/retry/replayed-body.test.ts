import { PassThrough } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import t from 'tap'
import { resolveRetries } from '../../../lib/dispatch/retry/options.ts'
import { ReplayedBody } from '../../../lib/dispatch/retry/replayed-body.ts'
import { RetryBudget } from '../../../lib/dispatch/retry/retry-budget.ts'
import { seededRandom, testSeed } from '../../fixtures/random.ts'
import { until } from '../../fixtures/until.ts'

t.test('each try gets all of it, wherever the one before was broken off', async t => {
  const seed = testSeed()
  t.comment(`SEED=${seed}`)
  const random = seededRandom(seed)
  for (let round = 0; round < 50; round++) {
    const source = new PassThrough()
    const chunks = Array.from({ length: 20 }, () =>
      Buffer.alloc(1 + Math.floor(random() * 500), random()),
    )
    const all = Buffer.concat(chunks)
    const body = new ReplayedBody(source, all.length)
    const breakAt = Math.floor(random() * all.length)
    const first = body.next()
    let got = 0
    first.on('data', chunk => {
      got += chunk.length
      if (got >= breakAt) first.destroy()
    })
    const writing = (async () => {
      for (const chunk of chunks) {
        source.write(chunk)
        if (random() < 0.5) await new Promise(resolve => setImmediate(resolve))
      }
      source.end()
    })()
    await until(() => first.destroyed)
    t.ok(body.isWhole)
    t.ok((await buffer(body.next())).equals(all))
    await writing
  }
})

t.test('what is longer than may be kept is sent once', async t => {
  const source = new PassThrough()
  const body = new ReplayedBody(source, 10)
  const first = body.next()
  source.end('more than ten bytes')
  t.equal(String(await buffer(first)), 'more than ten bytes')
  t.notOk(body.isWhole)
})

t.test(
  'nothing is taken of it before somebody wants it, and errors come through',
  async t => {
    const source = new PassThrough()
    const body = new ReplayedBody(source, 10)
    t.equal(source.listenerCount('data'), 0)
    const first = body.next()
    t.equal(source.listenerCount('data'), 0)
    first.resume()
    await until(() => source.listenerCount('data') === 1)
    const failed = new Promise(resolve => first.on('error', resolve))
    source.destroy(new Error('gone'))
    t.match(await failed, { message: 'gone' })
    t.notOk(body.isWhole)
  },
)

t.test('a budget is a share of what came lately, and some', t => {
  const budget = new RetryBudget(resolveRetries({ budget: 20, budgetFrom: 2 }))
  const granted = (now: number) => {
    let count = 0
    while (budget.take(now)) count++
    return count
  }
  t.equal(granted(0), 2, 'without any requests')
  for (let i = 0; i < 1_000; i++) budget.deposit(1_000)
  t.equal(granted(1_000), 198)
  t.equal(granted(5_000), 0)
  t.equal(granted(20_000), 2, 'and forgets')
  t.end()
})
