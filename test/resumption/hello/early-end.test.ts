import { once } from 'node:events'
import { createSecureServer } from 'node:http2'
import { createServer, type Server as HttpsServer } from 'node:https'
import {
  type AddressInfo,
  createServer as createTcpServer,
  type Socket,
  connect as tcpConnect,
} from 'node:net'
import { createServer as createTlsServer, type Server, TLSSocket } from 'node:tls'
import t from 'tap'
import { systemClock } from '../../../lib/clock.ts'
import { binaryHeader } from '../../../lib/proxy-protocol/binary-header.ts'
import { textHeader } from '../../../lib/proxy-protocol/text-header.ts'
import { cacheOf } from '../../fixtures/farm/insides.ts'
import { memoryLog } from '../../fixtures/farm/stream-member.ts'
import { HeldConnection } from '../../fixtures/resumption/held-connection.ts'
import { deferred, farmOfOne } from '../../fixtures/resumption/world.ts'
import { type VisitOptions, visit } from '../../fixtures/tls/client.ts'
import {
  certificateFor,
  type TeardownScope,
  tellingServer,
} from '../../fixtures/tls/servers.ts'
import { until } from '../../fixtures/until.ts'

const endpoint = { address: '192.0.2.1', port: 4_711 }

/** What clients do that never become a TLS connection. */
const ends: { readonly [name: string]: (socket: Socket) => void } = {
  leaves: socket => socket.end(),
  resets: socket => socket.resetAndDestroy(),
  'leaves in its hello': socket => socket.end(Buffer.from([22, 3, 1])),
  'is silent': () => {},
  'is silent in its hello': socket => socket.write(Buffer.from([22, 3, 1])),
  'sends zeros': socket => socket.write(Buffer.alloc(16_384)),
  'speaks HTTP': socket => socket.write('GET / HTTP/1.1\r\nHost: a.test\r\n\r\n'),
  'speaks SMTP': socket => socket.write('EHLO a.test\r\n'),
  'sends a PROXY header': socket =>
    socket.write(textHeader({ source: endpoint, destination: endpoint })),
}

for (const [does, act] of Object.entries(ends)) {
  t.test(`the server tells of a client that ${does}, as it does without us`, async t => {
    const farm = await farmOfOne(t)
    // Who ends by itself is to be sooner than the clock, be the machine as busy as it may.
    const handshakeTimeout = does.startsWith('is silent') ? 100 : 60_000
    const attached = await tellingServer({ handshakeTimeout })
    const bare = await tellingServer({ handshakeTimeout })
    farm.attach(attached)
    const told: unknown[] = []
    for (const server of [bare, attached]) {
      const port = await plainPort(t, server)
      const error = once(server, 'tlsClientError')
      const client = tcpConnect(port, '127.0.0.1')
      client.on('error', () => {})
      client.on('connect', () => act(client))
      client.resume()
      const [{ code }, socket] = await error
      told.push([code, socket instanceof TLSSocket])
      await closed(client)
    }
    t.same(told[1], told[0])
    t.match(await visit({ port: portOf(attached) }), { reused: false })
  })
}

t.test('the owner may end a raw connection as it likes', async t => {
  const farm = await farmOfOne(t)
  const server = await tellingServer()
  farm.attach(server)
  const habits: ((socket: Socket) => void)[] = [
    socket => socket.destroy(),
    socket => socket.destroy(new Error('no')),
    socket => process.nextTick(() => socket.destroy()),
    socket => setImmediate(() => socket.resetAndDestroy()),
    socket => setTimeout(Object.getPrototypeOf(socket).destroy.bind(socket), 5),
    socket => socket.setTimeout(10, socket.destroy),
    socket => socket.destroySoon(),
    socket => setImmediate(() => socket.emit('error', new Error('no'))),
  ]
  for (const end of habits) {
    const front = createTcpServer(socket => {
      socket.on('error', () => {})
      server.emit('connection', socket)
      end(socket)
    })
    front.listen(0, '127.0.0.1')
    await once(front, 'listening')
    const error = once(server, 'tlsClientError')
    const client = tcpConnect((front.address() as AddressInfo).port, '127.0.0.1')
    client.on('error', () => {})
    client.resume()
    await Promise.all([error, closed(client)])
    t.ok((await error)[1] instanceof TLSSocket, String(end))
    front.close()
    await once(front, 'close')
  }
})

