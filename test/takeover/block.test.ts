import { once } from 'node:events'
import net, { type AddressInfo } from 'node:net'
import { networkInterfaces } from 'node:os'
import t from 'tap'
import { handleOf } from '../../lib/takeover/guardian/system-handle.ts'
import { detectNative } from '../../lib/takeover/native/detect.ts'
import type { NativeSocket } from '../../lib/takeover/native/native-socket.ts'

const { sockets } = await detectNative()
const native = sockets as NativeSocket
const here = sockets === undefined ? { skip: 'not Linux, or without koffi' } : {}

t.test('what is blocked comes later, and nothing of it is lost', here, async t => {
  const server = net.createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = net.connect((server.address() as AddressInfo).port, '127.0.0.1')
  const [socket] = (await once(server, 'connection')) as [net.Socket]
  t.teardown(() => {
    socket.destroy()
    client.destroy()
    server.close()
  })
  const chunks: Buffer[] = []
  socket.on('data', chunk => chunks.push(chunk))
  const came = () => Buffer.concat(chunks).toString()
  client.write('before')
  while (came() !== 'before') await once(socket, 'data')
  const fd = handleOf(socket)?.fd ?? -1
  native.block(fd)
  client.write(' and behind')
  // Its acknowledgment would be there at once.
  await new Promise(resolve => client.once('drain', resolve).write('', resolve))
  t.equal(native.received(fd), 6)
  native.unblock(fd)
  native.unblock(fd)
  while (came() !== 'before and behind') await once(socket, 'data')
  t.equal(native.received(fd), 17)
})

t.test('a listener is blocked for one address alone', here, async t => {
  const server = net.createServer(socket => socket.end())
  const hasIpv6 = Object.values(networkInterfaces())
    .flat()
    .some(each => each?.address === '::1')
  server.listen(0, hasIpv6 ? '::' : '0.0.0.0')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  const fd = handleOf(server)?.fd ?? -1
  native.block(fd, '127.0.0.2')
  const blocked = net.connect(port, '127.0.0.2')
  let isConnected = false
  blocked.once('connect', () => {
    isConnected = true
  })
  for (const host of hasIpv6 ? ['127.0.0.3', '::1'] : ['127.0.0.3']) {
    const other = net.connect(port, host)
    await once(other, 'connect')
    other.destroy()
  }
  t.equal(isConnected, false)
  native.unblock(fd)
  // Its kernel asks again.
  if (!isConnected) await once(blocked, 'connect')
  blocked.destroy()
})

t.test('a descriptor that is none can not be blocked', here, async t => {
  t.throws(() => native.block(9_999), { code: 'EBADF' })
  t.throws(() => native.unblock(9_999), { code: 'EBADF' })
})
