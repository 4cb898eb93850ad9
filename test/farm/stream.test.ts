import t from 'tap'
import { maxClockDifference } from '../../lib/record/hybrid-clock.ts'
import { tables } from '../../lib/record/key.ts'
import { frameTypes } from '../../lib/wire/frame.ts'
import { RawMember } from '../fixtures/farm/raw-member.ts'
import { startChild } from '../fixtures/farm/stream-child.ts'
import {
  FarmMember,
  isLinked,
  startFarm,
  startMember,
} from '../fixtures/farm/stream-member.ts'
import { startRelay } from '../fixtures/farm/stream-relay.ts'
import { ManualClock } from '../fixtures/manual-clock.ts'
import { until } from '../fixtures/until.ts'

t.test('a farm of one needs nobody', async t => {
  const member = await startMember(t)
  t.ok(member.isReady)
  t.ok(await member.put('k', 'one'))
  t.ok(await member.put('k', 'all'))
  t.equal(
    await member.transport.fetch(tables.session, Buffer.from('x'), 1_000),
    undefined,
  )
  t.match(member.transport.members(), [{ self: true, state: 'ready' }])
  await t.rejects(member.transport.start(), { code: 'ERR_HANDFAST_USAGE' })
})

t.test('a member whose configured members all refuse is ready at once', async t => {
  const clock = new ManualClock()
  // Time stands still: only refusals can make it ready.
  const member = await startMember(t, {
    clock,
    members: ['127.0.0.1:1', '127.0.0.1:2', 'nowhere:3'],
    resolve: async () => {
      throw new Error('no such name')
    },
  })
  t.same(member.log.said('joined the farm'), [], 'nobody was joined')
  t.equal(member.log.said('no other member of the farm').length, 1)
  t.match(member.log.said('members can not be reached'), [
    { fields: { missing: ['127.0.0.1:1', '127.0.0.1:2', 'nowhere'] } },
  ])
  t.equal(member.log.said('member name not resolved').length, 1)
})

t.test('what one writes all hold, each at its level', async t => {
  const farm = await startFarm(t, 3)
  const [a, b, c] = farm as [FarmMember, FarmMember, FarmMember]
  t.ok(await a.put('one', 'one'))
  t.ok(b.has('one') || c.has('one'))
  t.ok(await b.put('all', 'all'))
  t.ok(a.has('all') && c.has('all'))
  t.ok(await c.delete('all'))
  t.notOk(farm.some(member => member.has('all')))
  const tombstone = a.table.read(tables.session, Buffer.from('all'))
  t.equal(tombstone?.tombstone, true)

  t.test('writes on all sides end in the same tables', async t => {
    for (let i = 0; i < 300; i++) {
      for (const member of farm) {
        member.write(`shared ${i % 50}`, `${member.id} ${i}`)
        if (i % 7 === 0) member.erase(`shared ${(i + 1) % 50}`)
      }
      if (i % 20 === 0) await new Promise(resolve => setImmediate(resolve))
    }
    for (const member of farm) t.ok(await member.put('end', 'all'))
    t.equal(b.contents(), a.contents())
    t.equal(c.contents(), a.contents())
  })

  t.test('a write of one turn of the loop is one frame to each member', async t => {
    const before = a.stat('framesOut')
    for (let i = 0; i < 100; i++) a.write(`batch ${i}`)
    t.ok(await a.put('batch end', 'all'))
    t.ok(a.stat('framesOut') - before <= 6, `${a.stat('framesOut') - before} frames`)
  })

  t.test(
    'a record of a clock that is ahead, but not too far, is taken like any other',
    async t => {
      const record = a.record('ahead')
      const version = { ...record.version, ms: Date.now() + maxClockDifference }
      t.ok(await a.transport.publish({ ...record, version }, 'all', 60_000))
      t.ok(b.has('ahead') && c.has('ahead'))
    },
  )

  t.test('a record that is not here is fetched', async t => {
    t.ok(await a.put('fetched', 'all'))
    a.table.purge()
    const found = await a.transport.fetch(tables.session, Buffer.from('fetched'), 1_000)
    t.equal(found?.value.toString(), 'value of fetched')
    const missing = a.transport.fetch(tables.session, Buffer.from('missing'), 60_000)
    t.equal(await missing, undefined, 'known long before the budget is over')
    const other = await a.transport.fetch(tables.auth, Buffer.from('fetched'), 1_000)
    t.equal(other, undefined, 'another table is another key')
    t.equal(a.stat('fetchHits'), 1)
  })

  t.test('a table that throws costs the record, not the link', async t => {
    const broken = b.table.put
    b.table.put = () => {
      throw new Error('table on fire')
    }
    t.notOk(await a.put('lost', 'all', 10_000), 'it counts as what it is')
    t.ok(await a.put('lost too', 'one', 60_000), 'the third member has it')
    b.table.put = broken
    t.ok(await a.put('kept', 'all'))
    t.ok(b.has('kept'))
    t.ok(b.stat('applyErrors') >= 2)
  })
})

