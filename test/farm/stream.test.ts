import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { connect, createServer, type TLSSocket } from 'node:tls'
import t from 'tap'
import { acceptorOptions, diallerOptions, farmPsk } from '../../lib/farm/link/psk.ts'
import { maxClockDifference } from '../../lib/record/hybrid-clock.ts'
import { tables } from '../../lib/record/key.ts'
import { encodeRecord } from '../../lib/record/record.ts'
import { FrameReader, frameTypes, writeFrame } from '../../lib/wire/frame.ts'
import {
  readGreeting,
  streamVersion,
  writeGreeting,
} from '../../lib/wire/frame-greeting.ts'
import { readSequence, writeRecords, writeSequence } from '../../lib/wire/frame-log.ts'
import {
  readSyncId,
  writeSnapshot,
  writeSynced,
  writeVector,
} from '../../lib/wire/frame-sync.ts'
import { startChild } from '../fixtures/farm-stream-child.ts'
import { ManualClock } from '../fixtures/farm-stream-clock.ts'
import {
  FarmMember,
  farmSecret,
  isLinked,
  startFarm,
  startMember,
  until,
} from '../fixtures/farm-stream-member.ts'

const psk = farmPsk(farmSecret, 'test')

t.test('a farm of one needs nobody', async t => {
  const member = await startMember(t)
  t.ok(member.transport.isReady)
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
  t.match(member.log.said('joined the farm'), [
    { fields: { because: 'nobody is reachable' } },
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
        member.write(`shared ${i % 50}`, `${member.transport.id} ${i}`)
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
      t.ok(await a.transport.publish({ ...record, version }, 'all', 10_000))
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
    t.ok(await a.put('lost too', 'one', 10_000), 'the third member has it')
    b.table.put = broken
    t.ok(await a.put('kept', 'all'))
    t.ok(b.has('kept'))
    t.equal(b.stat('applyErrors'), 2)
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
  await until(() => all.every(member => member === first || member.stat('present') === 2))
  t.equal(seed.log.said('member left').length > 0, true)
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
  t.ok([a, b].some(member => member.transport.id === line?.fields['from']))
})

t.test('a member that was restarted takes the place of its former self', async t => {
  const [a, b] = (await startFarm(t, 2)) as [FarmMember, FarmMember]
  b.write('from b')
  t.ok(await a.put('from a', 'all'))
  const { port } = b.transport.address ?? { port: 0 }
  await b.transport.close()
  const again = await startMember(t, {
    memberId: b.transport.id,
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
  await until(() => member.transport.address !== undefined)
  await member.transport.close()
  await t.rejects(started, { code: 'ERR_HANDFAST_CLOSED' })
})

t.test('a member is ready only when the logs have caught up with its donor', async t => {
  const scribe = new FarmMember()
  const entry = (sequence: number) => [{ member: 'writer', incarnation: 1, sequence }]
  const records = ['k3', 'k4', 'k5'].map(key => encodeRecord(scribe.record(key)))
  let writer: Awaited<ReturnType<typeof talk>> | undefined
  const give = async (socket: TLSSocket, id: number) => {
    socket.write(writeFrame(frameTypes.vector, writeVector({ id, entries: entry(2) })))
    writer = await talk(member.transport.address?.port ?? 0, 'writer')
    const snapshot = writeSnapshot({ id, records: [scribe.record('k1')] })
    const synced = writeSynced({ id, sent: 1, entries: entry(5) })
    // In one piece: when the record is there, so is the end of the snapshot.
    const frames = [
      writeFrame(frameTypes.snapshot, snapshot),
      writeFrame(frameTypes.synced, synced),
    ]
    socket.write(Buffer.concat(frames))
  }
  const donor = createServer(acceptorOptions(psk, 5_000), socket => {
    const reader = new FrameReader()
    socket.on('error', () => {})
    socket.on('data', chunk => {
      for (const { type, body } of reader.read(chunk)) {
        if (type === frameTypes.hello) {
          socket.write(writeFrame(frameTypes.welcome, greetingOf('donor')))
        } else if (type === frameTypes.sync) {
          void give(socket, readSyncId(body))
        }
      }
    })
  })
  donor.listen(0, '127.0.0.1')
  await once(donor, 'listening')
  const { port } = donor.address() as AddressInfo
  const member = new FarmMember({ members: [`127.0.0.1:${port}`] })
  t.teardown(async () => {
    await member.transport.close()
    donor.close()
  })
  const started = member.transport.start()
  await until(() => member.stat('snapshotRecordsTaken') === 1)
  t.notOk(member.transport.isReady, 'entries 3 to 5 have not come')
  const start = writer?.frames[1]
  t.equal(start?.type, frameTypes.start)
  t.equal(readSequence(start?.body ?? Buffer.alloc(0)), 2, 'the rest is in the snapshot')
  const send = (first: number, entries: Buffer[]) =>
    writer?.socket.write(writeFrame(frameTypes.records, writeRecords(first, entries)))
  send(3, records.slice(0, 2))
  await until(() => member.has('k4'))
  t.notOk(member.transport.isReady)
  send(5, records.slice(2))
  await started
  t.ok(['k1', 'k3', 'k4', 'k5'].every(key => member.has(key)))
})

t.test(
  'a member that falls silent is dropped in time, but not by one that slept',
  async t => {
    const clock = new ManualClock()
    const member = await startMember(t, { clock })
    t.teardown(() => clock.advance(1_000))
    const port = member.transport.address?.port ?? 0
    const { socket, frames, ping } = await talk(port, 'raw')
    t.equal(readGreeting(frames[0]?.body ?? Buffer.alloc(0)).id, member.transport.id)
    t.equal(
      readSequence(frames[1]?.body ?? Buffer.alloc(0)),
      0,
      'its log is wanted from the start',
    )

    clock.advance(1_250)
    await until(() => frames.some(({ type }) => type === frameTypes.ping))
    clock.advance(1_650)
    t.equal(member.stat('linksIn'), 1, 'silent for 2.9 s')
    const record = encodeRecord(member.record('raw'))
    socket.write(writeFrame(frameTypes.records, writeRecords(1, [record])))
    await until(() => frames.some(({ type }) => type === frameTypes.ack))
    t.ok(member.has('raw'))
    clock.advance(2_900)
    t.equal(member.stat('linksIn'), 1, 'it was heard in between')

    clock.stall(60_000)
    t.equal(member.stat('linksIn'), 1, 'after a sleep nobody is accused')
    t.notOk(member.transport.isCurrent(), 'but who knows what was said meanwhile')
    t.equal(member.stat('lateTicks'), 1)
    const before = member.stat('framesIn')
    ping()
    await until(() => member.stat('framesIn') > before)
    t.ok(member.transport.isCurrent())
    clock.advance(2_900)
    t.equal(member.stat('linksIn'), 1)
    clock.advance(400)
    t.equal(member.stat('linksIn'), 0)
    t.notOk(member.transport.isCurrent())
    t.match(member.log.said('link ended'), [{ fields: { reason: /silent/ } }])
    t.match(member.transport.members()[1], { id: 'raw', state: 'gone' })
    clock.advance(601_000)
    t.equal(member.transport.members().length, 1, 'and forgotten at last')
  },
)

t.test(
  'a member is current once it has what the others had when it met them',
  async t => {
    const member = await startMember(t)
    t.ok(member.transport.isCurrent(), 'alone')
    const port = member.transport.address?.port ?? 0
    const { socket } = await talk(port, 'raw', 3)
    t.match(member.transport.members()[1], { id: 'raw', state: 'ready' })
    t.notOk(member.transport.isCurrent(), 'entries 1 to 3 have not come')
    const send = (first: number, ...keys: string[]) => {
      const entries = keys.map(key => encodeRecord(member.record(key)))
      socket.write(writeFrame(frameTypes.records, writeRecords(first, entries)))
    }
    send(1, 'k1', 'k2')
    await until(() => member.has('k2'))
    t.notOk(member.transport.isCurrent())
    send(3, 'k3')
    await until(() => member.has('k3'))
    t.ok(member.transport.isCurrent())
    socket.write(writeFrame(frameTypes.gap, writeSequence(9)))
    await until(() => member.stat('gaps') === 1)
    t.notOk(member.transport.isCurrent(), 'entries 4 to 8 are lost')
    socket.write(writeFrame(frameTypes.leave, Buffer.alloc(0)))
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
  await until(() => child.said.length > 0, 20_000)
  await until(() => isLinked(member, 1))
  child.process.send({ put: 'from the child' })
  await until(() => child.said.some(message => 'reached' in message))
  t.ok(member.has('from the child'))
  child.process.kill('SIGSTOP')
  t.notOk(await member.put('while stopped', 'one', 20), 'the budget holds')
  await until(() => member.stat('present') === 0)
  t.ok(await member.put('then', 'one', 60_000), 'it is not waited for any longer')
  child.process.kill('SIGCONT')
  await until(() => isLinked(member, 1))
  t.ok(await member.put('after', 'all', 10_000))
  child.process.send({ has: 'while stopped' })
  await until(() => child.said.some(message => message['has'] === true))
  child.process.kill('SIGKILL')
  await until(() => member.stat('present') === 0)
  t.ok(await member.put('alone', 'all', 60_000))
})

function greetingOf(id: string, head = 0): Buffer {
  return writeGreeting({
    version: streamVersion,
    id,
    incarnation: 1,
    state: 'ready',
    carrier: 'stream',
    head,
    port: 0,
    advertise: '',
    members: [],
  })
}

/** A dialler that follows the protocol by hand, as far as its hello. */
async function talk(
  port: number,
  id: string,
  head = 0,
): Promise<{
  socket: TLSSocket
  frames: { type: number; body: Buffer }[]
  ping: () => void
}> {
  const socket = connect({ host: '127.0.0.1', port, ...diallerOptions(psk) })
  socket.on('error', () => {})
  const frames: { type: number; body: Buffer }[] = []
  const reader = new FrameReader()
  socket.on('data', chunk => frames.push(...reader.read(chunk)))
  await once(socket, 'secureConnect')
  socket.write(writeFrame(frameTypes.hello, greetingOf(id, head)))
  await until(() => frames.length >= 2)
  const ping = () => {
    socket.write(writeFrame(frameTypes.ping, Buffer.alloc(0)))
  }
  return { socket, frames, ping }
}
