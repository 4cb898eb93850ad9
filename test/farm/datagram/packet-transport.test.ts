import { createSocket } from 'node:dgram'
import t, { type Test } from 'tap'
import { systemClock } from '../../../lib/clock.ts'
import type { ControlChannel } from '../../../lib/farm/channel/control-channel.ts'
import { tables } from '../../../lib/record/key.ts'
import { type FarmMember, PacketFarm } from '../../fixtures/farm/packet-farm.ts'
import { until } from '../../fixtures/until.ts'

const seed = 7

function holds(member: FarmMember, key: string, value: string | undefined): boolean {
  const found = member.table.get(tables.session, Buffer.from(key))
  return found?.toString() === value
}

async function holdAll(members: readonly FarmMember[], keys: string[]): Promise<void> {
  for (const member of members)
    await until(() => keys.every(key => holds(member, key, key)), `${member.id} has all`)
}

function paths(member: FarmMember): { multicast: number; unicast: number } {
  const stats = member.transport.stats()
  return {
    multicast: stats['pathsMulticast'] ?? 0,
    unicast: stats['pathsUnicast'] ?? 0,
  }
}

/** So many others serve, and its datagrams come to them that way. */
async function reaches(
  member: FarmMember,
  path: 'multicast' | 'unicast',
  others: number,
): Promise<void> {
  const ready = () => member.transport.members().filter(({ state }) => state === 'ready')
  await until(() => ready().length === others + 1, 'all are ready')
  await until(() => paths(member)[path] === others, `${path} reaches ${others}`)
}

for (const transport of ['multicast', 'unicast'] as const) {
  t.test(`${transport}: what one writes, all have`, async t => {
    const farm = new PacketFarm(t)
    const a = await farm.started('a', { transport })
    const b = await farm.started('b', { transport })
    const c = await farm.started('c', { transport })
    await reaches(a, transport, 2)
    for (const level of ['one', 'repositories', 'all'] as const) {
      t.ok(await a.transport.publish(a.write(level, level), level, 5_000), level)
    }
    t.ok(holds(b, 'all', 'all') && holds(c, 'all', 'all'), 'an ack means: in the table')
    t.equal(await a.transport.publish(a.write('l', 'l'), 'local', 0), true)
    const keys = Array.from({ length: 500 }, (_, i) => `key ${i}`)
    await Promise.all(
      keys.map(key => a.transport.publish(a.write(key, key), 'one', 60_000)),
    )
    await holdAll([b, c], keys)
    const stats = a.transport.stats()
    t.ok((stats['datagramsSent'] ?? 500) < 200, 'many records share a datagram')

    await t.test('a deletion and a record of many fragments', async t => {
      t.ok(await b.transport.publish(b.write('key 1', undefined), 'all', 60_000))
      t.ok(holds(a, 'key 1', undefined) && holds(c, 'key 1', undefined))
      const large = 'x'.repeat(60_000)
      t.ok(await b.transport.publish(b.write('large', large), 'all', 60_000))
      t.ok(holds(a, 'large', large) && holds(c, 'large', large))
    })

    await t.test(
      'what a table can not take is not acknowledged, and fetched',
      async t => {
        const { put } = c.table
        c.table.put = () => {
          throw new Error('table on fire')
        }
        t.notOk(await a.transport.publish(a.write('lost', 'x'), 'all', 500))
        t.ok(holds(b, 'lost', 'x'))
        const large = 'y'.repeat(20_000)
        t.notOk(await a.transport.publish(a.write('large lost', large), 'all', 500))
        c.table.put = put
        await until(() => holds(c, 'lost', 'x') && holds(c, 'large lost', large), 'all')
        t.ok(await a.transport.publish(a.write('again', 'x'), 'all', 60_000))
        t.ok(holds(c, 'again', 'x'))
      },
    )

    await t.test('who leaves is gone at once', async t => {
      await c.transport.close()
      await until(() => a.transport.members().length === 2, 'a sees it')
      t.ok(await a.transport.publish(a.write('later', 'x'), 'all', 60_000))
      t.equal(await c.transport.publish(c.write('k', 'v'), 'one', 50), false)
      t.equal(await c.transport.fetch(tables.session, Buffer.from('k'), 50), undefined)
    })
  })
}