t.test('one seed address is enough; who leaves is gone at once', async t => {
  const seed = await startMember(t)
  const others = await Promise.all(
    [0, 1, 2].map(() => startMember(t, { members: [seed.address] })),
  )
  const all = [seed, ...others]
  await until(() => all.every(member => isLinked(member, 3)))
  t.equal(new Set(all.flatMap(m => m.transport.members().map(({ id }) => id))).size, 4)
  const [first] = others
  await first?.transport.close()
  await until(() => all.every(member => member === first || member.awaited === 2))
  await until(() => seed.log.said('member left').length > 0)
  t.ok(await seed.put('k', 'all'))
  t.notOk(await first?.put('k', 'one'), 'closed is closed')
  await first?.transport.close()
})

t.test('a joiner gets records and tombstones, and says so', async t => {
  const [a, b] = (await startFarm(t, 2)) as [FarmMember, FarmMember]
  for (let i = 0; i < 500; i++) a.write(`k${i}`)
  for (let i = 0; i < 100; i++) b.erase(`k${i}`)
  for (const member of [a, b]) t.ok(await member.put('end', 'all'))
  const joiner = await startMember(t, { members: [b.address, a.address] })
  t.equal(joiner.contents(), a.contents())
  t.equal(joiner.table.read(tables.session, Buffer.from('k7'))?.tombstone, true)
  const [line] = joiner.log.said('joined the farm')
  t.match(line?.fields, { records: 501, ms: Number })
})

t.test('a member that was restarted takes the place of its former self', async t => {
  const [a, b] = (await startFarm(t, 2)) as [FarmMember, FarmMember]
  b.write('from b')
  t.ok(await a.put('from a', 'all'))
  const { port } = b.channel.listening ?? { port: 0 }
  await b.transport.close()
  const again = await startMember(t, {
    memberId: b.id,
    listen: { host: '127.0.0.1', port },
    members: [a.address],
  })
  await until(() => isLinked(a, 1) && isLinked(again, 1))
  t.ok(again.has('from a') && again.has('from b'))
  t.ok(await again.put('new', 'all'))
  t.ok(a.has('new'))
})

t.test('two members with one id: the second is refused', async t => {
  const a = await startMember(t, { memberId: 'same' })
  const twin = new FarmMember({ memberId: 'same', members: [a.address] })
  await t.rejects(twin.transport.start(), {
    code: 'ERR_HANDFAST_JOIN',
    message: /another member has the same id/,
  })
  t.equal(a.log.said('another member has the id').length, 1)
  t.throws(() => new FarmMember({ memberId: 'a b' }), { code: 'ERR_HANDFAST_CONFIG' })
})

t.test('a close during the start ends it', async t => {
  const member = new FarmMember({
    members: ['nowhere:1'],
    resolve: () => new Promise(() => {}),
  })
  const started = member.transport.start()
  await until(() => member.channel.listening !== undefined)
  await member.transport.close()
  await t.rejects(started, { code: 'ERR_HANDFAST_CLOSED' })
})

t.test('a member is ready only when it has what its donor had', async t => {
  const relay = await startRelay(t)
  const donor = await startMember(t, { advertise: relay.address, memberId: 'b' })
  relay.lead(donor.channel.listening?.port ?? 0)
  for (let i = 0; i < 1_000; i++) donor.write(`k${i}`, Buffer.alloc(1_000))
  relay.holdAfter(300_000)
  const joiner = new FarmMember({ members: [relay.address], memberId: 'a' })
  t.teardown(() => joiner.transport.close())
  const started = joiner.transport.start()
  await until(() => relay.holds)
  t.notOk(joiner.isReady, 'some of the table has not come')
  donor.write('meanwhile')
  relay.holdAfter(Number.POSITIVE_INFINITY)
  relay.cut()
  await started
  t.ok(joiner.has('k0') && joiner.has('k999'))
  await until(() => joiner.contents() === donor.contents())
})

