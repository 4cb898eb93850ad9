import t from 'tap'
import { FairQueue } from '../../lib/limit/fair-queue.ts'
import { LimitCounters } from '../../lib/limit/limit-counters.ts'
import { Shares, usualShare } from '../../lib/limit/shares.ts'
import { ManualClock } from '../fixtures/manual-clock.ts'
import { MemoryLog } from '../fixtures/proxy/servers.ts'
import { seededRandom, testSeed } from '../fixtures/random.ts'

/** How many of `n` the name gets. */
function takeMany(shares: Shares, name: string | undefined, n = 1e5): number {
  let got = 0
  while (got < n && shares.take(name)) got += 1
  return got
}

t.test('a lone name gets most of it, and the next one still finds room', async t => {
  const cases: [most: number, alone: number][] = [
    [1, 1],
    [2, 2],
    [4, 4],
    [5, 4],
    [10, 8],
    [50, 40],
    [2_560, 2_048],
    [12_500, 10_000],
  ]
  for (const [most, alone] of cases) {
    const shares = new Shares({ most, share: usualShare })
    t.equal(takeMany(shares, 'greedy'), alone, `${most}`)
    t.equal(shares.take('greedy'), false)
    t.equal(takeMany(shares, 'modest', 1), most > alone ? 1 : 0, `${most}: a second`)
  }
})

t.test('however many greedy ones there are, a newcomer finds room', async t => {
  const shares = new Shares({ most: 2_560, share: usualShare })
  for (let i = 0; i < 50; i++) takeMany(shares, `greedy ${i}`)
  t.ok(shares.used < 2_560)
  t.equal(shares.take('modest'), true)
  takeMany(shares, undefined)
  t.equal(shares.used, 2_560)
  t.equal(shares.take('late'), false, 'the whole is a limit, whoever comes')
  t.equal(shares.take(undefined), false)
})

t.test('the share is an option; 1 keeps nothing back', async t => {
  t.equal(takeMany(new Shares({ most: 100, share: 1 }), 'a'), 100)
  t.equal(takeMany(new Shares({ most: 100, share: 0.5 }), 'a'), 50)
  t.equal(takeMany(new Shares({ most: 100, share: 0.01 }), 'a'), 1)
})

t.test('what is given back is there again, whatever the order', async t => {
  const seed = testSeed()
  const random = seededRandom(seed)
  const shares = new Shares({ most: 20, share: usualShare })
  const held: (string | undefined)[] = []
  const names = ['a', 'b', 'c', undefined]
  for (let i = 0; i < 5_000; i++) {
    const name = names[Math.floor(random() * names.length)]
    if (random() < 0.5 && shares.take(name)) held.push(name)
    else if (held.length > 0) {
      const [back] = held.splice(Math.floor(random() * held.length), 1)
      shares.release(back)
    }
    if (shares.used !== held.length || held.length > 20) t.fail(`seed ${seed}, step ${i}`)
  }
  for (const name of held) shares.release(name)
  t.equal(shares.used, 0)
  for (const name of ['a', 'b', 'c']) t.equal(shares.heldBy(name), 0)
})

t.test('networks have their turns, and in a network its connections', async t => {
  const queue = new FairQueue<string>()
  const at = (network: string, connection: object) => ({ network, connection })
  const [flood, calm, other] = [{}, {}, {}]
  for (let i = 0; i < 100; i++) queue.add(at('n1', flood), `flood ${i}`)
  queue.add(at('n1', calm), 'neighbour')
  queue.add(at('n2', other), 'other 0')
  queue.add(at('n2', other), 'other 1')
  t.equal(queue.size, 103)
  t.strictSame(
    Array.from({ length: 6 }, () => queue.next()),
    ['flood 0', 'other 0', 'neighbour', 'other 1', 'flood 1', 'flood 2'],
  )
  t.equal(queue.remove(at('n1', flood), 'flood 50'), true)
  t.equal(queue.remove(at('n1', flood), 'flood 50'), false, 'once')
  t.equal(queue.remove(at('n3', flood), 'flood 51'), false, 'nor where it is not')
  const rest: (string | undefined)[] = []
  while (queue.size > 0) rest.push(queue.next())
  t.equal(rest.length, 96)
  t.notOk(rest.includes('flood 50'))
  t.equal(queue.next(), undefined)
})

t.test('each limit that is met is counted, and told now and then', async t => {
  const clock = new ManualClock()
  const log = new MemoryLog()
  const counters = new LimitCounters(clock, log)
  for (let i = 0; i < 1_000; i++) counters.met('maxConnections', '192.0.2.1')
  counters.met('maxStreams', undefined)
  t.strictSame(counters.snapshot(), { maxConnections: 1_000, maxStreams: 1 })
  t.equal(log.lines.length, 11)
  t.match(log.lines[0], {
    level: 'warn',
    fields: { limit: 'maxConnections', client: '192.0.2.1' },
  })
  clock.advance(1_000)
  counters.met('maxConnections', '192.0.2.1')
  t.match(log.lines.at(-1)?.fields, { heldBack: 990 })
})
