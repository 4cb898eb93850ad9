import { once } from 'node:events'
import { createServer as createHttpServer } from 'node:http'
import { createSecureServer } from 'node:http2'
import { createServer as createTcpServer, connect as tcpConnect } from 'node:net'
import {
  createSecureContext,
  createServer as createTlsServer,
  type Server,
} from 'node:tls'
import t from 'tap'
import { createFarm } from '../../lib/member/create-farm.ts'
import type { Farm } from '../../lib/member/farm.ts'
import {
  certificateFor,
  listening,
  type TeardownScope,
  type Told,
  tellingServer,
} from '../fixtures/servers.ts'
import { type Visit, type VisitOptions, visit } from '../fixtures/tls-client.ts'

const told = (visited: Visit): Told => JSON.parse(visited.body)

async function farmOfOne(t: TeardownScope, options = {}): Promise<Farm> {
  const farm = await createFarm(options)
  t.teardown(() => farm.close())
  return farm
}

async function attachedPort(t: TeardownScope, farm: Farm, options = {}): Promise<number> {
  const server = await tellingServer(options)
  farm.attach(server)
  return listening(t, server)
}

for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
  const only = { minVersion: version, maxVersion: version }

  t.test(`${version}: a session minted on one server resumes on another`, async t => {
    const farm = await farmOfOne(t)
    const [a, b] = [await attachedPort(t, farm), await attachedPort(t, farm)]
    const first = await visit({ port: a, ...only })
    t.match(told(first), {
      resumed: false,
      cause: 'none-offered',
      serverName: 'localhost',
    })
    t.equal(first.sessions.length, version === 'TLSv1.3' ? 2 : 1)
    for (const session of first.sessions) {
      const again = await visit({ port: b, session, ...only })
      t.equal(again.reused, true)
      t.match(told(again), { resumed: 'local', lineage: told(first).lineage })
      t.equal(told(again).originalAt, told(first).originalAt)
    }
    t.match(farm.stats().handshakes, { full: 1, resumed: first.sessions.length })
  })

  t.test(
    `${version}: the name of the server is known on a resumed connection`,
    async t => {
      const farm = await farmOfOne(t)
      const port = await attachedPort(t, farm)
      const first = await visit({ port, ...only })
      const again = await visit({
        port,
        session: first.sessions[0],
        ...only,
      } as VisitOptions)
      t.equal(again.reused, true)
      t.equal(told(again).servername, 'localhost')
    },
  )

  t.test(`${version}: a session does not resume under another server name`, async t => {
    const farm = await farmOfOne(t)
    const port = await attachedPort(t, farm)
    const first = await visit({ port, servername: 'a.test', ...only })
    const session = first.sessions[0]
    const other = await visit({
      port,
      servername: 'b.test',
      session,
      ...only,
    } as VisitOptions)
    t.equal(other.reused, false)
    t.match(told(other), { resumed: false, cause: 'policy', serverName: 'b.test' })
    t.not(told(other).lineage, told(first).lineage)
  })

  t.test(
    `${version}: no session resumes past its time, nor its lineage past its own`,
    async t => {
      let now = Date.now()
      const clock = {
        now: () => now,
        monotonic: () => performance.now(),
        after: (ms: number, fn: () => void) => {
          const timeout = setTimeout(fn, ms)
          return { cancel: () => clearTimeout(timeout) }
        },
      }
      const farm = await farmOfOne(t, {
        clock,
        sessionTimeout: 3600_000,
        lineageTimeout: 2 * 3600_000,
      })
      const port = await attachedPort(t, farm)
      const first = await visit({ port, ...only })
      now += 3500_000
      const second = await visit({
        port,
        session: first.sessions[0],
        ...only,
      } as VisitOptions)
      t.equal(second.reused, true)
      now += 101_000
      const late = await visit({
        port,
        session: first.sessions.at(-1),
        ...only,
      } as VisitOptions)
      t.equal(late.reused, false)
      if (version === 'TLSv1.2') return
      // The renewed ticket goes on for the lineage's time, and no longer.
      const renewed = await visit({
        port,
        session: second.sessions[0],
        ...only,
      } as VisitOptions)
      t.equal(renewed.reused, true)
      now += 3000_000
      const third = await visit({
        port,
        session: renewed.sessions[0],
        ...only,
      } as VisitOptions)
      t.equal(third.reused, true)
      now += 700_000
      const past = await visit({
        port,
        session: third.sessions[0],
        ...only,
      } as VisitOptions)
      t.equal(past.reused, false)
    },
  )

  t.test(
    `${version}: a revoked session makes a full handshake, others resume`,
    async t => {
      const farm = await farmOfOne(t)
      const port = await attachedPort(t, farm)
      const one = await visit({ port, ...only })
      const two = await visit({ port, ...only })
      const lineage = Buffer.from(told(one).lineage ?? '', 'hex')
      await farm.revoke({ lineage }, { reason: 'lost laptop' })
      const again = await visit({
        port,
        session: one.sessions[0],
        ...only,
      } as VisitOptions)
      t.match(told(again), { resumed: false, cause: 'revoked' })
      const other = await visit({
        port,
        session: two.sessions[0],
        ...only,
      } as VisitOptions)
      t.equal(other.reused, true)
      await farm.revoke({ all: true })
      const none = await visit({
        port,
        session: two.sessions.at(-1),
        ...only,
      } as VisitOptions)
      t.match(told(none), { resumed: false, cause: 'revoked' })
      const fresh = await visit({ port, ...only })
      const after = await visit({
        port,
        session: fresh.sessions[0],
        ...only,
      } as VisitOptions)
      t.equal(after.reused, true, 'handshakes after the revocation are not touched by it')
    },
  )

  t.test(
    `${version}: a client without certificate stays unauthorized when it resumes`,
    async t => {
      const farm = await farmOfOne(t)
      const port = await attachedPort(t, farm, {
        requestCert: true,
        rejectUnauthorized: false,
      })
      const first = await visit({ port, ...only })
      t.match(told(first), { clientAuthorized: false, authorized: false })
      const again = await visit({
        port,
        session: first.sessions[0],
        ...only,
      } as VisitOptions)
      t.equal(again.reused, true)
      t.match(told(again), { clientAuthorized: false, authorized: false })
    },
  )

  t.test(`${version}: a client with a good certificate stays authorized`, async t => {
    const farm = await farmOfOne(t)
    const client = await certificateFor('client')
    const options = { requestCert: true, ca: client.cert }
    const port = await attachedPort(t, farm, options)
    const first = await visit({ port, ...client, ...only })
    t.match(told(first), { clientAuthorized: true, authorized: true })
    const again = await visit({
      port,
      session: first.sessions[0],
      ...only,
    } as VisitOptions)
    t.equal(again.reused, true)
    t.match(told(again), { clientAuthorized: true, authorized: true })
  })

  t.test(`${version}: new client authorities end the old sessions`, async t => {
    const farm = await farmOfOne(t)
    const [old, fresh] = [
      await certificateFor('old client'),
      await certificateFor('new client'),
    ]
    const server = await tellingServer({ requestCert: true, ca: old.cert })
    farm.attach(server)
    const port = await listening(t, server)
    const first = await visit({ port, ...old, ...only })
    server.setSecureContext({ ...(await certificateFor('localhost')), ca: fresh.cert })
    await t.rejects(
      visit({ port, ...old, session: first.sessions[0], ...only } as VisitOptions),
      'its session is not resumed and its certificate is refused',
    )
    const other = await visit({ port, ...fresh, ...only })
    const again = await visit({
      port,
      ...fresh,
      session: other.sessions[0],
      ...only,
    } as VisitOptions)
    t.equal(again.reused, true, 'and the renewed server still shares its sessions')
  })
}

