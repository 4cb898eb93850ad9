import { once } from 'node:events'
import { createServer as createHttpServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { connect as tlsConnect } from 'node:tls'
import t from 'tap'
import { tables } from '../../../lib/record/key.ts'
import {
  honest,
  hostile,
  statusesFrom,
  tcpFrom,
} from '../../fixtures/proxy/clients-from.ts'
import { HostileCases, ok, streams, world } from '../../fixtures/proxy/hostile-world.ts'
import { until } from '../../fixtures/until.ts'

const cases = new HostileCases()

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

cases.set('sites[].auth.attempts.perUser', async t => {
  const attempts = { perUser: 4, perAddress: 6, window: 7 * 24 * 3_600_000 }
  const { port, met } = await world(t, {}, { basic: verify, attempts })
  for (const status of [401, 401, 429]) {
    t.strictSame(await statusesFrom(t, hostile, port, '/', wrong), [status, status])
  }
  t.strictSame(await statusesFrom(t, hostile, port, '/', right), [429, 429])
  t.equal(met('auth.attempts'), 4)
  t.strictSame(await statusesFrom(t, honest, port, '/', right), ok)
})

cases.set('sites[].auth.maxChecks', async t => {
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

cases.set('sites[].auth.forward.timeout', async t => {
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

t.test('every limit of sessions and log-ins has its hostile client here', async t => {
  await cases.run(t, 'room')
})
