import t from 'tap'
import { Untried } from '../../lib/auth/login/untried.ts'
import { tables } from '../../lib/record/key.ts'
import {
  basic,
  connection,
  HandClock,
  request,
  shortly,
  World,
} from '../fixtures/auth/world.ts'

const minute = 60_000
const verify = (_user: string, password: string) => password === 'right'

/** A client that never holds a log-in: each try is on a connection of its own. */
function clientOf(world: World, member: ReturnType<World['member']>, address: string) {
  return async (user: string, password: string) => {
    const socket = connection(world.clock, { address })
    return await member.authenticate(request(socket, basic(user, password)))
  }
}

t.test('the eleventh wrong password of a user from an address is not tried', async t => {
  const world = new World()
  let asked = 0
  const counting = (user: string, password: string) => {
    asked += 1
    return verify(user, password)
  }
  const member = world.member({ basic: counting })
  const from = clientOf(world, member, '192.0.2.1')
  for (let i = 0; i < 10; i++) t.equal(shortly(await from('ann', 'wrong')), 401)
  const decision = await from('ann', 'right')
  t.equal(shortly(decision), 429, 'not even the right one')
  t.equal(asked, 10)
  const answer = decision.outcome === 'answered' ? decision.answer : undefined
  t.match(answer?.headers['retry-after'], /^\d+$/)
  t.test('but from elsewhere, and for others, it is', async t => {
    t.equal(shortly(await clientOf(world, member, '192.0.2.2')('ann', 'right')), 'ann')
    t.equal(shortly(await from('bob', 'right')), 'bob')
  })
  t.test('and Retry-After is when it is again, and no sooner', async t => {
    const seconds = Number(answer?.headers['retry-after'])
    world.clock.advance((seconds - 1) * 1_000)
    t.equal(shortly(await from('ann', 'right')), 429)
    world.clock.advance(1_000)
    t.equal(shortly(await from('ann', 'right')), 'ann')
  })
})

t.test('failures count on all members together', async t => {
  const world = new World()
  const member = world.member({ basic: verify })
  const a = clientOf(world, member, '2001:db8::1')
  const b = clientOf(world, world.member({ basic: verify }), '2001:db8::1')
  for (let i = 0; i < 5; i++) {
    t.equal(shortly(await a('ann', 'wrong')), 401)
    t.equal(shortly(await b('ann', 'wrong')), 401)
  }
  t.equal(shortly(await a('ann', 'right')), 429)
  t.equal(shortly(await b('ann', 'right')), 429)
  const neighbour = clientOf(world, member, '2001:db8::2')
  t.equal(shortly(await neighbour('ann', 'right')), 429, 'one /64 is one client')
})

t.test('an address that tries many users is stopped', async t => {
  const world = new World()
  const from = clientOf(world, world.member({ basic: verify }), '192.0.2.1')
  for (let i = 0; i < 100; i++) await from(`user${i}`, 'wrong')
  t.equal(shortly(await from('somebody', 'right')), 429)
})

t.test(
  'one that goes on under names without end writes nothing into the farm',
  async t => {
    const world = new World()
    const limits = { perAddress: 5, perUser: 3 }
    const member = world.member({ basic: verify, attempts: limits })
    // Whoever shares the TLS session of a user could learn from memory what is right.
    const shared = connection(world.clock)
    const ask = async (user: string, password: string) =>
      shortly(await member.authenticate(request(shared, basic(user, password))))
    t.equal(await ask('ann', 'right'), 'ann')
    for (let i = 0; i < 5; i++) t.equal(await ask(`user${i}`, 'wrong'), 401)
    const before = world.records(0).length
    for (let i = 0; i < 500; i++) t.equal(await ask(`name${i}`, 'wrong'), 429)
    t.equal(world.records(0).length, before)
    t.test(
      'and users who are known there are served, but for who is guessed at',
      async t => {
        t.equal(await ask('ann', 'right'), 'ann')
        for (let i = 0; i < 3; i++) t.equal(await ask('ann', `guess ${i}`), 429)
        t.equal(await ask('ann', 'right'), 429, 'memory tells nothing more')
        world.clock.advance(5 * minute)
        t.equal(await ask('ann', 'right'), 'ann')
      },
    )
  },
)

t.test('of names without end the oldest are forgotten', async t => {
  const clock = new HandClock()
  const untried = new Untried(clock, minute)
  for (let i = 0; i < 20_000; i++) untried.count(`name ${i}`)
  t.equal(untried.size, 10_000)
  t.equal(untried.wait('name 0', 1), 0)
  t.equal(untried.wait('name 19999', 1), minute)
})

t.test('a burst does not get through before the first has failed', async t => {
  const world = new World()
  let asked = 0
  const open: (() => void)[] = []
  const slow = () => {
    asked += 1
    return new Promise<boolean>(resolve => open.push(() => resolve(false)))
  }
  const from = clientOf(world, world.member({ basic: slow }), '192.0.2.1')
  const tries = Array.from({ length: 50 }, () => from('ann', 'wrong'))
  while (open.length < 10) await new Promise(setImmediate)
  for (const answer of open) answer()
  const outcomes = (await Promise.all(tries)).map(shortly)
  t.equal(asked, 10)
  t.equal(outcomes.filter(one => one === 401).length, 10)
  t.equal(outcomes.filter(one => one === 429).length, 40)
})

