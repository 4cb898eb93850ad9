import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer as createHttpServer } from 'node:http'
import { type AddressInfo, createServer } from 'node:net'
import { connect as tlsConnect } from 'node:tls'
import t, { type Test } from 'tap'
import { createFarm } from '../../lib/member/create-farm.ts'
import type { Farm } from '../../lib/member/farm.ts'
import { AuthAuthorizer } from '../../lib/proxy/auth-authorizer.ts'
import type { Limits, Site } from '../../lib/proxy/options.ts'
import { createProxy } from '../../lib/proxy/proxy.ts'
import { tables } from '../../lib/record/key.ts'
import { p256 } from '../fixtures/certificates.ts'
import {
  honest,
  hostile,
  http2From,
  sayFrom,
  statusesFrom,
  tcpFrom,
  tlsFrom,
} from '../fixtures/clients-from.ts'
import { MemoryLog, startBackend, until } from '../fixtures/proxy-servers.ts'

/**
 * Each limit of the README's table: a hostile client does what the limit is there for, and an
 * honest one, of another network, is served all the while.
 */
const cases = new Map<string, (t: Test) => Promise<void>>()
const limitsOf =
  /^`(limits\.\w+|farm\.mintLimit|farm\.helloTimeout|\.auth\.\w*(?:attempts|max|forward\.timeout)[\w.]*)`/

const ok = [200, 200]
const accept =
  'GET /tunnel HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
  'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n'