t.test('the client certificate of one name opens no door to another', async t => {
  const [ann, bob] = [await certificateFor('ann'), await certificateFor('bob')]
  const pair = await certificateFor('localhost')
  const strict = { ...pair, ca: bob.cert }
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    for (const attached of [false, true]) {
      const server = await tellingServer({ requestCert: true, ca: ann.cert })
      if (attached) (await farmOfOne(t)).attach(server)
      server.addContext('b.test', strict)
      const port = await listening(t, server)
      const only = { port, minVersion: version, maxVersion: version } as const
      await t.rejects(visit({ ...only, ...ann, servername: 'b.test' }))
      const first = await visit({ ...only, ...ann, servername: 'a.test' })
      const session = first.sessions[0]
      const crossing = visit({
        ...only,
        ...ann,
        servername: 'b.test',
        session,
      } as VisitOptions)
      if (attached) await t.rejects(crossing, `${version}: closed on an attached server`)
      else
        t.equal((await crossing).reused, true, `${version}: open on a bare Node server`)
    }
  }
})

t.test(
  'a hello that names a session and does not resume it inherits nothing',
  async t => {
    // A HelloRetryRequest, for one: OpenSSL asks for the session once, and the second hello
    // goes without. The identity is in clear on the wire, so naming it proves nothing.
    const farm = await farmOfOne(t)
    const port = await attachedPort(t, farm, { ecdhCurve: 'X25519' })
    const first = await visit({ port, ecdhCurve: 'X25519' })
    const session = first.sessions[0]
    const retried = await visit({
      port,
      session,
      ecdhCurve: 'P-256:X25519',
    } as VisitOptions)
    t.equal(retried.reused, false)
    t.match(told(retried), { resumed: false, cause: 'declined' })
    t.not(told(retried).lineage, told(first).lineage)
    t.ok(told(retried).originalAt >= told(first).originalAt)
    const again = await visit({ port, session: retried.sessions[0] } as VisitOptions)
    t.equal(told(again).lineage, told(retried).lineage, 'its own chain goes on')
  },
)

