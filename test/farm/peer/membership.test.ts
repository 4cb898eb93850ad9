import t from 'tap'
import { ForgeryBudget } from '../../../lib/farm/peer/forgery-budget.ts'
import { Heartbeats } from '../../../lib/farm/peer/heartbeats.ts'
import { Membership } from '../../../lib/farm/peer/membership.ts'

t.test('heartbeats follow data closely, then the clock', async t => {
  const beats = new Heartbeats(500, 0)
  t.ok(beats.due(0))
  beats.data(100)
  const times: number[] = []
  for (let now = 100; now < 1_600; now++) if (beats.due(now)) times.push(now)
  t.same(times, [110, 120, 150, 200, 300, 500, 1_000, 1_500])
  beats.hurry(1_600)
  t.ok(beats.due(1_600))
  beats.hurry(1_601)
  t.notOk(beats.due(1_605), 'a storm of them is spread')
  t.ok(beats.due(1_610))
})

t.test('a source of forged datagrams is not listened to for a second', async t => {
  const budget = new ForgeryBudget()
  for (let i = 0; i < 1_000; i++) {
    t.ok(budget.allows('x', 500) || i)
    budget.failed('x', 500)
  }
  t.notOk(budget.allows('x', 600))
  t.ok(budget.allows('y', 600), 'others are')
  t.ok(budget.allows('x', 1_001))
})

t.test('silence, suspicion, gone; anything heard brings a member back', async t => {
  const run = (healthy: boolean, connected: boolean) => {
    const membership = new Membership(500, 0)
    membership.add('a', 0)
    membership.connected('a', connected)
    const seen: string[] = []
    for (let now = 0; now < 8_000; now += 50)
      for (const { kind } of membership.check(now, healthy))
        if (seen.at(-1) !== kind) seen.push(kind)
    return { seen, membership }
  }
  const { seen, membership } = run(true, true)
  t.same(seen, ['probe', 'suspect', 'gone'])
  t.equal(membership.state('a'), 'gone')
  t.ok(membership.heard('a', 8_000))
  t.equal(membership.state('a'), 'alive')
  t.notOk(membership.heard('a', 8_100), 'no news')
  t.same(run(false, true).seen, ['probe'], 'who is unwell itself accuses nobody')
  t.equal(membership.state('nobody'), 'gone')
  t.notOk(membership.heard('nobody', 0))
  const forgotten = new Membership(500, 0)
  forgotten.add('a', 0)
  const kinds = new Set<string>()
  const runUntil = (end: number) => {
    for (let now = 0; now < end; now += 250)
      for (const { kind } of forgotten.check(now, true)) kinds.add(kind)
  }
  runUntil(600_000)
  t.notOk(kinds.has('forget'), 'for ten minutes it is missed')
  runUntil(601_000)
  t.ok(kinds.has('forget'))
})

t.test('whom others hear is not given up, and a late loop accuses nobody', async t => {
  const membership = new Membership(500, 0)
  membership.add('a', 0)
  for (let now = 0; now < 20_000; now += 250) {
    for (const { kind } of membership.check(now, true))
      if (kind === 'suspect') membership.vouched('a', 100, now)
  }
  t.equal(membership.state('a'), 'suspect', 'not gone')
  const late = new Membership(500, 0)
  late.add('a', 0)
  late.excuse(10_000)
  t.same(late.check(10_000, true), [])
  t.equal(late.state('a'), 'alive')
  late.remove('a')
  t.equal(late.state('a'), 'gone')
})
