import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect, type TLSSocket } from 'node:tls'
import t from 'tap'
import { systemClock } from '../../../lib/clock.ts'
import type { LinkedMember } from '../../../lib/farm/channel/control-channel.ts'
import { LinkChannel } from '../../../lib/farm/channel/link-channel.ts'
import { UdpSockets } from '../../../lib/farm/datagram/packet-sockets.ts'
import { EngineTransport } from '../../../lib/farm/engine-transport.ts'
import { diallerOptions, farmPsk } from '../../../lib/farm/link/psk.ts'
import type { StreamOptions } from '../../../lib/farm/mesh/options.ts'
import { silentLog } from '../../../lib/log.ts'
import { tables } from '../../../lib/record/key.ts'
import { frameTypes, maxMessageLength, writeFrame } from '../../../lib/wire/frame.ts'
import { streamVersion, writeGreeting } from '../../../lib/wire/frame-greeting.ts'
import { LossySockets } from '../../fixtures/farm/packet-farm.ts'
import { PacketMember, startPacketMember } from '../../fixtures/farm/packet-member.ts'
import {
  FarmMember,
  farmSecret,
  memoryLog,
  startMember,
} from '../../fixtures/farm/stream-member.ts'
import { startRelay } from '../../fixtures/farm/stream-relay.ts'
import { Chance } from '../../fixtures/simulator/chance.ts'
import { MapTable } from '../../fixtures/table/map-table.ts'
import { until } from '../../fixtures/until.ts'

type Event =
  | { up: string; peer: LinkedMember }
  | { down: string }
  | { from: string; message: string }

interface Teardown {
  teardown(fn: () => unknown): void
}

/** A channel that keeps what it is told. */
class Told {
  readonly events: Event[] = []
  readonly table: MapTable = new MapTable({ clock: systemClock })
  readonly log: ReturnType<typeof memoryLog> = memoryLog()
  readonly channel: LinkChannel

  constructor(options: Partial<StreamOptions>) {
    this.channel = new LinkChannel(
      {
        replica: {
          apply: record => this.table.put(record),
          read: (table, key) => this.table.read(table, key),
          scan: () => ({ records: [], next: undefined }),
        },
        clock: systemClock,
        log: this.log,
        farmName: 'test',
        secret: farmSecret,
        listen: { host: '127.0.0.1', port: 0 },
        ...options,
      },
      'datagram',
    )
    this.channel.listen({
      up: peer => this.events.push({ up: peer.id, peer }),
      down: id => this.events.push({ down: id }),
      message: (from, message) =>
        this.events.push({ from, message: message.toString('latin1') }),
    })
  }

  /** What was told, in words. */
  get said(): string[] {
    return this.events.map(event => {
      if ('up' in event) return `up ${event.up}`
      return 'down' in event ? `down ${event.down}` : `${event.from}: ${event.message}`
    })
  }

  get port(): number {
    return this.channel.listening?.port ?? 0
  }

  stat(name: string): number {
    return this.channel.stats()[name] ?? Number.NaN
  }
}

async function start(t: Teardown, options: Partial<StreamOptions>): Promise<Told> {
  const told = new Told(options)
  t.teardown(() => told.channel.close())
  await told.channel.start()
  told.channel.ready()
  return told
}

for (const [first, second] of [
  ['a', 'b'],
  ['b', 'a'],
] as const) {
  t.test(`messages pass both ways, in order; ${second} joins ${first}`, async t => {
    const one = await start(t, { memberId: first })
    const other = await start(t, {
      memberId: second,
      members: [one.channel.address ?? ''],
    })
    t.same(other.said, [`up ${first}`], 'connected when start resolves')
    await until(() => one.events.length > 0)
    t.match(one.events[0], {
      peer: { id: second, host: '127.0.0.1', address: other.channel.address },
    })
    t.match(other.events[0], { peer: { id: first, address: one.channel.address } })
    const large = 'x'.repeat(maxMessageLength)
    for (const [from, to] of [
      [one, other],
      [other, one],
    ] as const) {
      for (let i = 0; i < 100; i++) from.channel.send(to.channel.id, Buffer.from(`${i}`))
      from.channel.send(to.channel.id, Buffer.from(large))
      await until(() => to.events.length === 102)
      t.same(
        to.said.slice(1, 101),
        Array.from({ length: 100 }, (_, i) => `${from.channel.id}: ${i}`),
      )
      t.equal(to.said[101]?.length, maxMessageLength + 3)
    }
    t.throws(
      () => one.channel.send(second, Buffer.alloc(maxMessageLength + 1)),
      RangeError,
    )
    one.channel.send('nobody', Buffer.from('x'))
    // Which of the two links comes first is chance.
    await until(() => one.stat('linksOut') + one.stat('linksIn') === 2)

    const record = {
      table: tables.session,
      key: Buffer.from('k'),
      value: Buffer.from('v'),
      version: { ms: Date.now(), logical: 0, node: 1 },
      expiresAt: Date.now() + 60_000,
      tombstone: false,
    }
    one.table.put(record)
    const found = await other.channel.fetch(tables.session, Buffer.from('k'), 5_000)
    t.equal(found?.value.toString(), 'v')
    t.equal(await one.channel.fetch(tables.session, Buffer.from('x'), 5_000), undefined)

    const before = other.events.length
    await one.channel.close()
    await until(() => other.events.length > before)
    t.same(other.said.slice(before), [`down ${first}`])
  })
}