t.test('while the farm is asked for a session the owner may end it, too', async t => {
  const elsewhere = await tellingServer()
  const other = await farmOfOne(t)
  other.attach(elsewhere, { resumption: 'stateful' })
  const [session] = (await visit({ port: await plainPort(t, elsewhere) })).sessions

  const farm = await farmOfOne(t)
  const server = await tellingServer()
  farm.attach(server)
  const port = await plainPort(t, server)
  const ended: ((raw: Socket) => void)[] = [
    raw => raw.destroy(),
    raw => raw.resetAndDestroy(),
    raw => raw.destroySoon(),
  ]
  for (const end of ended) {
    const raw = once(server, 'connection')
    const asked = deferred<void>()
    cacheOf(farm).find = () => {
      asked.resolve()
      return new Promise(() => {})
    }
    const error = once(server, 'tlsClientError')
    const visiting = visit({ port, session } as VisitOptions)
    visiting.catch(() => {})
    await asked.promise
    end((await raw)[0])
    t.equal((await error)[0].code, 'ECONNRESET', String(end))
    await t.rejects(visiting)
  }
})

t.test("the shorter of the owner's and the farm's time limit holds", async t => {
  for (const [helloTimeout, handshakeTimeout] of [
    [100, 60_000],
    [60_000, 100],
  ] as const) {
    const farm = await farmOfOne(t, { helloTimeout })
    const server = await tellingServer({ handshakeTimeout })
    farm.attach(server)
    const port = await plainPort(t, server)
    const error = once(server, 'tlsClientError')
    const silent = tcpConnect(port, '127.0.0.1')
    const drip = tcpConnect(port, '127.0.0.1')
    for (const client of [silent, drip]) client.on('error', () => {}).resume()
    drip.write(Buffer.from([22, 3, 1, 2, 0, 1, 0]))
    const dripping = setInterval(() => drip.write(Buffer.alloc(1)), 20)
    t.teardown(() => clearInterval(dripping))
    await Promise.all([closed(silent), closed(drip)])
    t.equal((await error)[0].code, 'ERR_TLS_HANDSHAKE_TIMEOUT')
  }
})

t.test('a server without listeners for it ends such connections, too', async t => {
  const farm = await farmOfOne(t, { helloTimeout: 1_000 })
  const server = createTlsServer(await certificateFor('localhost'))
  farm.attach(server)
  const port = await plainPort(t, server)
  const clients = [ends['leaves'], ends['resets'], ends['is silent']].map(act => {
    const client = tcpConnect(port, '127.0.0.1')
    client.on('error', () => {}).resume()
    client.on('connect', () => act?.(client))
    return closed(client)
  })
  await Promise.all(clients)
  await until(async () => (await connections(server)) === 0)
  t.match(farm.stats().handshakes, { failed: 1, causes: { 'not-tls:probe': 2 } })
})

t.test('what a hello takes is gone from the time of its handshake', async t => {
  let ahead = 0
  const clock = { ...systemClock, monotonic: () => systemClock.monotonic() + ahead }
  const farm = await farmOfOne(t, { clock })
  const server = await tellingServer({ handshakeTimeout: 60_000 })
  farm.attach(server)
  const port = await plainPort(t, server)
  const raw = once(server, 'connection')
  const client = tcpConnect(port, '127.0.0.1')
  client.on('error', () => {}).resume()
  await raw
  ahead = 20_000
  const error = once(server, 'tlsClientError')
  client.write('EHLO a.test\r\n')
  const [, socket] = await error
  const { handshakeTimeout } = Reflect.get(socket, '_tlsOptions')
  t.ok(handshakeTimeout > 0 && handshakeTimeout <= 40_000, String(handshakeTimeout))
  await closed(client)
})

t.test('a client that stalls after its hello does not stay either', async t => {
  const farm = await farmOfOne(t)
  const server = createTlsServer({
    ...(await certificateFor('localhost')),
    handshakeTimeout: 1_000,
  })
  farm.attach(server)
  const port = await plainPort(t, server)
  const held = new HeldConnection(port)
  t.teardown(() => held.duplex.destroy())
  const gone = new Promise(resolve => held.duplex.on('close', resolve))
  const visiting = visit({ port, over: held.duplex, handshakeOnly: true }).catch(() => {})
  await held.answered
  await Promise.all([gone, visiting])
  await until(async () => (await connections(server)) === 0)
  t.match(farm.stats().handshakes, { full: 0, failed: 1 })
})

t.test('probes and plain HTTP are no failed handshakes', async t => {
  const farm = await farmOfOne(t, { helloTimeout: 1_000 })
  const server = await tellingServer()
  farm.attach(server)
  const port = await plainPort(t, server)
  for (const act of Object.values(ends)) {
    const client = tcpConnect(port, '127.0.0.1')
    client.on('error', () => {}).resume()
    client.on('connect', () => act(client))
    await closed(client)
  }
  await until(async () => (await connections(server)) === 0)
  t.match(farm.stats().handshakes, {
    resumed: 0,
    full: 0,
    failed: 5,
    causes: {
      failed: 5,
      'not-tls:probe': 2,
      'not-tls:plain-http': 1,
      'not-tls:proxy-header': 1,
    },
  })
})

