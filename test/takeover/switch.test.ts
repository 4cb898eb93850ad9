import t from 'tap'
import { addressOf } from '../fixtures/takeover/fake-farm.ts'
import { heartbeat, timeout } from '../fixtures/takeover/fake-host.ts'
import { FakeHosts } from '../fixtures/takeover/fake-hosts.ts'
import {
  alive,
  hostOf,
  reroute,
  servedBy,
  shared,
  switchedFarm,
} from '../fixtures/takeover/switched-farm.ts'

const decided = timeout + 4 * heartbeat

t.test(
  'all hosts have the same address, and strays are told before it is here',
  async t => {
    const world = await switchedFarm(3)
    for (const host of world.hosts) {
      t.strictSame(host.takeover.holds, [shared])
      t.ok(host.addresses.has(shared))
      t.equal(host.strays.openPorts, 1)
    }
    await world.of('a').takeover.close()
    t.strictSame(world.of('a').takeover.holds, [])
    t.equal(world.of('a').addresses.size + world.of('a').strays.openPorts, 0)
    await world.advance(5_000)
    t.strictSame(world.fenced, [], 'who takes its leave is fenced by nobody')
  },
)

t.test(
  'connections of a host that is gone go on wherever the switch sends them',
  async t => {
    for (const size of [2, 3, 5]) {
      const world = await switchedFarm(size, 6)
      const others = world.hosts.map(({ name }) => name).filter(name => name !== 'a')
      reroute(world, 'a', port => others[port % others.length] ?? '')
      world.of('a').kill()
      await world.advance(decided)
      t.equal(world.fenced.length, 1, `of ${size}: fenced once`)
      t.match(world.fenced[0], /: a$/)
      t.equal(alive(world).length, world.connections.length, 'all of them go on')
      for (const name of others) t.ok(servedBy(world, name).length > 6, name)
      t.strictSame(world.wrong, [])
      await world.advance(40_000)
      for (const name of others) t.equal(world.of(name).openPorts, 1, 'that sends')
    }
  },
)

t.test('a switch may take its time to find out', async t => {
  const world = await switchedFarm(3, 4)
  world.of('a').kill()
  await world.advance(8_000)
  t.equal(servedBy(world, 'b').length + servedBy(world, 'c').length, 8)
  reroute(world, 'a', port => (port % 2 === 0 ? 'b' : 'c'))
  await world.advance(2_000)
  t.equal(alive(world).length, 12)
  t.strictSame(world.wrong, [])
})

t.test('what comes before the host is fenced waits, and comes again', async t => {
  const world = await switchedFarm(3)
  world.fence = () => ({ ms: 1_000, isDone: true })
  reroute(world, 'a', () => 'c')
  world.of('a').kill()
  await world.advance(timeout)
  for (const one of world.connections.slice(0, 3)) world.speak(one)
  await world.advance(2 * heartbeat)
  t.equal(servedBy(world, 'c').length, 3, 'its own')
  t.strictSame(world.of('c').strays.passed, [], 'no kernel has answered')
  t.ok((world.of('c').takeover.counts.strays['waiting'] ?? 0) >= 3)
  await world.advance(2_000)
  t.equal(servedBy(world, 'c').length, 6)
  t.strictSame(world.wrong, [])
})

t.test('what nobody has told of is for the kernel, and ends with it', async t => {
  const world = await switchedFarm(3)
  const [one] = world.connections
  if (one === undefined) throw new Error('there are some')
  const unknown = { ...one, port: 60_000 }
  world.routes.set(60_000, 'b')
  world.speak(unknown)
  await world.advance(10)
  t.equal(world.of('b').strays.passed.length, 1)
  t.equal(world.of('b').takeover.counts.strays['unknown'], 1)
})

t.test('a flow that is moved while its host lives is not ended', async t => {
  const world = await switchedFarm(3)
  const [one] = world.connections
  if (one === undefined) throw new Error('there are some')
  world.routes.set(one.port, 'b')
  world.speak(one)
  await world.advance(1_000)
  t.strictSame(world.of('b').strays.passed, [])
  t.equal(world.of('b').takeover.counts.strays['elsewhere'], 1)
  t.strictSame(
    [...one.servedBy].map(({ name }) => name),
    ['a'],
  )
})

t.test('two that the switch sends a connection to do not both have it', async t => {
  const world = await switchedFarm(4, 2)
  const [one] = world.connections
  if (one === undefined) throw new Error('there are some')
  world.of('a').kill()
  reroute(world, 'a', () => 'b')
  let turn = 0
  for (let passed = 0; passed < 3_000; passed += 20) {
    turn += 1
    world.routes.set(one.port, ['b', 'c', 'd'][turn % 3] ?? '')
    world.speak(one)
    await world.advance(20)
  }
  t.equal(one.servedBy.size, 1)
  t.strictSame(world.wrong, [])
})