t.test('each connection has its up and its down, and nothing outside them', async t => {
  const relay = await startRelay(t)
  const b = await start(t, { memberId: 'b', advertise: relay.address })
  relay.lead(b.port)
  const a = await start(t, { memberId: 'a', members: [relay.address] })
  await until(() => b.events.length > 0)
  for (let round = 0; round < 10; round++) {
    for (let i = 0; i < 50; i++) {
      a.channel.send('b', Buffer.from(`${round}.${i}`))
      b.channel.send('a', Buffer.from(`${round}.${i}`))
    }
    if (round % 2 === 0) await new Promise(resolve => setImmediate(resolve))
    const [seenA, seenB] = [a.events.length, b.events.length]
    relay.cut()
    const backUp = (told: Told, from: number) =>
      told.said.slice(from).some(text => text.startsWith('up'))
    await until(() => backUp(a, seenA) && backUp(b, seenB))
  }
  for (const told of [a, b]) {
    let up = false
    let last = { round: -1, index: -1 }
    for (const event of told.events) {
      if ('up' in event) {
        t.notOk(up, 'no up without a down')
        up = true
      } else if ('down' in event) {
        up = false
      } else {
        if (!up) t.fail(`a message after down: ${event.message}`)
        const [round = 0, index = 0] = event.message.split('.').map(Number)
        const inOrder =
          round > last.round || (round === last.round && index === last.index + 1)
        if (!inOrder) t.fail(`${event.message} after ${last.round}.${last.index}`)
        last = { round, index }
      }
    }
    t.equal(told.said.filter(text => text.startsWith('up')).length, 11)
  }
})

t.test('a member that does not read is cut, not buffered for', async t => {
  const relay = await startRelay(t)
  const b = await start(t, { memberId: 'b', advertise: relay.address, deadAfter: 60_000 })
  relay.lead(b.port)
  const a = await start(t, { memberId: 'a', members: [relay.address], deadAfter: 60_000 })
  await until(() => b.events.length > 0)
  relay.pause()
  const message = Buffer.alloc(60_000)
  // The kernel takes some megabytes before anything waits here.
  for (let i = 0; i < 2_000 && a.stat('messagesDropped') === 0; i++) {
    a.channel.send('b', message, true)
    await new Promise(resolve => setImmediate(resolve))
  }
  t.equal(a.stat('linksCut'), 0)
  t.same(a.said, ['up b'], 'what is spare does not cut')
  for (let i = 0; i < 2_000 && a.stat('linksCut') === 0; i++) {
    a.channel.send('b', message)
  }
  t.equal(a.stat('linksCut'), 1)
  await until(() => a.said.includes('down b'))
  relay.resume()
  await until(() => a.said.at(-1) === 'up b')
  const seen = b.events.length
  a.channel.send('b', Buffer.from('again'))
  await until(() => b.said.slice(seen).includes('a: again'))
})

t.test('a member that breaks the rules loses its link, not more', async t => {
  const told = await start(t, { memberId: 'm' })
  const psk = farmPsk(farmSecret, 'test')
  const greeting = (id: string, carrier: 'stream' | 'datagram' = 'datagram') =>
    writeFrame(
      frameTypes.hello,
      writeGreeting({
        version: streamVersion,
        id,
        incarnation: 1,
        state: 'ready',
        carrier,
        port: 0,
        advertise: '',
        members: [],
      }),
    )
  const dial = async (): Promise<TLSSocket> => {
    const socket = connect({ host: '127.0.0.1', port: told.port, ...diallerOptions(psk) })
    socket.on('error', () => {})
    socket.resume()
    await once(socket, 'secureConnect')
    return socket
  }
  const tooLong = Buffer.alloc(maxMessageLength + 1)
  const cases: [string, Buffer[]][] = [
    ['a message before the hello', [writeFrame(frameTypes.message, Buffer.alloc(1))]],
    [
      'a message that is too long',
      [greeting('a'), writeFrame(frameTypes.message, tooLong)],
    ],
    [
      'a message over the link that is not for messages',
      [greeting('z'), writeFrame(frameTypes.message, Buffer.alloc(1))],
    ],
    [
      'a question without a key',
      [greeting('a'), writeFrame(frameTypes.get, Buffer.alloc(2))],
    ],
    ['one that carries records itself', [greeting('a', 'stream')]],
  ]
  for (const [what, frames] of cases) {
    const socket = await dial()
    const ended = new Promise(resolve => socket.once('close', resolve))
    for (const frame of frames) socket.write(frame)
    await ended
    t.pass(what)
  }
  t.equal(told.events.filter(event => 'from' in event).length, 0)
  const good = await dial()
  good.write(greeting('a'))
  good.write(writeFrame(frameTypes.message, Buffer.from('hi')))
  await until(() => told.said.includes('a: hi'))
  good.destroy()
  await until(() => told.said.at(-1) === 'down a')
})