const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`

/** A proxy whose backend is silent at `/mute`, stops midway at `/stuck` and opens tunnels. */
async function world(
  t: Test,
  limits: Partial<Limits>,
  auth?: Parameters<Farm['auth']>[0],
  farmOptions: Parameters<typeof createFarm>[0] = {},
) {
  const backend = await startBackend(t, (request, response) => {
    request.resume()
    if (request.url === '/mute') return
    if (request.url === '/stuck') response.write('some')
    else request.on('end', () => response.end('fine'))
  })
  backend.server.on('upgrade', (_request, socket) => {
    socket.on('error', () => {})
    socket.write(
      'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
        'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n',
    )
  })
  const log = new MemoryLog()
  const farm = await createFarm({ log, ...farmOptions })
  t.teardown(() => farm.close())
  const site: Site = {
    names: ['localhost'],
    backends: [backend.url],
    ...(await p256('localhost')),
    ...(auth && { authorizer: new AuthAuthorizer(farm.auth(auth).auth) }),
  }
  const sites: Site[] = [site]
  const proxy = await createProxy({
    host: '127.0.0.1',
    port: 0,
    sites,
    limits,
    sessions: farm,
    limitCounters: farm.limitCounters,
    log,
  })
  t.teardown(() => proxy.close())
  const met = (name: string) => farm.stats().limits[name] ?? 0
  return { proxy, port: proxy.port, backend, log, farm, sites, met }
}

/** Streams of HTTP/2 from the hostile client; answers how many were answered with what. */
async function streams(
  t: Test,
  port: number,
  count: number,
  fields: Record<string, string>,
  body?: string,
) {
  const session = await http2From(t, hostile, port)
  const statuses: number[] = []
  for (let i = 0; i < count; i++) {
    const stream = session.request(fields, { endStream: fields[':method'] !== 'POST' })
    stream.on('error', () => {})
    stream.on('response', answer => statuses.push(Number(answer[':status'])))
    stream.resume()
    if (body !== undefined) stream.write(body)
  }
  return statuses
}

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

cases.set('farm.mintLimit', async t => {
  const memory = 4 * 1024 * 1024
  const { port, farm, met } = await world(t, {}, undefined, { memory })
  const visit = async (from: string, session?: Buffer) => {
    const socket = tlsConnect({
      socket: await tcpFrom(t, from, port),
      servername: 'localhost',
      rejectUnauthorized: false,
      maxVersion: 'TLSv1.2',
      ALPNProtocols: ['http/1.1'],
      ...(session && { session }),
    })
    socket.on('error', () => {})
    const made = once(socket, 'session').then(([bytes]) => bytes as Buffer)
    await once(socket, 'secureConnect')
    const reused = socket.isSessionReused()
    const next = reused ? session : await made
    socket.destroy()
    return { session: next as Buffer, reused }
  }
  const kept: Buffer[] = []
  for (let i = 0; i < 10; i++) kept.push((await visit(honest)).session)
  // What is there of others leaves little room, so that the flood need not last for hours.
  const { maxBytes } = farm.stats().table
  for (let i = 0; farm.stats().table.bytes < 0.75 * maxBytes; i++) {
    await farm.cache.add(tables.state, Buffer.from(`${i}`), Buffer.alloc(60_000), {
      ttl: 3_600_000,
    })
  }
  let flood = 0
  while (met('farm.mintLimit') < 100 && flood < 5_000) {
    await Promise.all(Array.from({ length: 20 }, () => visit(hostile)))
    flood += 20
  }
  t.ok(
    flood > 150 && flood < 5_000,
    `${flood} handshakes until a hundred were not stored`,
  )
  t.equal(farm.stats().table.evicted, 0)
  for (const session of kept) t.equal((await visit(honest, session)).reused, true)
  t.strictSame(await statusesFrom(t, hostile, port), ok, 'nobody is refused for it')
  t.equal((await visit(honest, (await visit(honest)).session)).reused, true, 'nor others')
})

cases.set('farm.helloTimeout', async t => {
  const { port, proxy } = await world(t, { maxConnections: 20 }, undefined, {
    helloTimeout: 1_000,
  })
  const silent = await Promise.all(
    Array.from({ length: 16 }, () => tcpFrom(t, hostile, port)),
  )
  for (const socket of silent) socket.resume()
  t.strictSame(await statusesFrom(t, honest, port), ok)
  await until(() => silent.every(socket => socket.destroyed))
  await until(() => proxy.stats().connections === 0)
})

const right = { authorization: `Basic ${Buffer.from('ann:right').toString('base64')}` }
const wrong = { authorization: `Basic ${Buffer.from('ann:wrong').toString('base64')}` }
const verify = (_user: string, password: string) => password === 'right'

cases.set('.auth.attempts.perUser', async t => {
  const attempts = { perUser: 4, perAddress: 6, window: 7 * 24 * 3_600_000 }
  const { port, met } = await world(t, {}, { basic: verify, attempts })
  for (const status of [401, 401, 429]) {
    t.strictSame(await statusesFrom(t, hostile, port, '/', wrong), [status, status])
  }
  t.strictSame(await statusesFrom(t, hostile, port, '/', right), [429, 429])
  t.equal(met('auth.attempts'), 4)
  t.strictSame(await statusesFrom(t, honest, port, '/', right), ok)
})

cases.set('.auth.maxChecks', async t => {
  const never = (user: string) => user === 'ann' || new Promise<boolean>(() => {})
  const { port, met } = await world(t, {}, { basic: never, maxChecks: 10 })
  const stalling = Array.from({ length: 20 }, (_, i) => ({
    ':path': '/',
    authorization: `Basic ${Buffer.from(`user${i}:x`).toString('base64')}`,
  }))
  await Promise.all(stalling.map(fields => streams(t, port, 1, fields)))
  await until(() => met('auth.maxChecks') === 12)
  t.strictSame(await statusesFrom(t, honest, port, '/', right), ok)
})

cases.set('.auth.forward.timeout', async t => {
  const authority = createHttpServer((request, response) => {
    if (request.headers['cookie'] === 'stall') return
    response.setHeader('x-forwarded-user', 'ann').end()
  }).listen(0, '127.0.0.1')
  await once(authority, 'listening')
  t.teardown(() => {
    authority.closeAllConnections()
    authority.close()
  })
  const { port: authorityPort } = authority.address() as AddressInfo
  const forward = { url: `http://127.0.0.1:${authorityPort}`, timeout: 1_000 }
  const { port, met } = await world(t, {}, { forward, maxChecks: 20 })
  // Of equal requests of a connection only one is asked about.
  const stalling = Array.from({ length: 30 }, (_, i) =>
    streams(t, port, 1, { ':path': `/${i}`, cookie: 'stall' }),
  )
  const statuses = await Promise.all(stalling)
  await until(() => met('auth.maxChecks') > 0)
  t.strictSame(await statusesFrom(t, honest, port), ok)
  await until(() => statuses.flat().length === 30)
  t.ok(statuses.flat().every(status => status === 503))
})

t.test('every limit in the README has its hostile client here', async t => {
  const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')
  const names = readme
    .split('\n')
    .map(line => limitsOf.exec(line.slice(2))?.[1])
    .filter(name => name !== undefined)
  t.ok(names.length > 15, 'the reader reads')
  for (const name of names) t.ok(cases.has(name), name)
  for (const name of cases.keys()) t.ok(names.includes(name), `${name} is in the README`)
  for (const [name, run] of cases) {
    await t.test(name, run)
  }
})