t.test('a member that joins has everything before it serves', async t => {
  const farm = new PacketFarm(t)
  const a = await farm.started('a')
  t.equal(
    await a.transport.publish(a.write('x', 'x'), 'one', 60_000),
    true,
    'nobody to wait for',
  )
  t.equal(await a.transport.publish(a.write('x', 'y'), 'all', 60_000), true)
  const keys = Array.from({ length: 3_000 }, (_, i) => `key ${i}`)
  for (const key of keys) a.write(key, key)
  let written = 0
  const writing = setInterval(() => {
    for (let i = 0; i < 5; i++) {
      const key = `live ${written++}`
      void a.transport.publish(a.write(key, key), 'local', 0)
    }
  }, 1)
  const b = await farm.started('b', { repository: true })
  t.ok(
    keys.every(key => holds(b, key, key)),
    'the table, at the moment it starts to serve',
  )
  clearInterval(writing)
  await holdAll(
    [b],
    Array.from({ length: written }, (_, i) => `live ${i}`),
  )
  await until(
    () => a.transport.members()[1]?.state === 'ready',
    'b says that it is ready',
  )
  t.same(
    a.transport.members().map(({ id, self }) => ({ id, self })),
    [
      { id: 'a', self: true },
      { id: 'b', self: false },
    ],
  )
  t.ok(await a.transport.fetch(tables.session, Buffer.from('key 7'), 50))
})

for (const [loss, limit] of [
  [0.01, 100],
  [0.1, 2_000],
] as const) {
  for (const group of [true, false]) {
    const name = group ? 'multicast' : 'unicast'
    t.test(`${name}: ${loss * 100} % loss at each receiver loses no record`, async t => {
      t.comment(`seed ${seed}, the goal is ${limit} ms`)
      const farm = new PacketFarm(t)
      const settings = { recordsPerDatagram: 4 }
      const members = await Promise.all(
        ['a', 'b', 'c', 'd'].map((id, i) =>
          farm.started(id, { settings, sockets: farm.lossy(loss, seed + i, group) }),
        ),
      )
      const [a, ...others] = members
      if (a === undefined) return
      const keys = Array.from({ length: 1_000 }, (_, i) => `key ${i}`)
      await Promise.all(
        keys.map(key => a.transport.publish(a.write(key, key), 'one', 60_000)),
      )
      const last = systemClock.monotonic()
      await holdAll(others, keys)
      t.comment(`all there after ${Math.round(systemClock.monotonic() - last)} ms`)
      const sum = (name: string) =>
        members.reduce((all, { transport }) => all + (transport.stats()[name] ?? 0), 0)
      t.comment(`${sum('nacksSent')} NACKs, ${sum('repairsSent')} repairs`)
      t.equal(sum('resyncs') <= members.length * 3, true, 'tables only when they met')
    })
  }
}

t.test('a member that multicast no longer reaches is served one by one', async t => {
  const farm = new PacketFarm(t)
  const settings = { heartbeat: 50 }
  const deaf = farm.lossy(0, seed, true)
  const a = await farm.started('a', { sockets: farm.lossy(0, seed, true), settings })
  const b = await farm.started('b', { sockets: farm.lossy(0, seed, true), settings })
  const c = await farm.started('c', { sockets: deaf, settings })
  await reaches(a, 'multicast', 2)
  deaf.deafToMulticast = true
  await until(() => paths(a).unicast === 1 && paths(b).unicast === 1, 'one by unicast')
  t.ok(await a.transport.publish(a.write('k', 'v'), 'all', 60_000))
  t.ok(holds(c, 'k', 'v'))
  deaf.deafToMulticast = false
  await until(() => paths(a).multicast === 2, 'probing finds it again')
})