t.test('streams and datagrams refuse each other, and say which option', async t => {
  const message = /option transport must be stream on all members or on none/
  const stream = await startMember(t)
  const late = new Told({ members: [stream.address] })
  await t.rejects(late.channel.start(), { code: 'ERR_HANDFAST_JOIN', message })
  await late.channel.close()
  t.equal(stream.log.said('option transport must be stream').length, 1)
  const told = await start(t, {})
  const other = new FarmMember({ members: [told.channel.address ?? ''] })
  await t.rejects(other.transport.start(), { code: 'ERR_HANDFAST_JOIN', message })
  t.equal(told.log.said('option transport must be stream').length, 1)
  t.same(told.events, [])
})

t.test('another secret is refused; closing ends a start', async t => {
  const told = await start(t, {})
  const wrong = new Told({
    members: [told.channel.address ?? ''],
    secret: randomBytes(32),
  })
  await t.rejects(wrong.channel.start(), {
    code: 'ERR_HANDFAST_JOIN',
    message: /is its secret the same/,
  })
  await wrong.channel.close()
  const relay = await startRelay(t)
  const waiting = new Told({ members: [relay.address] })
  const starting = waiting.channel.start()
  setImmediate(() => void waiting.channel.close())
  await t.rejects(starting, { code: 'ERR_HANDFAST_CLOSED' })
  await t.rejects(waiting.channel.start(), { code: 'ERR_HANDFAST_CLOSED' })
  await waiting.channel.close()
})

t.test('where no datagram passes, records go over the streams', async t => {
  const secret = randomBytes(32)
  const blocked = () =>
    new LossySockets(
      new UdpSockets({ group: undefined, groupPort: 0, host: '127.0.0.1' }),
      1,
      new Chance(1),
    )
  const settings = { heartbeat: 50 }
  const a = await startPacketMember(t, { secret, sockets: blocked(), settings })
  const members = [a.address]
  const options = { secret, members, sockets: blocked(), settings }
  const b = await startPacketMember(t, options)
  const c = await startPacketMember(t, { ...options, sockets: blocked() })
  await until(() => [a, b, c].every(member => member.isWhole(2)))
  const keys = Array.from({ length: 2_000 }, (_, i) => `k${i}`)
  for (const key of keys) await a.put(key)
  t.ok(await a.put('last', 'all', 60_000))
  await until(() => [b, c].every(member => keys.every(key => member.has(key))))
  t.equal(a.stat('pathsStream'), 2)
  await until(() => a.log.said('no datagram reaches the member').length === 2)
  // On a busy machine one may just be suspected.
  await until(() => [a, b, c].every(({ transport }) => transport.isCurrent()))
  t.equal(a.log.said('no datagram reaches the member').length, 2, 'said once')
})

t.test('without a group the member that insists on one does not start', async t => {
  const secret = randomBytes(32)
  const options = {
    secret,
    // Documentation addresses are on no interface.
    udp: { interface: '203.0.113.1', host: '127.0.0.1', groupPort: 20_400 },
  }
  const strict = new PacketMember({ ...options, transport: 'multicast' })
  await t.rejects(strict.transport.start(), {
    code: 'ERR_HANDFAST_JOIN',
    message: /option transport is multicast, but this host can't join a group/,
  })
  const easy = await startPacketMember(t, { ...options, transport: 'auto' })
  t.equal(easy.log.said('no multicast here').length, 1)
  const port = easy.channel.listening?.port ?? 0
  const other = await startPacketMember(t, { secret, members: [`127.0.0.1:${port}`] })
  t.ok(await other.put('k', 'all', 60_000))
  t.ok(easy.has('k'))
})

t.test('a port for datagrams that is taken is a clear error', async t => {
  const sockets = new UdpSockets({ group: undefined, groupPort: 0, host: '127.0.0.1' })
  const port = await sockets.open(() => {})
  t.teardown(() => sockets.close())
  const transport = new EngineTransport({
    replica: {
      apply: () => false,
      read: () => undefined,
      scan: () => ({ records: [], next: undefined }),
    },
    clock: systemClock,
    log: silentLog,
    farmName: 'test',
    secret: farmSecret,
    memberId: 'm',
    channel: new Told({}).channel,
    udp: { host: '127.0.0.1', port },
    transport: 'unicast',
  })
  await t.rejects(transport.start(), {
    code: 'ERR_HANDFAST_JOIN',
    message: /can't take datagrams on 127\.0\.0\.1:\d+: EADDRINUSE; .* ss -lunp /,
  })
})