t.test('a server that pauses its connections resumes too', async t => {
  const farm = await farmOfOne(t)
  const server = await tellingServer({ pauseOnConnect: true })
  server.prependListener('secureConnection', socket => socket.resume())
  farm.attach(server)
  const port = await listening(t, server)
  const first = await visit({ port })
  t.equal(
    (await visit({ port, session: first.sessions[0] } as VisitOptions)).reused,
    true,
  )
})

t.test('detach leaves the server as it was', async t => {
  const farm = await farmOfOne(t)
  const server = await tellingServer()
  const seen: string[] = []
  server.on('connection', () => seen.push('mine'))
  const before = shapeOf(server)
  farm.attach(server)
  t.notSame(shapeOf(server), before)
  farm.detach(server)
  t.same(shapeOf(server), before)
  const port = await listening(t, server)
  const first = await visit({ port, maxVersion: 'TLSv1.3' })
  const again = await visit({ port, session: first.sessions[0] } as VisitOptions)
  t.equal(again.reused, true, "Node's own tickets work again")
  t.notMatch(again.body, 'resumed')
  t.same(seen, ['mine', 'mine'])
  farm.attach(server)
  server.setSecureContext(await certificateFor('localhost'))
  farm.detach(server)
  t.equal(
    Reflect.get(server, 'sessionIdContext'),
    Reflect.get(before.settings, 'sessionIdContext'),
  )
})

t.test('attach refuses what it can not serve', async t => {
  const farm = await farmOfOne(t)
  const usage = { code: 'ERR_HANDFAST_USAGE' }
  const server = await tellingServer()
  farm.attach(server)
  t.throws(() => farm.attach(server), usage, 'a server attached already')
  t.throws(() => farm.attach(createTcpServer() as Server), usage, 'a server without TLS')
  t.throws(() => farm.attach({} as Server), usage, 'no server at all')
  const busy = await tellingServer()
  busy.on('resumeSession', (_id, done) => done(null, null as unknown as Buffer))
  t.throws(() => farm.attach(busy), usage, 'a server with a session cache of its own')
  const pair = await certificateFor('localhost')
  const opaque = createTlsServer({
    ...pair,
    requestCert: true,
    SNICallback: (_n, done) => done(null),
  })
  t.throws(() => farm.attach(opaque), usage, 'client certificates behind an SNICallback')
  t.same(opaque.listenerCount('newSession'), 0, 'and nothing is left on it')
  farm.attach(opaque, { policyOf: name => name })
  const late = await tellingServer({ requestCert: true })
  late.addContext('b.test', pair)
  t.throws(
    () => farm.attach(late),
    usage,
    'client certificates behind an earlier addContext',
  )
})

