import { networkInterfaces } from 'node:os'
import t from 'tap'
import { LinuxPackets } from '../../lib/takeover/native/packets/linux-packets.ts'
import {
  type BareSegment,
  flag,
  segmentPacket,
} from '../../lib/takeover/native/packets/segment.ts'
import { FakeLibc } from '../fixtures/takeover/fake-libc.ts'

const address = '10.0.0.100'
/** Any that has a hardware address; a machine without a network has none. */
const name = Object.entries(networkInterfaces()).find(([, all]) =>
  all?.some(({ mac }) => mac !== '00:00:00:00:00:00'),
)?.[0]
const here =
  name === undefined ? { skip: 'no interface here has a hardware address' } : {}

function packet(more: Partial<BareSegment> = {}): BareSegment {
  return {
    source: { address: '10.0.0.7', port: 51_000 },
    destination: { address, port: 443 },
    sequence: 1,
    acknowledgment: 2,
    flags: flag.ack,
    window: 3,
    timestamps: undefined,
    data: Buffer.alloc(0),
    ...more,
  }
}

function opened() {
  const libc = new FakeLibc()
  return { libc, port: new LinuxPackets(libc).open(name ?? '', address) }
}

t.test('an interface that is none is an error, and nothing stays open', async t => {
  const libc = new FakeLibc()
  const packets = new LinuxPackets(libc)
  t.throws(() => packets.ask('no such interface', address, () => {}), {
    code: 'ERR_HANDFAST_CONFIG',
    message: /no such interface is no interface of this host/,
  })
  libc.fails.set('interfaceIndex', 'ENODEV')
  t.throws(() => packets.open('no such interface', address), { code: 'ENODEV' })
  t.equal(libc.open.size, 0)
})

t.test(
  'a kernel that gives a part of its sockets alone gets them back',
  here,
  async t => {
    for (const working of [0, 1, 2]) {
      const libc = new FakeLibc()
      let left = working
      const socket = libc.socket.bind(libc)
      libc.socket = (...args) => {
        left -= 1
        if (left < 0) libc.fails.set('socket', 'EPERM')
        return socket(...args)
      }
      t.throws(() => new LinuxPackets(libc).open(name ?? '', address), { code: 'EPERM' })
      t.equal(libc.open.size, 0)
    }
  },
)

t.test('it hears segments to its address alone', here, async t => {
  const { libc, port } = opened()
  const heard: number[] = []
  port.start(({ source }) => heard.push(source.port))
  const [filter] = libc.of('setOption').slice(-1)
  t.match(filter, [12, 1, 26, Buffer.from('06000000000000000010000000000000', 'hex')])
  const [bound] = libc.of('bind')
  const everybody = '000000000006ffffffffffff0000'
  t.strictSame(bound, [12, Buffer.from(`110008000700${everybody}`, 'hex')])
  libc.inbox.push(
    segmentPacket(packet()),
    Buffer.from('no packet'),
    segmentPacket(packet({ destination: { address: '10.0.0.9', port: 443 } })),
    segmentPacket(packet({ source: { address: '10.0.0.8', port: 52_000 } })),
  )
  libc.wake()
  t.strictSame(heard, [51_000, 52_000])
  libc.inbox.push(segmentPacket(packet()))
  libc.fails.set('receive', 'ENETDOWN')
  libc.wake()
  libc.fails.clear()
  libc.wake()
  t.equal(heard.length, 3, 'an interface that was down is heard again')
  port.close()
  libc.wake()
  t.equal(libc.open.size, 0)
  port.close()
})

t.test(
  'it hears some clients alone when it is told so, before and after',
  here,
  async t => {
    const { libc, port } = opened()
    const filters = () =>
      libc
        .of('setOption')
        .filter(([, , name]) => name === 26)
        .map(([, , , program]) => (program as Buffer).readUInt16LE(0))
    port.only([{ address: '10.0.0.7', port: 51_000 }])
    t.strictSame(filters(), [])
    port.start(() => {})
    t.equal(filters().at(-1), 11)
    const clients = Array.from({ length: 300 }, (_, index) => ({ address, port: index }))
    port.only(clients)
    t.equal(filters().at(-1), 609)
    port.only([...clients, { address, port: 300 }])
    t.equal(filters().at(-1), 6, 'so many can not be held apart: all are heard')
    port.close()
  },
)

t.test('no more is read in a turn than lets others run', here, async t => {
  const { libc, port } = opened()
  let heard = 0
  port.start(() => heard++)
  for (let i = 0; i < 1_000; i++) libc.inbox.push(segmentPacket(packet()))
  libc.wake()
  t.equal(heard, 512)
  port.close()
})