t.test('where the fence fails nothing goes on', async t => {
  const world = await switchedFarm(3)
  world.fence = () => ({ ms: 5, isDone: false })
  reroute(world, 'a', () => 'c')
  world.of('a').kill()
  await world.advance(10_000)
  t.equal(servedBy(world, 'b').length + servedBy(world, 'c').length, 6)
  t.strictSame(world.of('b').resets, ['unfenced', 'unfenced', 'unfenced'])
  t.strictSame(world.of('c').strays.passed, [], 'it may live')
})

t.test('with the one that decides goes what it has granted nobody', async t => {
  const world = await switchedFarm(4)
  world.of('a').kill()
  await world.advance(decided)
  const decider = world.fenced[0]?.slice(0, 1) ?? ''
  const [first = '', second = ''] = ['b', 'c', 'd'].filter(name => name !== decider)
  world.of(decider).kill()
  reroute(world, 'a', () => first)
  reroute(world, decider, () => second)
  await world.advance(3_000)
  for (const one of world.connections) world.speak(one)
  await world.advance(3_000)
  t.strictSame(
    world.fenced.map(line => line.slice(3)),
    ['a', decider],
    'for nobody stands for the seat of the first one again',
  )
  t.equal(servedBy(world, first).length, 3, 'its own alone')
  t.equal(servedBy(world, second).length, 6, 'and those of the second')
  t.ok(world.of(first).strays.passed.length > 0, 'the kernel ends the others')
  t.strictSame(world.wrong, [])
})

t.test('what was granted goes on when that member is gone in its turn', async t => {
  const world = await switchedFarm(4)
  reroute(world, 'a', () => 'b')
  world.of('a').kill()
  await world.advance(1_000)
  t.equal(servedBy(world, 'b').length, 6)
  reroute(world, 'b', port => (port % 2 === 0 ? 'c' : 'd'))
  world.of('b').kill()
  await world.advance(2_000)
  t.equal(alive(world).length, 12)
  t.strictSame(world.wrong, [])
})

t.test('one that was taken for dead ends what it had, and begins anew', async t => {
  const world = await switchedFarm(3)
  for (const other of ['b', 'c']) world.cut.add(`a>${other}`).add(`${other}>a`)
  reroute(world, 'a', () => 'c')
  await world.advance(2_000)
  t.equal(servedBy(world, 'c').length, 6)
  world.cut.clear()
  const a = world.of('a')
  a.mute(false)
  await world.advance(2 * heartbeat)
  t.match(a.log.join('\n'), /taken for dead/)
  t.equal(servedBy(world, 'a').length, 0)
  t.strictSame(
    world.wrong.filter(line => !line.includes('serve')),
    [],
  )
  world.wrong.length = 0
  await world.advance(2 * heartbeat)
  t.strictSame(a.takeover.holds, [shared])
  a.accept(shared, 2)
  await world.advance(heartbeat)
  reroute(world, 'a', () => 'b')
  a.kill()
  await world.advance(2_000)
  t.equal(servedBy(world, 'b').length, 5, 'and what it had from then on is given on, too')
  t.strictSame(world.wrong, [])
})

t.test('a kernel that refuses ends one connection, and nothing else', async t => {
  for (const call of ['restore', 'release', 'adopt']) {
    const world = await switchedFarm(2)
    world.of('b').refuses.add(call)
    reroute(world, 'a', () => 'b')
    world.of('a').kill()
    await world.advance(2_000)
    t.strictSame(world.of('b').resets, ['kernel', 'kernel', 'kernel'], call)
    t.equal(world.of('b').openPorts, 1, call)
    t.strictSame(world.wrong, [])
  }
})

t.test('an address that can not be had is said once, and tried again', async t => {
  const world = new FakeHosts(shared)
  world.prepare = ({ strays }) => {
    strays.refusal = new Error('no nft')
  }
  const host = world.start('a', hostOf('a'))
  await world.advance(20_000)
  t.equal(host.log.filter(line => line.startsWith('the shared address is not')).length, 1)
  t.equal(host.addresses.size, 0)
  host.strays.refusal = undefined
  await world.advance(6_000)
  t.strictSame(host.takeover.holds, [shared])
})

t.test('members of two kinds take over nothing from each other, and say so', async t => {
  for (const other of [false, '10.0.0.200'] as const) {
    const world = await switchedFarm(2)
    const host = world.start('e', addressOf('e'), other)
    await world.advance(1_000)
    t.match(host.log.join('\n'), /neither takes anything over/)
    for (const name of ['a', 'b']) {
      const said = world.of(name).log.filter(line => line.includes('neither takes'))
      t.equal(said.length, 1)
    }
    host.kill()
    await world.advance(3_000)
    t.strictSame(world.fenced, [])
  }
})