t.test(
  'a member that falls silent is dropped in time, but not by one that slept',
  async t => {
    const clock = new ManualClock()
    const member = await startMember(t, { clock })
    t.teardown(() => clock.advance(1_000))
    const raw = await RawMember.dial(member.channel.listening?.port ?? 0)
    await until(() => member.transport.isCurrent())
    // A ping is sent only when nothing else is on its way.
    await until(() => raw.frames.length === member.stat('framesOut'))

    clock.advance(1_250)
    await until(() => raw.frames.some(({ type }) => type === frameTypes.ping))
    clock.advance(1_650)
    t.equal(member.stat('linksIn'), 1, 'silent for 2.9 s')
    raw.data(1, member.record('raw'))
    await until(() => raw.heard('status').some(({ contiguous }) => contiguous === 1))
    t.ok(member.has('raw'))
    clock.advance(2_900)
    t.equal(member.stat('linksIn'), 1, 'it was heard in between')

    raw.deaf = true
    clock.stall(60_000)
    t.equal(member.stat('linksIn'), 1, 'after a sleep nobody is accused')
    t.notOk(member.transport.isCurrent(), 'but who knows what was said meanwhile')
    t.equal(member.stat('lateTicks'), 1)
    await until(() => raw.heard('ping').length > 0)
    t.notOk(member.transport.isCurrent())
    raw.say({ type: 'pong', last: 1 })
    await until(() => member.transport.isCurrent())
    clock.advance(2_900)
    t.equal(member.stat('linksIn'), 1)
    clock.advance(400)
    t.equal(member.stat('linksIn'), 0)
    t.notOk(member.transport.isCurrent())
    t.match(member.log.said('link ended'), [{ fields: { reason: /silent/ } }])
    t.match(member.transport.members()[1], { id: '-raw', state: 'gone' })
    clock.advance(601_000)
    t.equal(member.transport.members().length, 1, 'and forgotten at last')
  },
)

t.test(
  'a member is current once it has what the others had when it met them',
  async t => {
    const member = await startMember(t)
    t.ok(member.transport.isCurrent(), 'alone')
    const port = member.channel.listening?.port ?? 0
    const before = await RawMember.dial(port)
    t.match(member.transport.members()[1], { id: '-raw', state: 'ready' })
    await until(() => member.transport.isCurrent())
    before.cut()
    await until(() => member.stat('linksIn') === 0)
    t.notOk(member.transport.isCurrent(), 'its link is cut')
    const raw = await RawMember.dial(port, 3)
    await until(() => raw.heard('start').length > 0)
    t.match(raw.heard('start'), [{ after: 0 }])
    t.notOk(member.transport.isCurrent(), 'what it wrote has not come')
    raw.data(1, member.record('k1'), member.record('k2'))
    raw.data(2, member.record('k3'))
    await until(() => member.has('k3'))
    t.notOk(member.transport.isCurrent())
    raw.data(3, member.record('k4'))
    await until(() => member.has('k4'))
    t.ok(member.transport.isCurrent())
    raw.deaf = true
    raw.say({ type: 'gone', tail: 9 })
    await until(() => raw.heard('open').length > 0)
    t.notOk(member.transport.isCurrent(), 'something of it is lost')
    raw.say({ type: 'leave' })
    raw.frame(frameTypes.leave, Buffer.alloc(0))
    await until(() => member.transport.members()[1]?.state === 'left')
    t.ok(member.transport.isCurrent(), 'one that took its leave writes nothing any more')
  },
)

t.test('a stopped process holds no write up, catches up, and may be killed', async t => {
  const member = await startMember(t, {
    heartbeat: 50,
    deadAfter: 500,
    handshakeTimeout: 500,
  })
  const child = startChild(t, member.address)
  await until(() => child.said.length > 0)
  await until(() => isLinked(member, 1))
  child.process.send({ put: 'from the child' })
  await until(() => child.said.some(message => 'reached' in message))
  t.ok(member.has('from the child'))
  child.process.kill('SIGSTOP')
  t.notOk(await member.put('while stopped', 'one', 20), 'the budget holds')
  await until(() => member.awaited === 0)
  t.ok(await member.put('then', 'one', 60_000), 'it is not waited for any longer')
  child.process.kill('SIGCONT')
  await until(() => isLinked(member, 1))
  t.ok(await member.put('after', 'all', 60_000))
  child.process.send({ has: 'while stopped' })
  await until(() => child.said.some(message => message['has'] === true))
  child.process.kill('SIGKILL')
  await until(() => member.awaited === 0)
  t.ok(await member.put('alone', 'all', 60_000))
})
