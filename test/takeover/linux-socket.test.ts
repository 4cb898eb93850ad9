import { once } from 'node:events'
import net from 'node:net'
import t, { type Test } from 'tap'
import { detectNative, supportBy } from '../../lib/takeover/native/detect.ts'
import { type Libc, loadLibc } from '../../lib/takeover/native/libc.ts'
import { LinuxSocket } from '../../lib/takeover/native/linux-socket.ts'
import type { NativeSocket } from '../../lib/takeover/native/native-socket.ts'
import { socketAddress } from '../../lib/takeover/native/socket-address.ts'
import { readTcpInfo } from '../../lib/takeover/native/tcp-info.ts'
import { FakeLibc } from '../fixtures/takeover/fake-libc.ts'

const { sockets } = await detectNative()
const here = sockets === undefined ? { skip: 'not Linux, or without koffi' } : {}

t.test('positions of a socket are told without any privilege', here, async t => {
  const { client, server, fd, native } = await connection(t)
  t.equal(native.written(fd), 0)
  t.equal(native.read(fd), 0)
  server.write(Buffer.alloc(100_000))
  client.write('a request of 24 bytes...')
  for await (const chunk of client.iterator({ destroyOnReturn: false })) {
    if (client.bytesRead === 100_000) break
    t.ok(chunk.length > 0)
  }
  await until(() => native.acked(fd) === 100_000)
  t.equal(native.written(fd), 100_000)
  t.equal(native.sent(fd), 100_000)
  await until(() => native.received(fd) === 24)
  if (server.readableLength === 0) await once(server, 'readable')
  t.equal(native.read(fd), 24)
})

t.test('what the peer does not take is written and not acknowledged', here, async t => {
  const { client, server, fd, native } = await connection(t)
  client.pause()
  server.write(Buffer.alloc(64 * 2 ** 20))
  await until(() => native.acked(fd) > 0 && native.written(fd) > native.sent(fd))
  const [acked, written] = [native.acked(fd), native.written(fd)]
  t.ok(acked <= native.sent(fd) && written < 64 * 2 ** 20, `${acked} of ${written}`)
  t.equal(written, 64 * 2 ** 20 - queued(server))
})

t.test('a descriptor that is none is an error with a code', here, async t => {
  const native = sockets as NativeSocket
  t.throws(() => native.written(9_999), { code: 'EBADF' })
})

t.test('a kernel that tells less of a connection tells nothing', async t => {
  t.equal(readTcpInfo(Buffer.alloc(104)), undefined)
  const info = Buffer.alloc(148)
  info.writeUInt8(7, 5)
  info.writeUInt8(0x97, 6)
  info.writeBigUInt64LE(2n ** 40n, 120)
  t.match(readTcpInfo(info), {
    acked: 2 ** 40,
    sack: true,
    timestamps: true,
    scale: { send: 7, receive: 9 },
  })
})

t.test('what is missing is said in one reason', async t => {
  t.equal(supportBy(kernel({})).missing, undefined)
  t.ok(supportBy(kernel({})).packets, 'all is there')
  const reasons = {
    'old-kernel': { info: 104 },
    'no-net-admin': { repair: 'EPERM' },
    'no-tcp-repair': { repair: 'ENOPROTOOPT' },
    'no-net-raw': { raw: 'EPERM' },
  }
  for (const [reason, lacks] of Object.entries(reasons)) {
    const { missing, packets, sockets } = supportBy(kernel(lacks))
    t.equal(missing?.reason, reason, String(missing?.text))
    t.equal(packets, undefined)
    t.equal(sockets !== undefined, reason !== 'old-kernel', 'positions can be asked for')
  }
  const { missing } = supportBy(kernel({ withoutProbe: 'EINVAL' }))
  t.match(missing, { reason: 'old-kernel', text: /4\.19/ })
})

interface Lacks {
  readonly info?: number
  readonly repair?: string
  readonly withoutProbe?: string
  readonly raw?: string
}

/** A kernel that can all but what it lacks; only what detection asks it. */
function kernel({ info = 256, repair, withoutProbe, raw }: Lacks): Libc {
  const fail = (code: string | undefined) => {
    if (code !== undefined) throw Object.assign(new Error(code), { code })
  }
  const known: Partial<Libc> = {
    socket: (_domain, type) => {
      if (type === 3) fail(raw)
      return 5
    },
    close: () => {},
    ioctl: () => 0,
    getOption: () => Buffer.alloc(info),
    setOption: (_fd, _level, name, value) => {
      if (name === 19) fail(value.readInt32LE() === -1 ? withoutProbe : repair)
    },
  }
  return known as Libc
}

async function connection(t: Test) {
  const listener = net.createServer({ pauseOnConnect: true })
  listener.listen(0, '127.0.0.1')
  await once(listener, 'listening')
  const { port } = listener.address() as net.AddressInfo
  const client = net.connect(port, '127.0.0.1')
  const [server] = (await once(listener, 'connection')) as [net.Socket]
  t.teardown(() => {
    client.destroy()
    server.destroy()
    listener.close()
  })
  const { fd } = (server as unknown as { _handle: { fd: number } })._handle
  return { client, server, fd, native: sockets as NativeSocket }
}

/** Bytes that Node has not given to the kernel yet. */
function queued(server: net.Socket): number {
  return (server as unknown as { _handle: { writeQueueSize: number } })._handle
    .writeQueueSize
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise(resolve => setTimeout(resolve, 5))
}