t.test('what a stranger sends is dropped and never answered', async t => {
  const farm = new PacketFarm(t)
  const sockets = farm.lossy(0, seed, true)
  const a = await farm.started('a', { sockets: farm.lossy(0, seed, true) })
  const b = await farm.started('b', { sockets })
  await reaches(a, 'multicast', 1)
  for (let i = 0; i < 20; i++)
    t.ok(await a.transport.publish(a.write(`k${i}`, 'v'), 'all', 60_000))
  const before = b.transport.stats()
  const stranger = createSocket('udp4')
  t.teardown(() => new Promise<void>(done => stranger.close(() => done())))
  let answers = 0
  stranger.on('message', () => answers++)
  let sent = 0
  const send = (bytes: Buffer) => {
    sent += 1
    return new Promise(done => stranger.send(bytes, sockets.port, '127.0.0.1', done))
  }
  for (const datagram of sockets.captured.slice(0, 200)) {
    await send(datagram)
    for (const at of [1, 3, 5, 9, 13, 20, 40, datagram.length - 1]) {
      const flipped = Buffer.from(datagram)
      flipped[at] = (flipped[at] ?? 0) ^ 0x10
      await send(flipped)
    }
  }
  await send(Buffer.alloc(0))
  const received = (before['datagramsReceived'] ?? 0) + sent
  await until(
    () => (b.transport.stats()['datagramsReceived'] ?? 0) >= received,
    'all of it came',
  )
  const after = b.transport.stats()
  t.ok((after['forged'] ?? 0) > 0, 'some had to be opened to be known as forged')
  t.equal(after['recordsApplied'], before['recordsApplied'], 'nothing was applied')
  t.ok((after['duplicates'] ?? 0) > (before['duplicates'] ?? 0), 'replays are duplicates')
  t.equal(answers, 0)
  t.ok(await a.transport.publish(a.write('after', 'v'), 'all', 60_000), 'all goes on')
})

t.test('keys turn while records flow', async t => {
  const farm = new PacketFarm(t)
  const a = await farm.started('a')
  const b = await farm.started('b')
  await reaches(a, 'multicast', 1)
  a.transport.rotateKey()
  const end = systemClock.monotonic() + 1_600
  const keys: string[] = []
  while (systemClock.monotonic() < end) {
    const key = `key ${keys.length}`
    keys.push(key)
    t.ok(await a.transport.publish(a.write(key, key), 'all', 60_000))
  }
  await holdAll([b], keys)
})

t.test(
  'a farm that gives nothing in time is served without, and not as current',
  async t => {
    const farm = new PacketFarm(t)
    const silent: ControlChannel = {
      listen: listener => setImmediate(() => listener.up({ id: 'x', host: '127.0.0.1' })),
      start: () => new Promise(resolve => setTimeout(resolve, 20)),
      send: () => {},
      onceDrained: () => {},
      fetch: async () => undefined,
      close: async () => {},
    }
    const a = farm.member('a', { channel: silent, joinTimeout: 100 })
    const early = farm.member('early', { channel: silent, joinTimeout: 5 })
    for (const { transport, write } of [a, early]) {
      await transport.start()
      t.notOk(transport.isCurrent())
      t.match(transport.members(), [{ self: true, state: 'joining' }])
      t.ok(await transport.publish(write('key', 'value'), 'local', 0))
    }
    const b = farm.member('b', { channel: silent })
    const starting = b.transport.start()
    setTimeout(() => void b.transport.close(), 50)
    await t.rejects(starting, { code: 'ERR_HANDFAST_CLOSED' })
  },
)

t.test('starting twice, closing twice, closing before anything', async (t: Test) => {
  const farm = new PacketFarm(t)
  const a = farm.member('a')
  t.same(a.transport.members(), [])
  await a.transport.start()
  await t.rejects(a.transport.start(), { code: 'ERR_HANDFAST_USAGE' })
  await a.transport.close()
  await a.transport.close()
  const b = farm.member('b')
  await b.transport.close()
})
