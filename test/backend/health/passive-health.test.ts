import t from 'tap'
import { ErrorRate } from '../../../lib/backend/health/error-rate.ts'
import { type EjectSettings, resolveEject } from '../../../lib/backend/health/options.ts'
import { PassiveHealth } from '../../../lib/backend/health/passive-health.ts'

const of = (options: EjectSettings = {}) => new PassiveHealth(resolveEject(options))

t.test('one that can not be reached is passed over at once, then tried by one', t => {
  const health = of({ errors: 9 })
  t.ok(health.isReady(0))
  health.failed('unreachable', health.epoch, 0)
  t.equal(health.reason, 'unreachable')
  t.notOk(health.isReady(1_999))
  t.ok(health.isReady(2_000), 'a request may try')
  health.sent(2_000)
  t.notOk(health.isReady(2_001), 'and only one')
  t.ok(health.isReady(3_000), 'or the next, if nothing is heard of it')
  health.ended(health.epoch, 3_000)
  t.equal(health.reason, undefined)
  t.equal(health.closedAt, 3_000)
  t.ok(health.isReady(3_000))
  t.end()
})

t.test('the time doubles with each trial that fails, to a bound', t => {
  const health = of({ time: 1_000, longestTime: 5_000 })
  let now = 0
  for (const time of [1_000, 2_000, 4_000, 5_000, 5_000]) {
    health.sent(now)
    health.failed('unreachable', health.epoch, now)
    t.notOk(health.isReady(now + time - 1))
    t.ok(health.isReady(now + time), String(time))
    now += time
  }
  health.ended(health.epoch, now)
  now += 5_000
  health.failed('unreachable', health.epoch, now)
  t.ok(health.isReady(now + 1_000), 'after a while without failure it is as at first')
  t.end()
})

t.test(
  'an answer that goes on is proof after a while, one that breaks off is none',
  t => {
    const health = of()
    health.failed('error', health.epoch, 0)
    health.sent(2_000)
    health.answered(health.epoch, 2_001)
    t.notOk(health.isReady(2_002), 'it has just begun')
    t.ok(health.isReady(3_001))
    t.ok(health.isOverdue(3_001), 'for anybody')
    health.sent(3_001)
    t.equal(health.reason, undefined)
    health.failed('error', health.epoch, 3_002)
    health.sent(7_002)
    health.answered(health.epoch, 7_003)
    health.failed('error', health.epoch, 7_010)
    t.notOk(health.isReady(15_009), 'the time has doubled')
    t.end()
  },
)

t.test('a trial that nobody makes is overdue at some time', t => {
  const health = of({ time: 1_000 })
  health.failed('error', health.epoch, 0)
  t.notOk(health.isOverdue(1_999))
  t.ok(health.isOverdue(2_000))
  health.sent(2_000)
  health.failed('error', health.epoch, 2_001)
  t.notOk(health.isOverdue(2_001 + 3_999))
  t.ok(health.isOverdue(2_001 + 4_000), 'the time has doubled')
  t.end()
})

t.test('what was on its way when it failed says nothing new', t => {
  const health = of()
  const before = health.epoch
  health.failed('unreachable', before, 0)
  for (let i = 0; i < 9; i++) health.failed('unreachable', before, 100 + i)
  t.ok(health.isReady(2_000), 'and does not double the time')
  health.ended(before, 100)
  t.equal(health.reason, 'unreachable', 'an old connection is no new one')
  t.end()
})

t.test('one lost request among answered ones is the request', t => {
  const health = of()
  health.failed('error', health.epoch, 0)
  t.notOk(health.isReady(0))
  health.answered(health.epoch - 1, 1)
  t.notOk(health.isReady(1), 'one that has begun may break off like the other')
  health.ended(health.epoch - 1, 1)
  t.ok(health.isReady(1))
  const three = of({ errors: 3, rate: 0 })
  for (let i = 0; i < 9; i++) {
    three.failed('error', 0, i)
    three.failed('error', 0, i)
    three.ended(0, i)
  }
  t.ok(three.isReady(9))
  for (let i = 0; i < 3; i++) three.failed('error', 0, 10)
  t.notOk(three.isReady(10))
  t.end()
})

t.test('bad answers in a row, and a rate of errors', t => {
  const health = of({ badAnswers: 3, rate: 0 })
  health.failed('bad-answer', 0, 0)
  health.failed('bad-answer', 0, 0)
  health.answered(0, 0)
  health.failed('bad-answer', 0, 0)
  health.failed('bad-answer', 0, 0)
  t.ok(health.isReady(0))
  health.failed('bad-answer', 0, 0)
  t.equal(health.reason, 'bad-answer')
  health.ended(0, 1)
  t.equal(health.reason, 'bad-answer', 'of those that were on their way nothing is said')

  const rate = of({ badAnswers: 0, errors: 1_000, rate: 50, rateFrom: 10 })
  for (let i = 0; i < 20; i++) {
    if (i % 2 === 0) rate.failed('bad-answer', 0, i)
    else rate.answered(0, i)
    t.equal(rate.reason, i < 10 ? undefined : 'error-rate', `after ${i}`)
    if (rate.reason !== undefined) break
  }
  const off = of({ badAnswers: 0, errors: 1_000, rate: 0 })
  for (let i = 0; i < 999; i++) off.failed('error', 0, i)
  t.ok(off.isReady(999))
  t.end()
})

t.test('a rate forgets', t => {
  const rate = new ErrorRate(10_000)
  for (let now = 0; now < 10_000; now += 100) rate.add(now < 5_000, now)
  t.strictSame(rate.read(9_999), { requests: 100, errors: 50 })
  t.strictSame(rate.read(12_500), { requests: 70, errors: 20 })
  t.strictSame(rate.read(15_000), { requests: 40, errors: 0 })
  t.strictSame(rate.read(50_000), { requests: 0, errors: 0 })
  t.end()
})

t.test('an option out of its range is refused by name', t => {
  t.throws(() => resolveEject({ errors: 0 }), { message: /health\.eject\.errors/ })
  t.end()
})