t.test('a connection is made again with its numbers, options and window', async t => {
  const libc = new FakeLibc()
  const native = new LinuxSocket(libc)
  const point = {
    local: { address: '10.0.0.100', port: 443 },
    remote: { address: '10.0.0.7', port: 51_000 },
    tcp: {
      sendStart: 1,
      receiveStart: 2,
      mss: 1_448,
      sack: true,
      scale: { send: 7, receive: 9 },
      timestamp: 5,
    },
    send: 2 ** 32 - 1,
    receive: 70_000,
    window: 65_536,
    deaf: true,
    timestamp: 2 ** 32 - 3,
  }
  const fd = native.restore(point)
  const set = libc.of('setOption').map(([, level, name, value]) => {
    return `${level}/${name} ${(value as Buffer).toString('hex')}`
  })
  t.strictSame(set, [
    '6/19 01000000',
    '0/19 01000000',
    '6/20 01000000',
    '6/21 70110100',
    '6/20 02000000',
    '6/21 ffffffff',
    '6/22 04000000000000000300000007000900080000000000000002000000a8050000',
    '6/24 fdffffff',
    '6/29 7011010000000100000001000000000070110100',
  ])
  native.release(fd)
  native.silence(fd)
  t.strictSame(
    libc
      .of('setOption')
      .slice(-3)
      .map(([, level, name, value]) => [level, name, value]),
    [
      [6, 19, Buffer.from('00000000', 'hex')],
      [1, 2, Buffer.from('01000000', 'hex')],
      [6, 19, Buffer.from('01000000', 'hex')],
    ],
  )
  native.close(fd)
  t.equal(libc.open.size, 0)
  const bare = { ...point.tcp, sack: false, scale: undefined, timestamp: undefined }
  native.restore({ ...point, tcp: bare, timestamp: undefined, deaf: false })
  libc.fails.set('bind', 'EADDRINUSE')
  t.throws(() => native.restore(point), { code: 'EADDRINUSE' })
  t.equal(libc.open.size, 1, 'one that the kernel refuses does not stay')
})

t.test('what both ends agreed on is read, and the socket speaks again', async t => {
  const libc = new FakeLibc()
  const info = Buffer.alloc(256)
  info.writeUInt8(7, 5)
  info.writeUInt8(0x97, 6)
  info.writeBigUInt64LE(100n, 120)
  info.writeBigUInt64LE(40n, 128)
  libc.options.set('6/11', info)
  const number = Buffer.alloc(4)
  number.writeUInt32LE(50)
  libc.options.set('6/21', number)
  t.match(new LinuxSocket(libc).parameters(5), {
    sendStart: 2 ** 32 - 50,
    receiveStart: 10,
    sack: true,
    scale: { send: 7, receive: 9 },
  })
  const [last] = libc.of('setOption').slice(-2)
  t.strictSame(last, [5, 6, 19, Buffer.from('ffffffff', 'hex')], 'without a probe')
})

t.test('a socket that never stands still is an error, not an endless loop', async t => {
  const libc = new FakeLibc()
  let acked = 0n
  libc.getOption = () => {
    const info = Buffer.alloc(256)
    info.writeBigUInt64LE(acked++, 120)
    return info
  }
  t.throws(() => new LinuxSocket(libc).written(5), { code: 'EBUSY' })
})

t.test('without koffi, and on other systems, it is said', async t => {
  const code = 'ERR_MODULE_NOT_FOUND'
  const load = () => Promise.reject(Object.assign(new Error('no'), { code }))
  t.match(await detectNative(load, 'linux'), {
    sockets: undefined,
    missing: { reason: 'no-koffi', text: /koffi is needed.*ERR_MODULE_NOT_FOUND/ },
  })
  t.match(await detectNative(load, 'darwin'), { missing: { reason: 'not-linux' } })
})

t.test('the calls of the C library do what their names say', here, async t => {
  const libc = await loadLibc()
  const one = libc.socket(2, 2, 0)
  const other = libc.socket(2, 2, 0)
  libc.bind(one, socketAddress({ address: '127.0.0.1', port: 0 }))
  t.equal(libc.receive(one, Buffer.alloc(10)), undefined)
  t.throws(() => libc.bind(one, socketAddress({ address: '127.0.0.1', port: 0 })), {
    code: 'EINVAL',
    syscall: 'bind',
  })
  t.throws(() => libc.setOption(one, 6, 19, Buffer.alloc(4)), /setsockopt 6\/19: E/)
  t.throws(() => libc.receive(-1, Buffer.alloc(10)), { code: 'EBADF' })
  t.throws(() => libc.interfaceIndex('no such thing'), { code: 'ENODEV' })
  t.ok(libc.interfaceIndex('lo') > 0)
  t.ok(libc.addressOf(Buffer.alloc(8)) > 0n)
  libc.connect(other, socketAddress({ address: '127.0.0.1', port: 9 }))
  const readable = new Promise<void>(resolve => {
    const stop = libc.whenReadable(other, () => {
      stop()
      resolve()
    })
  })
  const timer = setInterval(() => {}, 1_000)
  // Nobody listens there, which the socket is told.
  libc.sendTo(
    other,
    Buffer.from('word'),
    socketAddress({ address: '127.0.0.1', port: 9 }),
  )
  await readable
  clearInterval(timer)
  t.throws(() => libc.receive(other, Buffer.alloc(10)), { code: 'ECONNREFUSED' })
  libc.close(one)
  libc.closeLater(other)
  t.throws(() => libc.close(one), { code: 'EBADF' })
})
