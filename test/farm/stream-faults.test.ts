import t from 'tap'
import { tables } from '../../lib/record/key.ts'
import { startChild } from '../fixtures/farm/stream-child.ts'
import {
  FarmMember,
  isLinked,
  startFarm,
  startMember,
} from '../fixtures/farm/stream-member.ts'
import { startRelay } from '../fixtures/farm/stream-relay.ts'
import { patience } from '../fixtures/patience.ts'
import { until } from '../fixtures/until.ts'

/** Two members; what the first writes reaches the second through a relay. */
async function relayed(
  t: Parameters<typeof startRelay>[0],
  options: Parameters<typeof startMember>[1] = {},
): Promise<{
  writer: FarmMember
  reader: FarmMember
  relay: Awaited<ReturnType<typeof startRelay>>
}> {
  const relay = await startRelay(t)
  // Messages pass over the link that was dialled by the one whose name comes first.
  const names = { reader: 'b', writer: 'a' }
  const reader = await startMember(t, {
    ...options,
    memberId: names.reader,
    advertise: relay.address,
  })
  relay.lead(Number(reader.address.split(':')[1]))
  const writer = await startMember(t, {
    ...options,
    memberId: names.writer,
    members: [relay.address],
  })
  await until(() => isLinked(writer, 1) && isLinked(reader, 1))
  return { writer, reader, relay }
}

t.test('what is written while a link is cut arrives when it stands again', async t => {
  const { writer, reader, relay } = await relayed(t)
  await writer.put('before', 'all')
  const resyncs = reader.stat('resyncs')
  for (let round = 0; round < 5; round++) {
    for (let i = 0; i < 500; i++) writer.write(`${round}.${i}`)
    // In the middle of the stream: some frames are on their way, some are not sent.
    await new Promise(resolve => setImmediate(resolve))
    relay.cut()
    for (let i = 500; i < 700; i++) writer.write(`${round}.${i}`)
    await until(() => writer.stat('linksLost') > round && isLinked(writer, 1))
  }
  t.ok(await writer.put('after', 'all', 60_000))
  t.equal(reader.contents(), writer.contents())
  t.equal(reader.stat('resyncs'), resyncs, 'nothing but what was missing came again')
})

t.test(
  'a write waits for a member whose link is cut, not for one that is gone',
  async t => {
    const { writer, reader, relay } = await relayed(t)
    relay.cut()
    t.ok(await writer.put('cut', 'all', 60_000))
    t.ok(reader.has('cut'), 'it was not taken for absent')
    relay.breakOff()
    await until(() => writer.awaited === 0)
    t.ok(await writer.put('alone', 'all', 60_000), 'nobody is there to wait for')
    relay.mend()
    await until(() => reader.has('alone'))
  },
)

t.test('after a cut a member is current no sooner than it has all', async t => {
  const { writer, reader, relay } = await relayed(t)
  t.ok(await writer.put('before', 'all'))
  t.ok(reader.transport.isCurrent())
  let missing = 0
  for (let round = 0; round < 10; round++) {
    relay.breakOff()
    await until(() => !reader.transport.isCurrent())
    for (let i = 0; i < 500; i++) writer.write(`${round}.${i}`)
    relay.mend()
    await untilSeen(() => {
      if (!reader.transport.isCurrent()) return false
      if (!reader.has(`${round}.499`)) missing += 1
      return true
    })
  }
  t.equal(missing, 0)
})