t.test('plain HTTP on the TLS port is answered with 400', async t => {
  const farm = await farmOfOne(t)
  const pair = await certificateFor('localhost')
  const servers: { readonly [name: string]: Server } = {
    https: createServer(pair),
    http2: createSecureServer({ ...pair, allowHTTP1: true }),
    tls: createTlsServer({ ...pair, ALPNProtocols: ['http/1.1'] }),
  }
  for (const [name, server] of Object.entries(servers)) {
    farm.attach(server)
    const codes: unknown[] = []
    server.on('tlsClientError', ({ code }: { code?: string }) => codes.push(code))
    const port = await plainPort(t, server)
    const answer = await say(port, 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
    t.match(answer, /^HTTP\/1\.1 400 Bad Request\r\n/, name)
    t.match(answer, /\r\nConnection: close\r\n/)
    t.match(answer, /\r\n\r\n\S.*HTTPS.*\n$/)
    await until(() => codes.length === 1)
    t.equal(codes[0], 'ERR_SSL_HTTP_REQUEST')
    const pieces = await say(port, ...'POST /a HTTP/1.0\r\n')
    t.match(pieces, /^HTTP\/1\.1 400 /, 'in single bytes')
    t.match(await say(port, 'HEAD / HTTP/1.1\r\n\r\n'), /^HTTP\/1\.1 400 .*\r\n\r\n$/s)
    t.match(await say(port, 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), /^HTTP\/1\.1 400 /)
    const body = `POST / HTTP/1.1\r\nContent-Length: 400000\r\n\r\n${'x'.repeat(400_000)}`
    t.match(await say(port, body), /^HTTP\/1\.1 400 /, 'a body overtakes no answer')
    t.notMatch(await say(port, 'EHLO GET / HTTP/1.1 x\r\n'), 'HTTP')
  }
})

t.test('a server that does not speak HTTP gives no answer in it', async t => {
  const farm = await farmOfOne(t)
  const server = createTlsServer(await certificateFor('localhost'))
  server.on('tlsClientError', (_error, socket) => socket.destroy())
  farm.attach(server)
  const port = await plainPort(t, server)
  t.equal(await say(port, 'GET / HTTP/1.1\r\n\r\n'), '')
  t.match(farm.stats().handshakes, { failed: 0, causes: { 'not-tls:plain-http': 1 } })
})

t.test('a balancer that is not known as one is told of, by its address', async t => {
  const log = memoryLog()
  const farm = await farmOfOne(t, { log })
  const server = await tellingServer()
  farm.attach(server)
  const codes: unknown[] = []
  server.on('tlsClientError', ({ code }: { code?: string }) => codes.push(code))
  server.listen(0, '::')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const ends = { source: endpoint, destination: endpoint }
  const headers = [ends, undefined].flatMap(of => [textHeader(of), binaryHeader(of)])
  for (const header of headers) {
    await say(portOf(server), header.toString('latin1'))
    await say(portOf(server), ...header.toString('latin1'))
  }
  await until(() => codes.length === 2 * headers.length)
  t.match(farm.stats().handshakes, {
    failed: 0,
    causes: { 'not-tls:proxy-header': 2 * headers.length },
  })
  const told = log.said('127.0.0.1 sends a PROXY header and is not in proxyProtocol')
  t.equal(told.length, 2 * headers.length)
  t.equal(told[0]?.level, 'warn')
  t.same(told[0]?.fields, { balancer: '127.0.0.1' })
  for (let n = 0; n < 20; n += 1) await say(portOf(server), 'PROXY UNKNOWN\r\n')
  t.ok(log.said('sends a PROXY header').length < 20, 'held back')

  await say(portOf(server), 'PROXY TCP5 \r\n')
  t.match(farm.stats().handshakes, { failed: 1 }, 'what is no header of that protocol')
  await say(portOf(server), 'PROXY / HTTP/1.1\r\n\r\n')
  t.match(farm.stats().handshakes.causes, { 'not-tls:plain-http': 1 })
})

/** All that the server answers to these pieces, until it closes. */
async function say(port: number, ...pieces: string[]): Promise<string> {
  const client = tcpConnect(port, '127.0.0.1')
  let text = ''
  client.on('error', () => {})
  client.on('data', chunk => {
    text += chunk.toString('latin1')
  })
  for (const piece of pieces) {
    await new Promise(resolve => client.write(piece, 'latin1', resolve))
    await new Promise(setImmediate)
  }
  await closed(client)
  return text
}

function closed(client: Socket): Promise<void> {
  return new Promise(resolve => {
    if (client.closed) resolve()
    else client.on('close', () => resolve())
  })
}

async function plainPort(t: TeardownScope, server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    ;(server as HttpsServer).closeAllConnections?.()
    server.close()
  })
  return portOf(server)
}

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port
}

function connections(server: Server): Promise<number> {
  return new Promise((resolve, reject) =>
    server.getConnections((error, count) => (error ? reject(error) : resolve(count))),
  )
}
