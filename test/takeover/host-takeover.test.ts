import t from 'tap'
import { seededRandom, testSeed } from '../fixtures/random.ts'
import { askedCheckpoint, fullCheckpoint } from '../fixtures/takeover/checkpoints.ts'
import { addressOf, farm, heirOf, names } from '../fixtures/takeover/fake-farm.ts'
import { heartbeat, timeout } from '../fixtures/takeover/fake-host.ts'
import { FakeHosts } from '../fixtures/takeover/fake-hosts.ts'

t.test('each host has its own address, once nobody else is known to', async t => {
  const world = new FakeHosts()
  for (const name of ['a', 'b']) world.start(name, addressOf(name))
  await world.advance(2 * timeout - heartbeat)
  t.strictSame(world.holders(addressOf('a')), [])
  await world.advance(2 * heartbeat)
  t.strictSame(world.holders(addressOf('a')), ['a'])
  t.strictSame(world.of('b').takeover.holds, [addressOf('b')])
})

t.test(
  'one of the others has the address and the connections of a host that is gone',
  async t => {
    for (const size of [2, 3, 5]) {
      const world = await farm(size)
      world.of('a').kill()
      await world.advance(timeout + 4 * heartbeat)
      const heir = heirOf(world, 'a')
      t.ok(heir, `of ${size}`)
      t.strictSame(world.fenced, [`${heir}: a`], 'fenced by that one alone')
      t.strictSame(world.wrong, [])
      t.match(world.of(heir ?? '').places, [{ position: 500, healed: 0 }])
      await world.advance(10_000)
      t.equal(world.of(heir ?? '').openPorts, 0, 'and nobody listens any more')
      t.equal(world.fenced.length, 1)
    }
  },
)

t.test(
  'what the heir has is inherited in its turn, with the address of its own',
  async t => {
    const world = await farm(3)
    world.of('a').kill()
    await world.advance(1_000)
    const heir = heirOf(world, 'a') ?? ''
    world.of(heir).kill()
    await world.advance(2_000)
    const last = names.slice(0, 3).find(name => world.of(name).isThere)
    t.equal(heirOf(world, 'a'), last)
    t.equal(heirOf(world, heir), last)
    t.strictSame(world.wrong, [])
  },
)

t.test('an heir that is cut off is fenced by its own address', async t => {
  const world = await farm(4)
  world.of('a').kill()
  await world.advance(1_000)
  const heir = heirOf(world, 'a') ?? ''
  for (const { name } of world.hosts) {
    world.cut.add(`${heir}>${name}`)
    world.cut.add(`${name}>${heir}`)
  }
  await world.advance(3_000)
  t.notOk(world.of(heir).isThere, 'else it would go on with what others go on with')
  t.ok(heirOf(world, 'a') && heirOf(world, heir))
  t.strictSame(world.wrong, [])
})

t.test('two hosts that are gone at once are taken over once each', async t => {
  for (const slow of ['a', 'b']) {
    const world = await farm(5)
    world.fence = (_, member) => ({ ms: member === slow ? 400 : 5, isDone: true })
    world.of('a').kill()
    world.of('b').kill()
    await world.advance(4_000)
    t.ok(heirOf(world, 'a') && heirOf(world, 'b'))
    t.strictSame(world.fenced.map(line => line.slice(3)).sort(), ['a', 'b'])
    t.strictSame(world.wrong, [])
    t.strictSame(
      world.hosts.flatMap(({ resets }) => resets),
      [],
    )
  }
})

t.test('where the fence fails nobody takes anything over', async t => {
  const world = await farm(3)
  world.fence = () => ({ ms: 5, isDone: false })
  world.of('a').kill()
  await world.advance(10_000)
  t.strictSame(world.holders(addressOf('a')), [])
  t.strictSame(world.fenced.sort(), ['b: a', 'c: a'], 'each has tried it once')
  t.strictSame(world.of('b').resets, ['unfenced', 'unfenced', 'unfenced'])
  t.strictSame(
    world.connections.filter(({ servedBy }) => servedBy.size > 1),
    [],
  )
})

