import t from 'tap'
import { LimitCounters } from '../../lib/limit/limit-counters.ts'
import { LogLimiter } from '../../lib/limit/log-limiter.ts'
import { isLoopback, networkOf } from '../../lib/limit/network.ts'
import { RateLimit } from '../../lib/limit/rate-limit.ts'
import { TokenBucket } from '../../lib/limit/token-bucket.ts'
import { memoryLog } from '../fixtures/farm/stream-member.ts'
import { ManualClock } from '../fixtures/manual-clock.ts'

const minute = 60_000

t.test('a bucket has what it says, and fills up again evenly', t => {
  const limit = new RateLimit({ count: 10, window: minute })
  const taken = (now: number) => {
    let count = 0
    while (limit.take('a', now)) count += 1
    return count
  }
  t.equal(taken(0), 10)
  t.equal(taken(0), 0)
  t.equal(taken(6_000), 1)
  t.equal(taken(6_000 + 30_000), 5)
  t.equal(taken(10 * minute), 10)
  t.equal(limit.take('b', 10 * minute, 11), false, 'more than there ever is')
  t.end()
})

t.test('a million addresses take no more room than they may', t => {
  const limit = new RateLimit({ count: 10, window: minute, mostNames: 1_000 })
  for (let n = 0; n < 100_000; n += 1) {
    limit.take(`${n}`, n / 1_000)
    if (limit.size > 1_000) t.fail(`${limit.size} names`)
  }
  t.equal(limit.size, 1_000)
  for (let n = 0; n < 1_000; n += 1) limit.take('one', n * minute)
  t.ok(limit.size < 10, 'and the room is given back')
  t.end()
})

t.test('who met a limit is called in the log by the usual form of the address', t => {
  const log = memoryLog()
  const counters = new LimitCounters(new ManualClock(), log)
  const clients = ['::ffff:192.0.2.1', '192.0.2.1', '2001:db8:0:0::/64', undefined]
  for (const client of clients) counters.met('redirect', client)
  const named = log.lines.map(({ fields }) => Reflect.get(fields, 'client'))
  t.same(named, ['192.0.2.1', '192.0.2.1', '2001:db8:0:0::/64', undefined])
  t.end()
})

t.test('loopback is this machine', t => {
  for (const address of ['127.0.0.1', '127.8.8.8', '::1', '::ffff:127.0.0.1']) {
    t.equal(isLoopback(networkOf(address)), true, address)
  }
  for (const address of ['128.0.0.1', '1.127.0.0', 'fe80::1', '::ffff:10.0.0.1']) {
    t.equal(isLoopback(networkOf(address)), false, address)
  }
  t.end()
})

t.test('an address stands for its network', async t => {
  const cases: [string, string][] = [
    ['192.0.2.1', '192.0.2.1'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:db8::6', '2001:db8:0:0::/64'],
    ['2001:0DB8:0000::6', '2001:db8:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['::', '0:0:0:0::/64'],
    ['2001:db8:1:2::', '2001:db8:1:2::/64'],
    ['2001:0db8:0001:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:DB8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:db8::3:4:5:6:7', '2001:db8:0:3::/64'],
    ['64:ff9b::192.0.2.1', '64:ff9b:0:0::/64'],
    ['1:2:3:4:5::192.0.2.1', '1:2:3:4::/64'],
    ['', ''],
    ['nonsense', 'nonsense'],
  ]
  for (const [address, network] of cases) t.equal(networkOf(address), network, address)
})

t.test('a bucket lets through its rate and its burst', async t => {
  const bucket = new TokenBucket(10, 2)
  t.same([bucket.take(0), bucket.take(0), bucket.take(0)], [true, true, false])
  t.notOk(bucket.take(99))
  t.ok(bucket.take(101))
  t.same(
    [5_000, 5_000, 5_000].map(now => bucket.take(now)),
    [true, true, false],
  )
})

t.test('a line that was held back is counted in the next', async t => {
  const clock = new ManualClock()
  const limiter = new LogLimiter(clock)
  const lines: number[] = []
  for (let i = 0; i < 15; i++) limiter.log(held => lines.push(held))
  clock.advance(1_000)
  limiter.log(held => lines.push(held))
  t.same(lines, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5])
})

t.test('a token bucket lets its rate through', async t => {
  const bucket = new TokenBucket(100, 5)
  const passed = (until: number) => {
    let count = 0
    for (let now = 0; now <= until; now += 1) if (bucket.take(now)) count += 1
    return count
  }
  t.ok([104, 105].includes(passed(1_000)))
  bucket.setRate(1_000, 1_000)
  t.equal(bucket.rate, 1_000)
  t.ok(bucket.readyAt(1_000) <= 1_010)
  t.notOk(bucket.take(990), 'a clock that goes back takes nothing away')
})
