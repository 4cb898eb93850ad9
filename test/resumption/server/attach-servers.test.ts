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
import {
  attachedPort,
  farmOfOne,
  sourceOf,
  told,
  versions,
  ways,
} from '../../fixtures/resumption/world.ts'
import { type VisitOptions, visit } from '../../fixtures/tls/client.ts'
import { certificateFor, listening, tellingServer } from '../../fixtures/tls/servers.ts'

t.test(
  'a hello that names a session and does not resume it inherits nothing',
  async t => {
    // On a Node that does not tell of bytes sent, TLS asks for a second hello, and that goes
    // without. The identity is in clear on the wire, so naming it proves nothing.
    const farm = await farmOfOne(t)
    const server = await tellingServer({ ecdhCurve: 'X25519' })
    server.on('connection', socket => {
      const handle = Reflect.get(socket, '_handle')
      Object.defineProperty(handle, 'bytesWritten', { value: undefined })
    })
    farm.attach(server, { resumption: 'stateful' })
    const port = await listening(t, server)
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

for (const way of ways)
  t.test(`${way}: a server that pauses its connections resumes too`, async t => {
    const farm = await farmOfOne(t)
    const server = await tellingServer({ pauseOnConnect: true })
    server.prependListener('secureConnection', socket => socket.resume())
    farm.attach(server, { resumption: way })
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

for (const way of ways)
  t.test(`${way}: an HTTP/2 server resumes, and its requests know of it`, async t => {
    const farm = await farmOfOne(t)
    const pair = await certificateFor('localhost')
    const server = createSecureServer(
      { ...pair, allowHTTP1: true },
      (request, response) => {
        response.end(String(farm.handshake(request.socket)?.resumed))
      },
    )
    farm.attach(server, { resumption: way })
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
    t.equal((await ask(first.sessions.at(-1))).body, sourceOf('TLSv1.3', way))
  })

for (const way of ways)
  t.test(
    `${way}: a tls server that hands its sockets to an http server resumes`,
    async t => {
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
      farm.attach(server, { resumption: way })
      server.listen(0, '127.0.0.1')
      await once(server, 'listening')
      t.teardown(() => server.close())
      const { port } = server.address() as { port: number }
      for (const maxVersion of versions) {
        const first = await visit({ port, maxVersion })
        const session = first.sessions[0]
        const again = await visit({ port, session, maxVersion } as VisitOptions)
        t.match(again, { reused: true, body: sourceOf(maxVersion, way) }, maxVersion)
      }
      farm.detach(server)
      t.equal(http.listenerCount('newSession'), 0)
    },
  )

for (const way of ways)
  t.test(
    `${way}: listeners of the owner see their server, and no stand-in for it`,
    async t => {
      const farm = await farmOfOne(t)
      const server = await tellingServer()
      farm.attach(server, { resumption: way })
      const seen = new Set<string>()
      const see = (name: string, source: unknown) =>
        seen.add(`${name} ${source === server ? 'of the server' : 'of something else'}`)
      server.on('connection', function (this: unknown) {
        see('connection', this)
      })
      server.on('newSession', function (this: unknown, _id, _session, done) {
        see('newSession', this)
        done()
      })
      server.on('secureConnection', function (this: unknown, socket) {
        see('secureConnection', this)
        see('socket', Reflect.get(socket, 'server'))
      })
      server.on('tlsClientError', function (this: unknown) {
        see('tlsClientError', this)
      })
      const port = await listening(t, server)
      await visit({ port })
      const stranger = tcpConnect(port, '127.0.0.1')
      stranger.on('error', () => {})
      stranger.write('no hello at all')
      await once(stranger, 'close')
      t.same([...seen].sort(), [
        'connection of the server',
        ...(way === 'auto' ? [] : ['newSession of the server']),
        'secureConnection of the server',
        'socket of the server',
        'tlsClientError of the server',
      ])
    },
  )

for (const way of ways)
  t.test(
    `${way}: many handshakes at once do not take each other for their own`,
    async t => {
      const farm = await farmOfOne(t)
      const port = await attachedPort(t, farm, {}, { resumption: way })
      for (const maxVersion of versions) {
        const all = Array.from({ length: 40 })
        const firsts = await Promise.all(all.map(() => visit({ port, maxVersion })))
        const lineages = firsts.map(first => told(first).lineage)
        t.equal(new Set(lineages).size, all.length, `${maxVersion}: one lineage each`)
        const agains = await Promise.all(
          firsts.map(({ sessions: [session] }) =>
            visit({ port, session, maxVersion } as VisitOptions),
          ),
        )
        t.ok(agains.every(({ reused }) => reused))
        t.same(
          agains.map(again => told(again).lineage),
          lineages,
          'and each goes on with its own',
        )
      }
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