t.test('what a dead member had told only some reaches the others', async t => {
  const options = { heartbeat: 100, deadAfter: 2_000, handshakeTimeout: 5_000 }
  const relay = await startRelay(t)
  const far = await startMember(t, {
    ...options,
    memberId: 'z',
    advertise: relay.address,
  })
  relay.lead(Number(far.address.split(':')[1]))
  const near = await startMember(t, { ...options, members: [far.address] })
  const child = startChild(t, near.address)
  await until(() => isLinked(near, 2) && isLinked(far, 2))
  const resyncs = [near, far].map(member => member.stat('resyncs'))
  relay.breakOff()
  await until(() => relay.open === 0)
  child.process.send({ put: 'last words' })
  await until(() => near.has('last words'))
  t.notOk(far.has('last words'))
  child.process.kill('SIGKILL')
  await until(() => near.transport.members().some(({ state }) => state === 'gone'))
  relay.mend()
  await until(() => far.has('last words'))
  t.equal(far.contents(), near.contents())
  t.equal(near.stat('resyncs'), resyncs[0], 'who has all fetches nothing')
  t.ok(far.stat('resyncs') > (resyncs[1] ?? Infinity))
})

t.test('a member with two addresses has one link, by either', async t => {
  const reader = await startMember(t)
  const relay = await startRelay(t, Number(reader.address.split(':')[1]))
  const options = { resolveInterval: 20 }
  const members = [relay.address, reader.address]
  const writer = await startMember(t, { ...options, members })
  await until(() => isLinked(writer, 1) && isLinked(reader, 1))
  // Looked at again and again, and found to lead to the same member.
  const before = writer.stat('framesIn')
  for (let round = 0; round < 20; round++) {
    t.ok(await writer.put(`k${round}`, 'all', 60_000))
    await new Promise(resolve => setTimeout(resolve, 20))
  }
  t.ok(writer.stat('framesIn') > before)
  t.equal(writer.stat('linksLost') + reader.stat('linksLost'), 0)
  t.ok(relay.connections > 0)
  relay.breakOff()
  t.ok(await writer.put('by the other', 'all', 60_000))
  t.equal(reader.contents(), writer.contents())
})

t.test('a member that stops reading costs no more than the log, and resyncs', async t => {
  const options = { ringBytes: 256 * 1024, socketBytes: 16 * 1024 }
  const { writer, reader, relay } = await relayed(t, options)
  const value = Buffer.alloc(8_192, 1)
  const resyncs = reader.stat('resyncs')
  relay.pause()
  // The kernel's buffers have room for some megabytes; all beyond must stay in the log only.
  for (let i = 0; i < 4_000; i++) {
    writer.write(`k${i}`, value)
    if (i % 50 === 0) await new Promise(resolve => setImmediate(resolve))
  }
  t.notOk(await writer.put('late', 'all', 20), 'the budget holds')
  t.ok(writer.stat('ringBytes') <= 256 * 1024)
  relay.resume()
  t.ok(await writer.put('end', 'all', 60_000))
  await until(() => reader.stat('resyncs') > resyncs)
  await until(() => reader.table.stats().records === writer.table.stats().records)
  t.equal(reader.contents(), writer.contents())
})

t.test(
  'a purge reaches a member that was away, and one that was away brings nothing back',
  async t => {
    const { writer, reader, relay } = await relayed(t, { ringBytes: 1024 })
    await writer.put('old', 'all')
    relay.breakOff()
    await until(() => writer.awaited === 0)
    const late = reader.record('late')
    reader.table.put(late)
    await until(() => Date.now() > late.version.ms)
    const { session } = tables
    t.match(await writer.cache.purge(session), { reachable: true, everywhere: false })
    const resyncs = reader.stat('resyncs')
    for (let i = 0; i < 100; i++) {
      writer.write(`new${i}`)
      if (i % 10 === 0) await new Promise(resolve => setImmediate(resolve))
    }
    t.ok(await reader.transport.publish(late, 'all', 60_000))
    t.ok(reader.has('late') && !writer.has('late'), 'the mark is here and not there')
    relay.mend()
    await until(() => reader.contents() === writer.contents())
    t.ok(reader.has('new99') && reader.stat('resyncs') > resyncs)
    t.notOk(reader.has('old') || reader.has('late'))

    reader.write('fresh')
    const purged = writer.cache.purge(session)
    t.match(await purged, { everywhere: true }, 'each has done so when it resolves')
    t.notOk(reader.has('new1'))
    await until(() => reader.contents() === writer.contents())
  },
)

