import t from 'tap'
import {
  loggedPackets,
  PacketLog,
} from '../../../lib/takeover/native/strays/packet-log.ts'
import { FakeLibc } from '../../fixtures/takeover/fake-libc.ts'

function answer(errno: number): Buffer {
  const bytes = Buffer.alloc(36)
  bytes.writeUInt32LE(36, 0)
  bytes.writeUInt16LE(2, 4)
  bytes.writeInt32LE(-errno, 16)
  return bytes
}

/** As the kernel tells a packet: its header, where it came in, its bytes. */
function logged(packet: Buffer, type = 0x0400): Buffer {
  const padding = (4 - (packet.length % 4)) % 4
  const bytes = Buffer.alloc(16 + 4 + 8 + 8 + 4 + packet.length + padding)
  bytes.writeUInt32LE(bytes.length, 0)
  bytes.writeUInt16LE(type, 4)
  bytes.set([2, 0, 0, 7], 16)
  bytes.set([8, 0, 1, 0, 8, 0, 1, 0], 20)
  bytes.set([8, 0, 4, 0, 0, 0, 0, 3], 28)
  bytes.writeUInt16LE(4 + packet.length, 36)
  bytes.writeUInt16LE(9, 38)
  packet.copy(bytes, 40)
  return bytes
}

t.test('one order binds a group, each packet is told at once', async t => {
  const libc = new FakeLibc()
  libc.inbox.push(answer(0))
  const log = new PacketLog(libc, 258, 120)
  t.equal(log.group, 258)
  t.strictSame(libc.of('socket'), [[16, 0o2000003, 12]])
  const [[, order] = []] = libc.of('sendTo')
  const head = '30000000' + '0104' + '0500' + '01000000' + '00000000' + '00000102'
  const attributes = '0500010001000000' + '0a000200' + '0000007802000000'
  t.equal((order as Buffer).toString('hex'), `${head}${attributes}0800050000000001`)
  log.close()
  t.equal(libc.open.size, 0)
})

t.test('a group that is taken is left to who has it, as long as one is free', async t => {
  const libc = new FakeLibc()
  const [refused, busy] = [1, 16]
  libc.inbox.push(logged(Buffer.alloc(40)), answer(busy), answer(refused), answer(0))
  t.equal(new PacketLog(libc, 65_535, 120).group, 1)
  libc.inbox.push(...Array.from({ length: 100 }, () => answer(busy)))
  t.throws(() => new PacketLog(libc, 0, 120), { code: 'EBUSY' })
  libc.inbox.length = 0
  libc.inbox.push(answer(22))
  t.throws(() => new PacketLog(libc, 0, 120), { code: 'EINVAL' })
  libc.inbox.push(logged(Buffer.alloc(40)))
  t.throws(() => new PacketLog(libc, 0, 120), /nfnetlink_log: no answer/)
  t.equal(libc.open.size, 1, 'but the one that is bound')
})

t.test('it tells packets as long as it is open, also after some had no room', async t => {
  const libc = new FakeLibc()
  libc.inbox.push(answer(0))
  const log = new PacketLog(libc, 0, 120)
  const heard: string[] = []
  log.start(packet => heard.push(packet.toString()))
  const both = Buffer.concat([logged(Buffer.from('one')), logged(Buffer.from('two'))])
  libc.inbox.push(both, logged(Buffer.from('three')))
  libc.wake()
  libc.fails.set('receive', 'ENOBUFS')
  libc.wake()
  libc.fails.clear()
  libc.inbox.push(logged(Buffer.from('four')))
  libc.wake()
  t.strictSame(heard, ['one', 'two', 'three', 'four'])
  for (let i = 0; i < 1_000; i++) libc.inbox.push(logged(Buffer.from('more')))
  libc.wake()
  t.equal(heard.length, 4 + 512, 'no more in a turn than lets others run')
  log.close()
  libc.wake()
  t.equal(heard.length, 4 + 512)
  t.equal(libc.open.size, 0)
})

t.test('closed by what it tells, it tells no more', async t => {
  const libc = new FakeLibc()
  libc.inbox.push(answer(0))
  const log = new PacketLog(libc, 0, 120)
  let heard = 0
  log.start(() => {
    heard += 1
    log.close()
  })
  const both = Buffer.concat([logged(Buffer.from('one')), logged(Buffer.from('two'))])
  libc.inbox.push(both, logged(Buffer.from('three')))
  libc.wake()
  t.equal(heard, 1)
})

t.test('of a datagram that is not whole, what is whole is told', async t => {
  const texts = ['one', 'four', 'seven']
  const whole = Buffer.concat(texts.map(text => logged(Buffer.from(text))))
  const ends = texts.map((_, index) =>
    texts
      .slice(0, index + 1)
      .reduce((sum, text) => sum + logged(Buffer.from(text)).length, 0),
  )
  for (let length = 0; length <= whole.length; length++) {
    const told = [...loggedPackets(whole.subarray(0, length))].map(String)
    const expected = texts.slice(0, ends.filter(end => end <= length).length)
    t.strictSame(told, expected, `${length} bytes`)
  }
})

t.test('lengths that lie are the end of what is read', async t => {
  const good = logged(Buffer.from('good'))
  for (const length of [0, 15, 16, 19, 23, 0xffff_ffff, good.length + 1]) {
    const bad = Buffer.from(good)
    bad.writeUInt32LE(length, 0)
    t.strictSame([...loggedPackets(bad)], [], `a message of ${length} bytes`)
  }
  for (const at of [20, 28, 36]) {
    for (const length of [0, 3, 0xffff, good.length]) {
      const bad = Buffer.from(good)
      bad.writeUInt16LE(length, at)
      t.strictSame(
        [...loggedPackets(bad)],
        [],
        `an attribute of ${length} bytes at ${at}`,
      )
    }
  }
  t.strictSame([...loggedPackets(logged(Buffer.from('other'), 0x0401))], [])
})
