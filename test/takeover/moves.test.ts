import t from 'tap'
import { seededRandom, testSeed } from '../fixtures/random.ts'
import { MovesWorld } from '../fixtures/takeover/moves-world.ts'

t.test('an address goes to another member with all its connections', async t => {
  const world = new MovesWorld(3)
  const given = world.give()
  await world.clock.pass(50)
  t.strictSame(await given, { moved: 3, cut: 0 })
  t.strictSame(world.holding.done, ['hold', 'give'])
  t.strictSame(world.votes, ['nominate b', 'accept', 'end'])
  t.equal(world.isHere, false)
  t.equal(world.received.length, 1)
  t.match(world.received[0], [
    { acked: 1_000, checkpoint: Buffer.from('checkpoint 0') },
    { acked: 1_001, checkpoint: Buffer.from('checkpoint 1') },
    { acked: 1_002, checkpoint: Buffer.from('checkpoint 2') },
  ])
})

t.test('one without connections does, too', async t => {
  const world = new MovesWorld(0)
  const given = world.give()
  await world.clock.pass(50)
  t.strictSame(await given, { moved: 0, cut: 0 })
  t.strictSame(world.received, [[]])
})

t.test('whatever keeps it from being given, all goes on where it was', async t => {
  const cases: { readonly [name: string]: (world: MovesWorld) => void } = {
    'refused: the other one is about to leave': world => {
      world.isLeaving = true
    },
    'refused: it is not elected': world => {
      world.isElected = false
    },
    'refused: to its knowledge somebody else has the address': world => {
      world.isTheirs = false
    },
    'refused: it hears nothing': world => {
      world.isLost = from => from === 'giver'
    },
    'refused: it is not heard': world => {
      world.isLost = from => from === 'receiver'
    },
    'busy: a connection does not come to a stand': world => {
      world.holding.left = 1
    },
    'unheard: a connection does not come over': world => {
      world.isLost = (_, index) => index === 3
    },
    'stuck: the address does not go': world => {
      world.holding.isStuck = true
    },
  }
  for (const [name, prepare] of Object.entries(cases)) {
    const world = new MovesWorld(3)
    prepare(world)
    const given = world.give()
    await world.clock.pass(20_000)
    t.equal(await given, name.split(':')[0], name)
    t.equal(world.holding.done.at(-1), 'release', name)
    t.equal(world.isHere, true, name)
    t.equal(world.votes.filter(word => word === 'withdraw').length, 1, name)
    t.strictSame(world.received, [], name)
    t.equal(world.receiver.isMoving('10.0.0.100'), false, name)
    t.equal(world.giver.isMoving('10.0.0.100'), false, name)
  }
})

t.test('what does not come to a stand is cut, if it has to be', async t => {
  const world = new MovesWorld(2)
  world.holding.left = 1
  const given = world.give(true)
  await world.clock.pass(3_000)
  t.strictSame(await given, { moved: 2, cut: 1 })
  t.ok(world.holding.done.includes('hold late'), 'the last packets were not waited for')
  t.equal(world.received.length, 1)
})

t.test('whoever has given up does nothing with what it is given then', async t => {
  const world = new MovesWorld(1)
  world.holding.left = 1
  const given = world.give(true)
  await world.clock.pass(500)
  t.equal(world.receiver.isMoving('10.0.0.100'), true)
  // The giver stood still, others took it for dead, and this one judges as they do.
  world.receiver.failed('a')
  await world.clock.pass(5_000)
  t.equal(await given, 'unheard')
  t.strictSame(world.received, [])
})

t.test('the end of either ends a move', async t => {
  for (const end of ['giver', 'receiver'] as const) {
    const world = new MovesWorld(1)
    world.holding.left = 1
    const given = world.give(true)
    await world.clock.pass(500)
    world[end].close()
    await world.clock.pass(20_000)
    t.type(await given, 'string', end)
    t.strictSame(world.received, [], end)
    t.equal(world.holding.done.at(-1), 'release', end)
  }
})

t.test('never do two members have a connection, whatever is lost', async t => {
  const seed = testSeed()
  const random = seededRandom(seed)
  const outcomes = new Map<string, number>()
  for (let round = 0; round < 300; round++) {
    const world = new MovesWorld(1 + Math.floor(random() * 4))
    const loss = random() < 0.3 ? 0 : random() * 0.5
    world.isLost = () => random() < loss
    world.holding.left = random() < 0.3 ? 1 : 0
    world.holding.isStuck = random() < 0.1
    world.isElected = random() < 0.9
    const given = world.give(random() < 0.5)
    await world.clock.pass(random() * 1_500)
    if (random() < 0.2) world.receiver.failed('a')
    if (random() < 0.1) world.receiver.close()
    if (random() < 0.1) world.giver.close()
    await world.clock.pass(20_000)
    const outcome = await given
    const isGiven = typeof outcome !== 'string'
    outcomes.set(
      isGiven ? 'given' : outcome,
      (outcomes.get(isGiven ? 'given' : outcome) ?? 0) + 1,
    )
    const name = `round ${round} of ${seed}`
    if (!isGiven) t.equal(world.received.length, 0, `${name}: it goes on here alone`)
    t.ok(world.received.length <= 1, name)
    t.equal(world.isHere, !isGiven, name)
    t.equal(world.holding.done.includes('release'), !isGiven, name)
  }
  t.ok(outcomes.size >= 4, JSON.stringify(Object.fromEntries(outcomes)))
})