t.test(
  'what is sent is a packet of its own, and everybody is told of the address',
  here,
  async t => {
    const { libc, port } = opened()
    const segment = packet({ data: Buffer.alloc(1) })
    port.send(segment)
    t.strictSame(libc.of('sendTo')[0]?.slice(0, 2), [11, segmentPacket(segment)])
    port.announce()
    const frames = libc.of('sendTo').slice(1)
    t.strictSame(
      frames.map(([fd, bytes]) => [fd, (bytes as Buffer).readUInt16BE(12)]),
      [
        [13, 0x0806],
        [13, 0x0806],
      ],
    )
  },
)

t.test(
  'a link that is down loses a packet, and other failures are told',
  here,
  async t => {
    const { libc, port } = opened()
    for (const code of ['ENETDOWN', 'ENOBUFS', 'EHOSTUNREACH']) {
      libc.fails.set('sendTo', code)
      port.send(packet())
      port.announce()
    }
    libc.fails.set('sendTo', 'EPERM')
    t.throws(() => port.send(packet()), { code: 'EPERM' })
    port.close()
    const before = libc.of('sendTo').length
    port.send(packet())
    port.announce()
    t.equal(libc.of('sendTo').length, before, 'its numbers are somebody else by then')
  },
)

t.test('the link is asked for an address, and who has it answers', here, async t => {
  const libc = new FakeLibc()
  let elsewhere = 0
  const question = new LinuxPackets(libc).ask(name ?? '', address, () => elsewhere++)
  // Messages of ARP alone, without the header of their frame.
  t.strictSame(libc.of('bind')[0]?.[0], 11)
  const [asked] = libc.of('sendTo')
  const probe = asked?.[1] as Buffer
  const [own, nobody] = [probe.subarray(8, 14), '00000000']
  t.equal(probe.toString('hex', 14, 18), nobody, 'in the name of nobody (RFC 5227 2.1.1)')
  t.equal(probe.toString('hex', 24, 28), '0a000064')
  question.again()
  t.equal(libc.of('sendTo').length, 2)
  const from = (mac: Buffer, of: string, kind = 2) =>
    Buffer.concat([
      Buffer.from([0, 1, 8, 0, 6, 4, 0, kind]),
      mac,
      Buffer.from(of.split('.').map(Number)),
      Buffer.alloc(10),
    ])
  const another = Buffer.from('020000000001', 'hex')
  libc.inbox.push(from(own, address), from(another, '10.0.0.9'), Buffer.from('nothing'))
  libc.wake()
  t.equal(elsewhere, 0, 'neither its own word, nor one of another address, nor noise')
  libc.inbox.push(from(another, address), from(another, address, 1))
  libc.wake()
  t.equal(elsewhere, 2, 'an answer, and whoever asks in the name of the address')
  question.close()
  question.close()
  question.again()
  libc.inbox.push(from(another, address))
  libc.wake()
  t.equal(libc.of('sendTo').length, 2)
  t.equal(elsewhere, 2)
  t.equal(libc.open.size, 0)
})

t.test(
  'a link that is down is asked again, and other failures are told',
  here,
  async t => {
    const libc = new FakeLibc()
    const packets = new LinuxPackets(libc)
    libc.fails.set('sendTo', 'ENETDOWN')
    const question = packets.ask(name ?? '', address, () => {})
    libc.fails.set('receive', 'ENETDOWN')
    libc.wake()
    libc.fails.clear()
    question.again()
    t.equal(libc.of('sendTo').length, 2)
    question.close()
    for (const call of ['bind', 'whenReadable', 'sendTo']) {
      libc.fails.set(call, 'EPERM')
      t.throws(() => packets.ask(name ?? '', address, () => {}), { code: 'EPERM' })
      t.equal(libc.open.size, 0, 'and nothing stays open')
      libc.fails.clear()
    }
    t.throws(() => packets.ask('no such interface', address, () => {}), {
      code: 'ERR_HANDFAST_CONFIG',
    })
  },
)

t.test('an answer ends the question, in the middle of what was heard', here, async t => {
  const libc = new FakeLibc()
  let heard = 0
  const question = new LinuxPackets(libc).ask(name ?? '', address, () => {
    heard += 1
    question.close()
  })
  const reply = Buffer.from(
    `00010800060400020200000000010a000064${'00'.repeat(10)}`,
    'hex',
  )
  libc.inbox.push(reply, reply)
  libc.wake()
  t.equal(heard, 1)
  t.equal(libc.open.size, 0)
})