t.test('an HTTP/2 server resumes, and its requests know of it', async t => {
  const farm = await farmOfOne(t)
  const pair = await certificateFor('localhost')
  const server = createSecureServer(
    { ...pair, allowHTTP1: true },
    (request, response) => {
      response.end(String(farm.handshake(request.socket)?.resumed))
    },
  )
  farm.attach(server)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as { port: number }
  const { connect } = await import('node:http2')
  const ask = async (session?: Buffer) => {
    const client = connect(`https://localhost:${port}`, {
      rejectUnauthorized: false,
      ...(session === undefined ? {} : { session }),
    })
    const sessions: Buffer[] = []
    client.once('connect', (_session, socket) => {
      socket.on('session', (ticket: Buffer) => sessions.push(ticket))
    })
    const request = client.request({ ':path': '/' })
    let body = ''
    for await (const chunk of request) body += chunk
    client.close()
    return { body, sessions }
  }
  const first = await ask()
  t.equal(first.body, 'false')
  t.equal((await ask(first.sessions.at(-1))).body, 'local')
})

t.test('a tls server that hands its sockets to an http server resumes', async t => {
  const farm = await farmOfOne(t)
  const pair = await certificateFor('localhost')
  const http = createHttpServer((request, response) => {
    response.end(String(farm.handshake(request.socket)?.resumed))
  })
  const context = createSecureContext(pair)
  const server = createTlsServer({
    ...pair,
    SNICallback: (_n, done) => done(null, context),
  })
  server.on('secureConnection', socket => http.emit('connection', socket))
  farm.attach(server)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as { port: number }
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    const first = await visit({ port, maxVersion })
    const session = first.sessions[0]
    const again = await visit({ port, session, maxVersion } as VisitOptions)
    t.match(again, { reused: true, body: /local/ }, maxVersion)
  }
  farm.detach(server)
  t.equal(http.listenerCount('newSession'), 0)
})

t.test(
  'a connection that never says hello is ended, and nothing is left of it',
  async t => {
    const farm = await farmOfOne(t, { helloTimeout: 100 })
    const server = await tellingServer()
    farm.attach(server)
    const port = await listening(t, server)
    const silent = tcpConnect(port, '127.0.0.1')
    const drip = tcpConnect(port, '127.0.0.1')
    drip.write(Buffer.from([22, 3, 1]))
    const gone = tcpConnect(port, '127.0.0.1')
    gone.on('connect', () => gone.resetAndDestroy())
    await Promise.all([once(silent, 'close'), once(drip, 'close'), once(gone, 'close')])
    const http = tcpConnect(port, '127.0.0.1')
    http.write('GET / HTTP/1.1\r\n\r\n')
    http.on('error', () => {})
    await once(http, 'close')
    const zeros = tcpConnect(port, '127.0.0.1')
    zeros.write(Buffer.alloc(16_384))
    zeros.on('error', () => {})
    await once(zeros, 'close')
    t.equal(farm.stats().handshakes.failed, 5)
    t.match(await visit({ port }), { reused: false }, 'and the server still serves')
  },
)

function shapeOf(server: Server) {
  const settings: { [name: string]: unknown } = {}
  for (const name of Object.getOwnPropertyNames(server)) {
    if (!name.startsWith('_events')) settings[name] = Reflect.get(server, name)
  }
  const listeners = Object.fromEntries(
    server.eventNames().map(name => [name, server.rawListeners(name)]),
  )
  return { settings, listeners }
}