t.test('a burst with the right password is let in, ten at a time', async t => {
  const world = new World()
  let asked = 0
  const open: (() => void)[] = []
  const slow = (_user: string, password: string) => {
    asked += 1
    return new Promise<boolean>(resolve => open.push(() => resolve(password === 'right')))
  }
  const member = world.member({ basic: slow })
  const from = clientOf(world, member, '192.0.2.1')
  const tries = Array.from({ length: 50 }, () => from('ann', 'right'))
  while (open.length < 10) await new Promise(setImmediate)
  await new Promise(setImmediate)
  t.equal(asked, 10)
  for (let at = 0; at < 50; at += 1) {
    while (open.length <= at) await new Promise(setImmediate)
    open[at]?.()
  }
  const outcomes = (await Promise.all(tries)).map(shortly)
  t.strictSame(new Set(outcomes), new Set(['ann']))
})

t.test('of a burst by several users from an address none is forgotten', async t => {
  const world = new World()
  const open: (() => void)[] = []
  const slow = (user: string) =>
    new Promise<boolean>(resolve => open.push(() => resolve(user !== 'bob')))
  const attempts = { perUser: 2 }
  const from = clientOf(world, world.member({ basic: slow, attempts }), '192.0.2.1')
  const users = Array.from({ length: 40 }, (_, i) => ['ann', 'bob', 'eve'][i % 3] ?? '')
  const tries = users.map(user => from(user, 'x'))
  let isOver = false
  const outcomes = Promise.all(tries).finally(() => {
    isOver = true
  })
  while (!isOver) {
    open.shift()?.()
    await new Promise(setImmediate)
  }
  const by = new Map<string, Set<string | number>>()
  for (const [i, decision] of (await outcomes).entries()) {
    const user = users[i] ?? ''
    by.set(user, (by.get(user) ?? new Set()).add(shortly(decision)))
  }
  t.strictSame([...(by.get('ann') ?? [])], ['ann'])
  t.strictSame([...(by.get('eve') ?? [])], ['eve'])
  t.strictSame([...(by.get('bob') ?? [])].sort(), [401, 429])
})

t.test('who leaves while others are checked gives the turn to the next', async t => {
  const world = new World()
  const open: (() => void)[] = []
  const slow = () => new Promise<boolean>(resolve => open.push(() => resolve(true)))
  const member = world.member({ basic: slow, attempts: { perUser: 1 } })
  const leaves: (() => void)[] = []
  const tryOnce = () => {
    const asked = request(connection(world.clock), basic('ann', 'right'))
    const onGone = (leave: () => void) => {
      leaves.push(leave)
      return () => {}
    }
    return member.authenticate({ ...asked, onGone })
  }
  const first = tryOnce()
  while (open.length < 1) await new Promise(setImmediate)
  const mark = leaves.length
  const second = tryOnce()
  await new Promise(setImmediate)
  const third = tryOnce()
  await new Promise(setImmediate)
  leaves[mark]?.()
  t.equal(shortly(await second), 503)
  open[0]?.()
  while (open.length < 2) await new Promise(setImmediate)
  open[1]?.()
  t.equal(shortly(await first), 'ann')
  t.equal(shortly(await third), 'ann')
  t.equal(open.length, 2)
})

t.test('right passwords do not count, nor do failures of long ago', async t => {
  const world = new World()
  const from = clientOf(world, world.member({ basic: verify }), '192.0.2.1')
  for (let i = 0; i < 50; i++) t.equal(shortly(await from('ann', 'right')), 'ann')
  for (let round = 0; round < 5; round++) {
    for (let i = 0; i < 9; i++) t.equal(shortly(await from('ann', 'wrong')), 401)
    world.clock.advance(10 * minute)
  }
})

t.test('the window slides: at most the limit in any five minutes, about', async t => {
  const world = new World()
  const from = clientOf(world, world.member({ basic: verify }), '192.0.2.1')
  const tried: number[] = []
  for (let second = 0; second < 1_800; second += 5) {
    if (shortly(await from('ann', 'wrong')) === 401) tried.push(world.clock.now())
    world.clock.advance(5_000)
  }
  for (const start of tried) {
    const within = tried.filter(at => at >= start && at < start + 5 * minute).length
    // The estimate spreads the window before evenly; it can be off by its share at most.
    t.ok(within <= 20, `${within} in five minutes`)
  }
  t.ok(tried.length <= 70, `${tried.length} in half an hour`)
  t.ok(tried.length >= 40, `${tried.length} in half an hour`)
})

t.test('the table tells neither user nor address', async t => {
  const world = new World()
  const from = clientOf(world, world.member({ basic: verify }), '192.0.2.77')
  await from('annabelle', 'wrong')
  const records = world.records(0)
  t.equal(records.filter(({ table }) => table === tables.farm).length, 2)
  t.notMatch(world.dump(), 'annabelle')
  t.notMatch(world.dump(), '192.0.2.77')
})