t.test('with commit a flow that is moved while its host lives goes on', async t => {
  const world = await switchedFarm(3, 3, true)
  const [one] = world.connections
  if (one === undefined) throw new Error('there are some')
  const others = ['b', 'c', 'a', 'c', 'b', 'a']
  for (const to of others) {
    world.routes.set(one.port, to)
    world.speak(one)
    await world.advance(500)
    t.strictSame(
      [...one.servedBy].map(({ name }) => name),
      [to],
    )
  }
  t.equal(alive(world).length, 9, 'and the others where they were')
  t.equal(
    world.hosts.reduce((sum, { sealed }) => sum + sealed, 0),
    0,
  )
  t.strictSame(world.wrong, [])
})

t.test('one that does not hear the other moves nothing, and goes on', async t => {
  for (const way of ['a>b', 'b>a']) {
    const world = await switchedFarm(3, 1, true)
    const [one] = world.connections
    if (one === undefined) throw new Error('there are some')
    const a = world.of('a')
    world.routes.set(one.port, 'b')
    world.speak(one)
    await world.advance(5)
    world.cut.add(way)
    await world.advance(200)
    world.cut.clear()
    await world.advance(5_000)
    t.equal(one.servedBy.size, 1, way)
    t.ok(a.released > 0 || !one.servedBy.has(a), way)
    world.speak(one)
    await world.advance(1_000)
    t.equal(alive(world).length, 3, 'and later it does')
    t.strictSame(world.wrong, [])
  }
})

t.test('nothing moves while one that could take over may know less of it', async t => {
  const world = await switchedFarm(3, 1, true)
  const [one] = world.connections
  if (one === undefined) throw new Error('there are some')
  world.cut.add('a>c')
  world.routes.set(one.port, 'b')
  world.speak(one)
  await world.advance(2 * heartbeat)
  t.strictSame(
    [...one.servedBy].map(({ name }) => name),
    ['a'],
  )
  world.cut.clear()
  await world.advance(4_000)
  world.speak(one)
  await world.advance(1_000)
  t.equal(alive(world).length, 3)
  t.strictSame(world.wrong, [])
})

t.test('who leaves gives what it has to where the switch sends it', async t => {
  const world = await switchedFarm(3, 4, true)
  reroute(world, 'a', port => (port % 2 === 0 ? 'b' : 'c'))
  const a = world.of('a')
  const left = a.takeover.leave(10_000)
  await world.advance(3_000)
  await left
  await a.takeover.close()
  await world.advance(heartbeat)
  a.kill()
  await world.advance(3_000)
  t.equal(alive(world).length, 12, 'though no client has said anything by itself')
  t.strictSame(world.fenced, [])
  t.strictSame(world.wrong, [])
})

t.test(
  'what nobody takes from one that leaves is waited for no longer than told',
  async t => {
    const world = await switchedFarm(2, 2, true)
    const left = world.of('a').takeover.leave(3_000)
    let isOver = false
    void left.then(() => {
      isOver = true
    })
    await world.advance(2_000)
    t.equal(isOver, false)
    await world.advance(2_500)
    t.equal(isOver, true)
    t.equal(servedBy(world, 'a').length, 2)
  },
)

t.test('elections that come to nothing cost no connection', async t => {
  const world = await switchedFarm(3)
  reroute(world, 'a', () => 'c')
  // Whoever stands first is not heard for some turns, and gives up each time.
  world.cut.add('b>c').add('c>b')
  world.fence = (_, member) => ({ ms: 5, isDone: member === 'a' })
  world.of('a').kill()
  await world.advance(timeout - heartbeat)
  world.delay = () => 250
  world.cut.clear()
  await world.advance(1_000)
  world.delay = () => 1
  await world.advance(5_000)
  t.equal(servedBy(world, 'c').length, 6)
  t.strictSame(world.wrong, [])
})

t.test('who is elected when another one may have been before grants nothing', async t => {
  const world = await switchedFarm(5)
  world.fence = (_, member) => ({ ms: member === 'a' ? 500 : 5, isDone: true })
  world.of('a').kill()
  await world.advance(timeout + 2 * heartbeat)
  const first = world.fenced[0]?.slice(0, 1) ?? ''
  world.of(first).kill()
  reroute(world, 'a', () => 'd')
  reroute(world, first, () => 'd')
  await world.advance(5_000)
  for (const one of world.connections) world.speak(one)
  await world.advance(1_000)
  const told = world.hosts.flatMap(({ log }) => log).filter(line => /all ends/.test(line))
  t.equal(told.length, 1)
  t.strictSame(world.wrong, [])
})