t.test('a joiner under load misses no record', async t => {
  const farm = await startFarm(t, 3)
  for (let i = 0; i < 20_000; i++) farm[i % 3]?.write(`before ${i}`)
  let writing = true
  let written = 0
  const load = (async () => {
    while (writing) {
      for (const [index, member] of farm.entries()) {
        for (let i = 0; i < 10; i++) member.write(`live ${index} ${written++}`)
        if (written % 50 === 0) member.erase(`before ${written % 20_000}`)
      }
      await new Promise(resolve => setImmediate(resolve))
    }
  })()
  const joiners = await Promise.all(
    [0, 1].map(() => startMember(t, { members: farm.slice(0, 1).map(m => m.address) })),
  )
  const seen = joiners.map(joiner => joiner.table.stats().records)
  writing = false
  await load
  t.ok(
    seen.every(count => count >= 20_000),
    'everything from before is there when it is ready',
  )
  const all = [...farm, ...joiners]
  await until(() => all.every(member => isLinked(member, 4)))
  for (const member of all) t.ok(await member.put(`end of ${member.id}`, 'all', 60_000))
  const wanted = farm[0]?.contents()
  for (const member of all) t.equal(member.contents(), wanted)
  t.ok(joiners.every(joiner => joiner.log.said('joined the farm').length === 1))
})

t.test('the donor dies in the middle: another one gives the state', async t => {
  const relays = [await startRelay(t), await startRelay(t)]
  const addresses = relays.map(relay => relay.address)
  const farm: FarmMember[] = []
  for (const [i, relay] of relays.entries()) {
    const member = await startMember(t, {
      memberId: `m${i}`,
      advertise: relay.address,
      members: addresses.slice(0, farm.length),
    })
    relay.lead(Number(member.address.split(':')[1]))
    farm.push(member)
  }
  await until(() => farm.every(member => isLinked(member, 1)))
  const value = Buffer.alloc(2_000, 1)
  for (let i = 0; i < 5_000; i++) farm[0]?.write(`k${i}`, value)
  t.ok(await farm[0]?.put('end', 'all', 60_000))
  for (const relay of relays) relay.holdAfter(1_000_000)
  // Its name comes first, so that it is by its own links that the table comes.
  const joining = startMember(t, { memberId: 'a', members: addresses })
  await until(() => relays.some(relay => relay.holds))
  for (const relay of relays) {
    if (relay.holds) relay.breakOff()
    else relay.holdAfter(Number.POSITIVE_INFINITY)
  }
  const joiner = await joining
  t.ok(joiner.stat('recordsFetched') > 5_001 / 2, 'it came as a table')
  t.equal(joiner.contents(), farm[1]?.contents())
})

t.test('members that start at the same time agree on who is first', async t => {
  const relays = await Promise.all([startRelay(t), startRelay(t), startRelay(t)])
  const addresses = relays.map(relay => relay.address)
  const starting = relays.map(async relay => {
    const member = new FarmMember({ members: addresses, advertise: relay.address })
    t.teardown(() => member.transport.close())
    const started = member.transport.start()
    await until(() => member.channel.listening !== undefined)
    relay.lead(Number(member.address.split(':')[1]))
    await started
    return member
  })
  const farm = await Promise.all(starting)
  await until(() => farm.every(member => isLinked(member, 2)))
  for (const member of farm) t.ok(await member.put(`by ${member.id}`, 'all'))
  for (const member of farm) t.equal(member.contents(), farm[0]?.contents())
})

/** Looks in every turn of the event loop. */
async function untilSeen(condition: () => boolean): Promise<void> {
  const end = performance.now() + patience
  while (!condition()) {
    if (performance.now() > end) throw new Error(`waited in vain for ${condition}`)
    await new Promise(resolve => setImmediate(resolve))
  }
}
