import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import t from 'tap'
import {
  honest,
  hostile,
  http2From,
  statusesFrom,
  tlsFrom,
} from '../../fixtures/proxy/clients-from.ts'
import {
  accept,
  get,
  HostileCases,
  ok,
  streams,
  world,
} from '../../fixtures/proxy/hostile-world.ts'
import { p256 } from '../../fixtures/tls/certificates.ts'
import { until } from '../../fixtures/until.ts'

const cases = new HostileCases()

cases.set('limits.headersTimeout', async t => {
  const { port, proxy, met } = await world(t, {
    headersTimeout: 1_000,
    maxConnections: 20,
  })
  const slow = await Promise.all(
    Array.from({ length: 16 }, () => tlsFrom(t, hostile, port)),
  )
  for (const socket of slow) socket.resume().write('GET / HTTP/1.1\r\nHost: loc')
  t.strictSame(await statusesFrom(t, honest, port), ok)
  await until(() => slow.every(socket => socket.destroyed), 'slow ones are closed')
  await until(() => proxy.stats().connections === 0)
  await until(() => met('limits.headersTimeout') > 0, 'and it is counted')
})

cases.set('limits.bodyTimeout', async t => {
  const limits = { bodyTimeout: 1_000, maxBackendRequests: 10 }
  const { port, met } = await world(t, limits)
  const post = { ':method': 'POST', ':path': '/' }
  const stopped = await streams(t, port, 20, post, 'some')
  await until(() => met('limits.maxBackendRequests') === 12, 'of ten it has eight')
  t.strictSame(await statusesFrom(t, honest, port), ok)
  await until(() => stopped.filter(status => status === 408).length === 8)
  t.strictSame(await statusesFrom(t, hostile, port), ok, 'and it is free again')
  await until(() => met('limits.bodyTimeout') > 0, 'and it is counted')
})

cases.set('limits.queueTimeout', async t => {
  const limits = { maxBackendRequests: 20, queueTimeout: 1_000 }
  const { port, backend } = await world(t, limits)
  const statuses = await streams(t, port, 30, { ':path': '/mute' })
  await until(() => backend.requests.length === 16, 'sixteen of twenty')
  t.strictSame(await statusesFrom(t, honest, port), ok, 'while others wait')
  await until(() => statuses.length === 14, 'who waits waits no longer')
  t.ok(statuses.every(status => status === 503))
})

cases.set('limits.idleTimeout', async t => {
  const { port, proxy } = await world(t, { idleTimeout: 500, maxConnections: 20 })
  const idle = await Promise.all(
    Array.from({ length: 8 }, () => tlsFrom(t, hostile, port)),
  )
  for (const socket of idle) socket.resume().write(get('/'))
  for (let i = 0; i < 8; i++) await http2From(t, hostile, port)
  t.strictSame(await statusesFrom(t, honest, port), ok)
  await until(() => proxy.stats().connections === 0, 'idle ones are closed')
})

cases.set('limits.connectTimeout', async t => {
  const silent = createServer(socket => socket.on('error', () => {}))
  silent.listen(0, '127.0.0.1')
  await once(silent, 'listening')
  t.teardown(() => silent.close())
  const { port: silentPort } = silent.address() as AddressInfo
  const { port, proxy, sites, met } = await world(t, {})
  const limits = { connectTimeout: 1_000 }
  const dead = `https://127.0.0.1:${silentPort}`
  const pair = await p256('dead.example')
  proxy.reload({
    sites: [...sites, { names: ['dead.example'], backends: [dead], ...pair }],
    limits,
  })
  const fields = { ':path': '/', ':authority': 'dead.example' }
  const statuses = await streams(t, port, 50, fields)
  t.strictSame(await statusesFrom(t, honest, port), ok)
  await until(() => statuses.length === 50)
  t.ok(statuses.every(status => status === 504))
  await until(() => met('limits.connectTimeout') > 0, 'and it is counted')
})

cases.set('limits.backendHeadersTimeout', async t => {
  const limits = { backendHeadersTimeout: 1_000, maxBackendRequests: 20 }
  const { port, met } = await world(t, limits)
  const statuses = await streams(t, port, 30, { ':path': '/mute' })
  await until(() => met('limits.maxBackendRequests') === 14)
  t.strictSame(await statusesFrom(t, honest, port), ok)
  await until(() => statuses.length === 30)
  t.equal(statuses.filter(status => status === 504).length, 16)
  await until(() => met('limits.backendHeadersTimeout') > 0, 'and it is counted')
})

cases.set('limits.backendBodyTimeout', async t => {
  const limits = { backendBodyTimeout: 1_000, maxBackendRequests: 20 }
  const { port, met, log } = await world(t, limits)
  await streams(t, port, 30, { ':path': '/stuck' })
  await until(() => met('limits.maxBackendRequests') === 14)
  t.strictSame(await statusesFrom(t, honest, port), ok)
  const brokenOff = () =>
    log.requests.filter(({ error }) => error === 'UND_ERR_BODY_TIMEOUT').length
  await until(() => brokenOff() === 16)
  await until(() => met('limits.backendBodyTimeout') > 0, 'and it is counted')
})

for (const name of ['requestTimeout', 'tryTimeout'] as const) {
  cases.set(`limits.${name}`, async t => {
    const limits = { [name]: 1_000, maxBackendRequests: 20 }
    const { port, met } = await world(t, limits)
    const statuses = await streams(t, port, 30, { ':path': '/mute' })
    await until(() => met('limits.maxBackendRequests') === 14)
    t.strictSame(await statusesFrom(t, honest, port), ok)
    await until(() => statuses.length === 30)
    t.equal(statuses.filter(status => status === 504).length, 16)
    await until(() => met(`limits.${name}`) > 0, 'and it is counted')
  })
}

cases.set('limits.tunnelTimeout', async t => {
  const limits = { tunnelTimeout: 1_000, maxTunnels: 20 }
  const { port } = await world(t, limits)
  const idle = await Promise.all(
    Array.from({ length: 16 }, () => tlsFrom(t, hostile, port)),
  )
  for (const socket of idle) socket.resume().write(accept)
  t.strictSame(await statusesFrom(t, honest, port), ok)
  await until(() => idle.every(socket => socket.destroyed))
})

cases.set('limits.drainTimeout', async t => {
  const { port, proxy, backend } = await world(t, { drainTimeout: 1_000 })
  const statuses = await streams(t, port, 10, { ':path': '/mute' })
  const socket = await tlsFrom(t, honest, port)
  socket.write('POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nha')
  await until(() => backend.requests.length === 11)
  const drained = proxy.drain()
  socket.write('lf')
  const [answer] = await once(socket, 'data')
  t.match(String(answer), /^HTTP\/1\.1 200 /, 'what is under way comes to its end')
  await drained
  t.equal(statuses.length, 0)
})

t.test(
  'every wait among the options has a client here that would wait for ever',
  async t => {
    await cases.run(t, 'wait')
  },
)