t.test('while a fence hangs nobody else begins another one', async t => {
  const world = await farm(4)
  world.fence = () => ({ ms: 2_000, isDone: true })
  world.of('a').kill()
  await world.advance(1_900)
  t.strictSame(world.holders(addressOf('a')), [])
  t.equal(world.fenced.length, 1)
  await world.advance(1_000)
  t.ok(heirOf(world, 'a'))
  t.strictSame(world.wrong, [])
})

t.test('who is cut off takes nothing over, and its own is inherited', async t => {
  const world = await farm(4)
  for (const other of ['b', 'c', 'd']) {
    world.cut.add(`a>${other}`)
    world.cut.add(`${other}>a`)
  }
  await world.advance(2_000)
  t.ok(world.fenced.every(line => line.endsWith(': a')))
  t.match(world.of('a').log.join('\n'), /cut off itself/)
  t.ok(heirOf(world, 'a'))
  t.strictSame(world.wrong, [])
})

t.test('two halves of a farm take nothing of each other', async t => {
  const world = await farm(4)
  for (const one of ['a', 'b']) {
    for (const other of ['c', 'd']) {
      world.cut.add(`${one}>${other}`)
      world.cut.add(`${other}>${one}`)
    }
  }
  await world.advance(3_000)
  t.strictSame(world.fenced, [])
  world.cut.clear()
  await world.advance(1_000)
  world.of('d').kill()
  await world.advance(2_000)
  t.ok(heirOf(world, 'd'), 'and when they hear each other again it is as before')
  t.strictSame(world.wrong, [])
})

t.test('who is heard by nobody takes nothing over, though it hears all', async t => {
  const world = await farm(5)
  for (const other of ['b', 'c', 'd', 'e']) world.cut.add(`a>${other}`)
  world.fence = (_, member) => ({ ms: 5, isDone: member !== 'a' })
  await world.advance(500)
  world.of('d').kill()
  await world.advance(5_000)
  t.ok(['b', 'c', 'e'].includes(world.holders(addressOf('d'))[0] ?? ''))
  t.notOk(world.fenced.some(line => line.startsWith('a: ')))
  t.strictSame(world.wrong, [])
})

t.test('two that do not hear each other do not both take over', async t => {
  const world = await farm(5)
  world.cut.add('b>c')
  world.cut.add('c>b')
  world.fence = (_, member) => ({ ms: 50, isDone: member === 'd' })
  world.of('d').kill()
  await world.advance(5_000)
  t.ok(world.holders(addressOf('d')).length <= 1)
  t.strictSame(world.wrong, [])
})

t.test('one that stood still while it took over has lost it', async t => {
  const world = await farm(4)
  world.fence = () => ({ ms: 300, isDone: true })
  world.of('a').kill()
  await world.advance(timeout + 2 * heartbeat)
  const first = world.fenced[0]?.slice(0, 1) ?? ''
  world.of(first).pause(true)
  await world.advance(3_000)
  const second = heirOf(world, 'a')
  t.ok(second && second !== first)
  t.ok(
    world.fenced.some(line => line === `${second}: ${first}`),
    'fenced before',
  )
  world.of(first).pause(false)
  await world.advance(2_000)
  t.strictSame(world.wrong, [])
})

t.test('an address that the kernel refuses goes to the next in turn', async t => {
  for (const call of ['add', 'open', 'restore', 'release', 'adopt']) {
    const world = await farm(3)
    for (const name of ['b', 'c']) world.of(name).refuses.add(call)
    world.of('a').kill()
    await world.advance(3_000)
    const takers = new Set(world.fenced.map(line => line.slice(0, 1)))
    const isOfAddress = call === 'add' || call === 'open'
    t.equal(takers.size, isOfAddress ? 2 : 1, call)
    t.equal(world.holders(addressOf('a')).length, isOfAddress ? 0 : 1)
    const resets = world.hosts.flatMap(({ resets }) => resets)
    t.strictSame(resets, isOfAddress ? [] : ['kernel', 'kernel', 'kernel'])
    for (const { sockets, openPorts } of world.hosts) {
      await world.advance(6_000)
      t.equal(openPorts + sockets.open.size, 0, 'and nothing stays open')
    }
    t.strictSame(world.wrong, [])
  }
})

