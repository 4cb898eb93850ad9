import { once } from 'node:events'
import { Server } from 'node:http'
import { connect } from 'node:net'
import t from 'tap'
import { bearer, token, world } from '../fixtures/admin/world.ts'

t.test('callers that go wrong harm nobody', async t => {
  const { admin, ask, farm, log } = await world(t)
  const raw = async (text: string, end: 'end' | 'resetAndDestroy' = 'end') => {
    const socket = connect({ port: admin.port, host: '127.0.0.1' })
    socket.on('error', () => {})
    await once(socket, 'connect')
    socket.write(text)
    if (end === 'resetAndDestroy') await new Promise(resolve => setImmediate(resolve))
    socket[end]()
    socket.resume()
    await once(socket, 'close')
  }
  const head = `POST /revoke HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n`
  await raw('nonsense\r\n\r\n')
  await raw(`${head}Content-Length: 100\r\n\r\n{"all"`, 'resetAndDestroy')
  await raw(`${head}Content-Length: 100\r\n\r\n{"all"`)
  await raw(`${head}Transfer-Encoding: chunked\r\n\r\nffffffff\r\n`)
  await raw(`GET /status HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`)
  t.equal((await ask('GET', '/status')).status, 200)
  t.equal(farm.stats().table.records, 0)
  t.same(
    log.lines.filter(({ level }) => level === 'error'),
    [],
  )
})

t.test('callers that ask for nothing keep nobody out', async t => {
  const { admin, ask } = await world(t)
  const idle = Array.from({ length: 150 }, () => {
    const socket = connect({ port: admin.port, host: '127.0.0.1' })
    socket.on('error', () => {})
    t.teardown(() => socket.destroy())
    return { opened: once(socket, 'connect'), closed: once(socket, 'close') }
  })
  await Promise.all(idle.map(({ opened }) => opened))
  t.equal((await ask('GET', '/status')).status, 200)
  const body = '{"user":"ann"}'
  t.equal((await ask('POST', '/revoke', { headers: bearer, body })).status, 200)
  // Those who were there longest made room.
  await Promise.all(idle.slice(0, 50).map(({ closed }) => closed))
})

t.test('who has shown the token keeps the place', async t => {
  const { admin, ask } = await world(t)
  const kept = connect({ port: admin.port, host: '127.0.0.1' })
  t.teardown(() => kept.destroy())
  const head = `Host: localhost\r\nAuthorization: Bearer ${token}\r\n`
  kept.write(`POST /revoke HTTP/1.1\r\n${head}Content-Length: 14\r\n`)
  kept.write('Expect: 100-continue\r\n\r\n')
  await once(kept, 'data')
  for (let i = 0; i < 150; i++) {
    const socket = connect({ port: admin.port, host: '127.0.0.1' })
    socket.on('error', () => {})
    t.teardown(() => socket.destroy())
    await once(socket, 'connect')
  }
  t.equal((await ask('GET', '/status')).status, 200)
  kept.write('{"user":"ann"}')
  const [answer] = await once(kept, 'data')
  t.match(String(answer), /^HTTP\/1.1 200 /)
})

t.test('it closes with callers on the line, and twice', async t => {
  const { admin } = await world(t)
  const idle = connect({ port: admin.port, host: '127.0.0.1' })
  idle.on('error', () => {})
  // In the middle of a request: by themselves such callers would stay for half a minute.
  idle.write('GET /status HTTP/1.1\r\nHost: localhost\r\n\r\nGET /status HTT')
  await once(idle, 'data')
  const closed = once(idle, 'close')
  await Promise.all([admin.close(), admin.close(), closed])
  const refused = connect({ port: admin.port, host: '127.0.0.1' })
  const [error] = await once(refused, 'error')
  t.equal(error.code, 'ECONNREFUSED')
})

t.test('requests sent ahead of their answers are not all begun', async t => {
  const { admin, farm } = await world(t)
  let begun = 0
  const { hostStats } = farm
  farm.hostStats = () => {
    begun += 1
    return hostStats.call(farm)
  }
  const socket = connect({ port: admin.port, host: '127.0.0.1' })
  socket.on('error', () => {})
  socket.write('GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(500))
  socket.resume()
  await once(socket, 'close')
  t.equal(begun, 20)
})

t.test('a fault of the listener ends nothing', async t => {
  const { listen } = Server.prototype
  let server: Server | undefined
  t.intercept(Server.prototype, 'listen', {
    value(this: Server, ...args: Parameters<typeof listen>) {
      server = this
      return listen.apply(this, args)
    },
  })
  const second = await world(t)
  server?.emit('error', new Error('accept EMFILE'))
  t.equal((await second.ask('GET', '/status')).status, 200)
  t.match(
    second.log.lines.filter(({ level }) => level === 'error'),
    [{ message: 'admin port failed' }],
  )
})
