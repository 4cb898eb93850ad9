import { once } from 'node:events'
import net from 'node:net'
import t, { type Test } from 'tap'
import { detectNative, supportBy } from '../../lib/takeover/native/detect.ts'
import type { Libc } from '../../lib/takeover/native/libc.ts'
import type { NativeSocket } from '../../lib/takeover/native/native-socket.ts'
import { readTcpInfo } from '../../lib/takeover/native/tcp-info.ts'

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