t.test('a socket of which the kernel tells nothing ends no proxy', async t => {
  const world = await farm(2)
  world.of('b').refuses.add('sent')
  world.of('a').kill()
  await world.advance(8_000)
  t.equal(heirOf(world, 'a'), 'b')
  t.equal(world.of('b').openPorts, 0)
})

t.test(
  'clients that say nothing are given up, and the others do not wait for them',
  async t => {
    const world = await farm(2, 4)
    const [first] = world.connections
    if (first === undefined) throw new Error('there are some')
    first.isMute = true
    world.of('a').kill()
    await world.advance(800)
    t.equal(world.of('b').places.length, 3)
    await world.advance(4_000)
    t.strictSame(world.of('b').resets, ['unanswered'])
  },
)

t.test('a checkpoint that is none, or of another address, is no connection', async t => {
  const world = await farm(2, 1)
  const a = world.of('a')
  a.accept(addressOf('b'), 1)
  a.accept(addressOf('a'), 1, { kernel: Buffer.from('no kernel') })
  await world.advance(heartbeat)
  a.kill()
  await world.advance(1_000)
  t.strictSame(world.of('b').resets, ['lost'])
  t.equal(world.of('b').places.length, 1)
})

t.test('with keys, requests and answers goes what a client waits for', async t => {
  const world = await farm(2, 0)
  const { transport } = fullCheckpoint
  const { owed } = askedCheckpoint
  world.of('a').accept(addressOf('a'), 1, { transport, owed })
  await world.advance(heartbeat)
  world.of('a').kill()
  await world.advance(1_000)
  t.equal(heirOf(world, 'a'), 'b')
})

t.test('a client that ends its connection is no longer watched', async t => {
  const world = await farm(2)
  world.of('a').kill()
  await world.advance(1_000)
  const b = world.of('b')
  for (const stream of b.sockets.streams) stream.destroy()
  await world.advance(1_500)
  t.equal(b.openPorts, 0, 'though five seconds are not over')
  t.strictSame(b.resets, [])
})

t.test(
  'who comes home finds its address with another one, and leaves it there',
  async t => {
    const world = await farm(2)
    world.of('a').kill()
    await world.advance(1_000)
    const again = world.start('a again', addressOf('a'))
    await world.advance(3_000)
    t.strictSame(again.takeover.holds, [])
    t.strictSame(world.holders(addressOf('a')), ['b'])
    await world.of('b').takeover.close()
    await world.advance(1_000)
    t.strictSame(again.takeover.holds, [addressOf('a')], 'until that one leaves')
    t.strictSame(world.wrong, [])
  },
)

t.test(
  'nor does it take what another one has that it does not hear in the farm',
  async t => {
    const world = await farm(2)
    world.of('a').kill()
    await world.advance(1_000)
    world.cut.add('b>c')
    const again = world.start('c', addressOf('a'))
    await world.advance(10_000)
    t.strictSame(again.takeover.holds, [])
    const said = again.log.filter(line => line.includes('another host on the link has'))
    t.equal(said.length, 1, 'which is said once')
    t.strictSame(world.holders(addressOf('a')), ['b'])
    world.of('b').kill()
    await world.advance(1_000)
    t.strictSame(again.takeover.holds, [addressOf('a')], 'it does when nobody answers')
    t.strictSame(world.wrong, [])
  },
)

