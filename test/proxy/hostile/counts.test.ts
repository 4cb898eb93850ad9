import { once } from 'node:events'
import t from 'tap'
import {
  honest,
  hostile,
  http2From,
  sayFrom,
  statusesFrom,
  tlsFrom,
} from '../../fixtures/proxy/clients-from.ts'
import {
  accept,
  HostileCases,
  ok,
  streams,
  world,
} from '../../fixtures/proxy/hostile-world.ts'
import { until } from '../../fixtures/until.ts'

const cases = new HostileCases()

cases.set('limits.maxTunnels', async t => {
  const { port, met, backend } = await world(t, {
    maxTunnels: 10,
    maxBackendRequests: 12,
  })
  for (let i = 0; i < 8; i++) {
    const socket = await tlsFrom(t, hostile, port)
    socket.write(accept)
    const [answer] = await once(socket, 'data')
    t.match(String(answer), /^HTTP\/1\.1 101 /)
  }
  t.equal(await sayFrom(t, hostile, port, accept), 503, 'the ninth of ten')
  t.equal(met('limits.maxTunnels'), 1)
  t.strictSame(await statusesFrom(t, hostile, port), ok, 'they take no part of requests')
  t.strictSame(await statusesFrom(t, honest, port), ok)
  const socket = await tlsFrom(t, honest, port)
  socket.write(accept)
  t.match(String((await once(socket, 'data'))[0]), /^HTTP\/1\.1 101 /)
  t.equal(backend.sockets.size >= 9, true)
})

cases.set('limits.maxHeaderBytes', async t => {
  const { port, met } = await world(t, { maxHeaderBytes: 2_048 })
  const large = { ':path': '/', 'x-large': 'x'.repeat(3_000) }
  const statuses = await streams(t, port, 100, large)
  t.strictSame(await statusesFrom(t, honest, port), ok)
  await until(() => statuses.length === 100)
  t.ok(statuses.every(status => status === 431))
  await until(() => met('limits.maxHeaderBytes') > 0, 'and it is counted')
})

cases.set('limits.maxBodyBytes', async t => {
  const { port, met } = await world(t, { maxBodyBytes: 1_000 })
  const post = { ':method': 'POST', ':path': '/' }
  const statuses = await streams(t, port, 50, post, 'x'.repeat(2_000))
  t.strictSame(await statusesFrom(t, honest, port), ok)
  await until(() => statuses.length === 50)
  t.ok(statuses.every(status => status === 413))
  await until(() => met('limits.maxBodyBytes') > 0, 'and it is counted')
})

cases.set('limits.maxConnections', async t => {
  const { port, met, proxy } = await world(t, { maxConnections: 10 })
  const all = await Promise.allSettled(
    Array.from({ length: 30 }, () => tlsFrom(t, hostile, port)),
  )
  t.equal(all.filter(({ status }) => status === 'fulfilled').length, 8)
  t.equal(met('limits.maxConnections'), 22)
  t.strictSame(await statusesFrom(t, honest, port), ok)
  for (const one of all) if (one.status === 'fulfilled') one.value.destroy()
  await until(() => proxy.stats().connections === 0)
  t.strictSame(await statusesFrom(t, hostile, port), ok, 'and they are free again')
})

cases.set('limits.maxStreams', async t => {
  const { port, backend } = await world(t, { maxStreams: 4 })
  const session = await http2From(t, hostile, port)
  await once(session, 'remoteSettings')
  t.equal(session.remoteSettings.maxConcurrentStreams, 4)
  for (let i = 0; i < 100; i++) {
    session.request({ ':path': '/mute' }).on('error', () => {})
  }
  await until(() => backend.requests.length >= 4)
  t.strictSame(await statusesFrom(t, honest, port), ok)
  t.equal(backend.requests.filter(({ url }) => url === '/mute').length, 4)
})

cases.set('limits.maxBackendRequests', async t => {
  const limits = { maxBackendRequests: 20, maxStreams: 200 }
  const { port, backend, met } = await world(t, limits)
  for (const method of ['POST', 'PUT', 'GET']) {
    await streams(t, port, 100, {
      ':method': method,
      ':path': '/',
      'content-length': '5',
    })
  }
  const held = { ':method': 'POST', ':path': '/', expect: '100-continue' }
  const asked = await streams(t, port, 100, held)
  const chunked = await tlsFrom(t, hostile, port)
  chunked.write(
    'POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n',
  )
  await until(() => asked.length > 0, 'the rest of those that hold it back are refused')
  t.equal(backend.requests.length, 0, 'no slot before bytes of a body are there')
  t.strictSame(await statusesFrom(t, hostile, port), ok, 'not even the same client waits')
  const met0 = met('limits.maxBackendRequests')
  await streams(t, port, 100, { ':path': '/mute' })
  await until(() => met('limits.maxBackendRequests') - met0 === 84, 'sixteen of twenty')
  t.strictSame(await statusesFrom(t, honest, port), ok)
})

cases.set('limits.maxQueued', async t => {
  const { port, met, backend } = await world(t, {
    maxBackendRequests: 20,
    maxQueued: 20,
    queueTimeout: 60_000,
    maxStreams: 200,
  })
  const statuses = await streams(t, port, 100, { ':path': '/mute' })
  await until(() => statuses.length === 68, 'sixteen are served and sixteen wait')
  t.ok(statuses.every(status => status === 503))
  t.equal(met('limits.maxBackendRequests'), 68)
  await until(() => backend.requests.length === 16, 'the backend has sixteen')
  t.strictSame(await statusesFrom(t, honest, port), ok)
})

cases.set('limits.maxPendingBodies', async t => {
  const { port, met, backend } = await world(t, { maxPendingBodies: 20, maxStreams: 200 })
  const post = { ':method': 'POST', ':path': '/', 'content-length': '4' }
  const statuses = await streams(t, port, 100, post)
  await until(() => statuses.length === 84, 'all but sixteen of twenty are refused')
  t.equal(met('limits.maxPendingBodies'), 84)
  t.ok(statuses.every(status => status === 503))
  t.equal(backend.requests.length, 0)
  const say =
    'POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nConnection: close\r\n\r\n'
  t.equal(await sayFrom(t, honest, port, `${say}half`), 200)
  t.strictSame(
    await statusesFrom(t, hostile, port),
    ok,
    'what has no body does not count',
  )
})

cases.set('limits.clientShare', async t => {
  const { port, backend } = await world(t, { maxBackendRequests: 20, clientShare: 50 })
  const statuses = await streams(t, port, 30, { ':path': '/mute' })
  await until(() => statuses.length === 20)
  await until(() => backend.requests.length === 10)
  t.strictSame(await statusesFrom(t, honest, port), ok)
})

t.test('every bound among the options has a client here that wants more', async t => {
  await cases.run(t, 'count')
})
