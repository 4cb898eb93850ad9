import t from 'tap'
import { seededRandom, testSeed } from '../fixtures/random.ts'
import { addressOf, farm, heirOf, names } from '../fixtures/takeover/fake-farm.ts'
import { heartbeat, timeout } from '../fixtures/takeover/fake-host.ts'

t.test('who leaves gives its address and its clients, and nobody is fenced', async t => {
  for (const size of [2, 3, 5]) {
    const world = await farm(size)
    const a = world.of('a')
    const left = a.takeover.leave(1_000)
    await world.advance(1_000)
    await left
    const heir = heirOf(world, 'a')
    t.ok(heir !== undefined && heir !== 'a', `of ${size}: ${heir}`)
    t.strictSame(world.fenced, [])
    t.strictSame(a.takeover.holds, [])
    t.equal(a.released, 0)
    await a.takeover.close()
    await world.advance(2_000)
    t.equal(heirOf(world, 'a'), heir, 'and it stays there')
    t.strictSame(world.wrong, [])
  }
})

t.test('it goes to whose it is, if that one lives', async t => {
  for (const home of ['a', 'b', 'c']) {
    const world = await farm(4)
    world.of(home).kill()
    await world.advance(timeout + 4 * heartbeat)
    const heir = heirOf(world, home) ?? ''
    t.ok(heir)
    world.start(home, addressOf(home))
    await world.advance(2 * timeout + 2 * heartbeat)
    t.equal(heirOf(world, home), heir, 'by itself it does not')
    const left = world.of(heir).takeover.leave(1_000)
    await world.advance(2_000)
    await left
    t.equal(heirOf(world, home), home)
    t.not(heirOf(world, heir), heir)
    t.strictSame(world.wrong, [])
  }
})

t.test('alone, or among those that are not heard, it keeps what it has', async t => {
  const world = await farm(1)
  const left = world.of('a').takeover.leave(1_000)
  await world.advance(2_000)
  await left
  t.equal(heirOf(world, 'a'), 'a')
  t.ok(world.of('a').log.some(line => line.includes('nobody is there')))
})

t.test('without more than half of the farm nothing moves', async t => {
  const world = await farm(5)
  for (const cut of ['c', 'd', 'e']) {
    for (const other of ['a', 'b']) {
      world.cut.add(`${cut}>${other}`)
      world.cut.add(`${other}>${cut}`)
    }
  }
  // The others are about to judge: what is given now would be taken by two.
  world.fence = () => ({ ms: 5, isDone: false })
  const left = world.of('a').takeover.leave(2_000)
  await world.advance(8_000)
  await left
  t.equal(heirOf(world, 'a'), 'a')
  t.ok(world.of('a').log.some(line => line.includes('"reason":"refused"')))
  t.strictSame(world.wrong, [])
})

t.test('whenever either dies, nobody shares an address or a client', async t => {
  const seed = testSeed()
  t.comment(`SEED=${seed}`)
  const random = seededRandom(seed)
  const below = (limit: number) => Math.floor(random() * limit)
  const ends = { given: 0, taken: 0, kept: 0 }
  for (let round = 0; round < 20; round++) {
    const size = 2 + below(4)
    const world = await farm(size, 2)
    const slowest = [2, 30, 120][below(3)] ?? 2
    world.delay = () => 1 + below(slowest)
    const some = () => world.of(names[below(size)] ?? 'a')
    const left = world.of('a').takeover.leave(1_000 * below(3))
    void left.catch(() => {})
    await world.advance(5 * below(60))
    const kind = below(5)
    if (kind === 0) world.of('a').kill()
    else if (kind === 1) some().kill()
    else if (kind === 2) some().pause(true)
    else if (kind === 3) {
      const [one, other] = [some().name, some().name]
      world.cut.add(`${one}>${other}`)
      if (random() < 0.5) world.cut.add(`${other}>${one}`)
    }
    await world.advance(200 + 5 * below(200))
    for (const host of world.hosts) host.pause(false)
    world.cut.clear()
    await world.advance(12_000)
    const { wrong, fenced } = world
    if (wrong.length > 0) t.fail(`round ${round}`, { wrong: wrong.slice(0, 4), fenced })
    const [heir] = world.holders(addressOf('a'))
    if (heir === 'a') ends.kept += 1
    else if (fenced.length > 0) ends.taken += 1
    else if (heir !== undefined) ends.given += 1
  }
  t.ok(ends.given > 0 && ends.taken > 0, JSON.stringify(ends))
})