t.test('one that was taken for dead says nothing more when it hears of it', async t => {
  const world = await farm(3)
  // What it said before is lost with its ways; it is heard again when it was fenced.
  world.cut.add('a>b').add('a>c').add('b>a').add('c>a')
  await world.advance(2_000)
  const a = world.of('a')
  t.ok(a.addresses.has(addressOf('a')), 'it knows nothing of it')
  world.cut.clear()
  a.mute(false)
  await world.advance(2 * heartbeat)
  t.strictSame(a.takeover.holds, [])
  t.notOk(a.addresses.has(addressOf('a')))
  t.match(a.log.join('\n'), /another member has taken over/)
  t.equal(world.connections.filter(({ servedBy }) => servedBy.has(a)).length, 0)
})

t.test('who leaves is taken over by nobody, in whatever it was', async t => {
  for (const wait of [
    0,
    timeout,
    timeout + heartbeat,
    timeout + 110,
    timeout + 130,
    600,
    900,
  ]) {
    const world = await farm(3)
    world.fence = () => ({ ms: 20, isDone: true })
    world.of('a').kill()
    await world.advance(wait)
    for (const name of ['b', 'c']) {
      await world.of(name).takeover.close()
      await world.of(name).takeover.close()
    }
    await world.advance(8_000)
    for (const name of ['b', 'c']) {
      const { takeover, openPorts, addresses } = world.of(name)
      t.strictSame(takeover.holds, [], `after ${wait} ms`)
      t.equal(openPorts + addresses.size, 0)
      t.notMatch(world.of(name).log.join('\n'), /could not/)
    }
    t.notOk(world.fenced.some(line => !line.endsWith(': a')))
    t.strictSame(world.wrong, [])
  }
})

t.test('an address that can not be taken away is said', async t => {
  const world = await farm(1)
  world.of('a').refuses.add('remove')
  await world.of('a').takeover.close()
  t.match(world.of('a').log.join('\n'), /an address stays here/)
})

t.test('an own address that can not be had is said once', async t => {
  const world = new FakeHosts()
  const host = world.start('a', addressOf('a'))
  host.refuses.add('add')
  await world.advance(3_000)
  t.equal(
    host.log.filter(line => line.startsWith('the virtual address is not')).length,
    1,
  )
})

t.test(
  'whatever is cut, killed, slow or fails, nobody shares an address or a client',
  async t => {
    const seed = testSeed()
    t.comment(`SEED=${seed}`)
    const random = seededRandom(seed)
    const below = (limit: number) => Math.floor(random() * limit)
    let takeovers = 0
    for (let round = 0; round < 40; round++) {
      const world = await farm(3 + below(3), 2)
      const alive = () => world.hosts.filter(({ isThere }) => isThere)
      const any = () => alive()[below(alive().length)]
      const slowest = [5, 80, 400][below(3)] ?? 5
      const hanging = [50, 600][below(2)] ?? 50
      world.delay = () => 1 + below(slowest)
      world.fence = (_, member) => {
        const isGone = !world.of(member).isThere
        return { ms: below(hanging), isDone: isGone || random() < 0.5 }
      }
      const events: string[] = []
      for (let episode = 0; episode < 3 && alive().length > 1; episode++) {
        world.cut.clear()
        for (const each of alive()) each.pause(false)
        await world.advance(50 * below(16))
        for (let cuts = below(6); cuts > 0; cuts--) {
          const [one, other] = [any()?.name, any()?.name]
          if (one === other) continue
          world.cut.add(`${one}>${other}`)
          if (random() < 0.5) world.cut.add(`${other}>${one}`)
        }
        const [dead, still] = [any(), any()]
        if (random() < 0.8) dead?.kill()
        events.push(
          `${[...world.cut].join(' ')}; ${dead?.name} dies, ${still?.name} stands`,
        )
        await world.advance(50 * below(12))
        if (random() < 0.3) still?.pause(true)
        await world.advance(500 + 50 * below(50))
      }
      takeovers += world.hosts.reduce((sum, { places }) => sum + places.length, 0)
      if (world.wrong.length > 0) {
        const { fenced, wrong } = world
        t.fail(`round ${round}`, { wrong: wrong.slice(0, 4), events, fenced })
      }
    }
    t.ok(takeovers > 0, `${takeovers} connections went to others`)
  },
)
