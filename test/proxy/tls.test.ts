import { once } from 'node:events'
import { createServer, request as plainRequest } from 'node:http'
import { connect as http2Connect } from 'node:http2'
import {
  Agent,
  createServer as createHttps,
  type RequestOptions,
  request,
} from 'node:https'
import type { AddressInfo } from 'node:net'
import { type ConnectionOptions, connect, type Server, type TLSSocket } from 'node:tls'
import t from 'tap'
import type { AttachOptions, Site } from '../../lib/proxy/options.ts'
import { setHandshake } from '../../lib/resumption/handshake.ts'
import {
  authority,
  clientOf,
  makePair,
  p256,
  rsa,
  serverOf,
} from '../fixtures/certificates.ts'
import { rawConnection } from '../fixtures/proxy-raw.ts'
import {
  defaultSite,
  startBackend,
  startProxy,
  until,
} from '../fixtures/proxy-servers.ts'

interface Answer {
  readonly status: number
  readonly body: string
  readonly name: string
}

/** A request under a server name, to a host that may be another one. */
async function ask(
  port: number,
  host: string,
  options: RequestOptions & { session?: Buffer } = {},
): Promise<Answer> {
  const sent = request({
    host: '127.0.0.1',
    port,
    servername: host,
    rejectUnauthorized: false,
    agent: false,
    ...options,
    headers: { host, ...options.headers },
  })
  sent.end()
  const [response] = await once(sent, 'response')
  // A resumed client of TLS 1.2 has not seen the certificate again.
  const name = response.socket.getPeerCertificate().subject?.CN ?? ''
  let body = ''
  for await (const chunk of response) body += chunk
  return { status: response.statusCode, body, name }
}

const backend = await startBackend(t, (q, r) =>
  r.end(JSON.stringify({ host: q.headers.host, certificate: q.headers['client-cert'] })),
)
const backends = [backend.url]
const ca = await authority('Clients of B')
const otherCa = await authority('Clients of C')
const ann = await clientOf('Clients of B', 'ann')
const bob = await clientOf('Clients of C', 'bob')

async function site(name: string, more: Partial<Site> = {}): Promise<Site> {
  return { names: [name], backends, ...(await p256(name)), ...more }
}

t.test(
  'each name shows its own certificate, wildcards and the default included',
  async t => {
    const { port } = await startProxy(t, {
      sites: [await site('a.test'), await site('*.b.test'), await defaultSite(backends)],
    })
    t.equal((await ask(port, 'a.test')).name, 'a.test')
    t.equal((await ask(port, 'A.Test')).name, 'a.test')
    t.equal((await ask(port, 'x.b.test')).name, '*.b.test')
    t.equal((await ask(port, 'x.y.b.test')).name, 'localhost', 'a star is one label')
    t.equal((await ask(port, 'unknown.test')).name, 'localhost')
    t.equal((await ask(port, '')).name, 'localhost', 'no SNI')
  },
)

t.test('RSA and P-256 side by side: never the certificate of another name', async t => {
  const { port } = await startProxy(t, {
    sites: [
      { names: ['r.test'], backends, ...(await rsa('r.test')) },
      await defaultSite(backends),
    ],
  })
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    t.equal((await ask(port, 'r.test', { maxVersion })).name, 'r.test', maxVersion)
    t.equal((await ask(port, 'x.test', { maxVersion })).name, 'localhost', maxVersion)
  }
})

t.test('a host without site: 421', async t => {
  const { port } = await startProxy(t, { sites: [await site('a.test')] })
  t.equal((await ask(port, 'a.test')).status, 200)
  t.equal((await ask(port, 'a.test.')).status, 200, 'a dot at the end names the same')
  t.equal((await ask(port, 'b.test')).status, 421)
})

const policies = async (): Promise<Site[]> => [
  await site('open.test'),
  await site('also-open.test'),
  await site('maybe.test', { clientCa: ca.cert, clientCertificate: 'optional' }),
  await site('b.test', { clientCa: ca.cert, clientCertificate: 'required' }),
  await site('b2.test', { clientCa: ca.cert, clientCertificate: 'required' }),
  await site('c.test', { clientCa: otherCa.cert, clientCertificate: 'required' }),
]

t.test('client certificates: who gets in where', async t => {
  const { port, log } = await startProxy(t, { sites: await policies() })
  const cases: [name: string, who: string, options: RequestOptions, status: number][] = [
    ['open.test', 'nobody', {}, 200],
    ['open.test', 'ann', ann, 200],
    ['maybe.test', 'nobody', {}, 200],
    ['maybe.test', 'bob, of another authority', bob, 200],
    ['b.test', 'ann', ann, 200],
    ['b.test', 'nobody', {}, 403],
    ['b.test', 'bob, of another authority', bob, 403],
    ['c.test', 'bob', bob, 200],
    ['c.test', 'ann', ann, 403],
  ]
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    for (const [name, who, options, status] of cases) {
      const answer = await ask(port, name, { ...options, maxVersion })
      t.equal(answer.status, status, `${who} at ${name} over ${maxVersion}: ${status}`)
    }
  }
  await until(() => log.requests.length === 2 * cases.length)
  t.match(
    log.requests.filter(line => line['status'] === 403),
    Array(6).fill({ phase: 'route', backend: undefined }),
  )
})

t.test('the backend gets the certificate that was proved, and no other', async t => {
  const { port } = await startProxy(t, { sites: await policies() })
  const der = Buffer.from(ann.cert.replace(/-----[^-]+-----|\s/g, ''), 'base64').toString(
    'base64',
  )
  const seen = async (name: string, options: RequestOptions) =>
    JSON.parse((await ask(port, name, options)).body).certificate
  t.equal(await seen('b.test', ann), `:${der}:`)
  t.equal(await seen('maybe.test', ann), `:${der}:`)
  t.equal(await seen('maybe.test', bob), undefined)
  t.equal(await seen('maybe.test', {}), undefined)
  t.equal(await seen('open.test', ann), undefined)
  const forged = { headers: { 'Client-Cert': ':AA==:', 'Client-Cert-Chain': ':AA==:' } }
  t.equal(await seen('maybe.test', forged), undefined)
})

t.test('421 when a request leaves the policy its connection was made under', async t => {
  const { port } = await startProxy(t, { sites: await policies() })
  const cases: [sni: string, host: string, status: number][] = [
    ['open.test', 'also-open.test', 200],
    ['open.test', 'b.test', 421],
    ['open.test', 'maybe.test', 421],
    ['maybe.test', 'b.test', 421],
    ['b.test', 'b2.test', 200],
    ['b.test', 'c.test', 421],
    ['b.test', 'open.test', 421],
  ]
  for (const [sni, host, status] of cases) {
    const answer = await ask(port, sni, { ...ann, headers: { host } })
    t.equal(answer.status, status, `HTTP/1.1: ${sni} then ${host}`)
    const session = http2Connect(`https://${sni}:${port}`, {
      ...ann,
      rejectUnauthorized: false,
      createConnection: () =>
        connect({
          ...ann,
          host: '127.0.0.1',
          port,
          servername: sni,
          ALPNProtocols: ['h2'],
          rejectUnauthorized: false,
        }),
    })
    const stream = session.request({ ':path': '/', ':authority': host })
    stream.resume()
    const [fields] = await once(stream, 'response')
    t.equal(fields[':status'], status, `HTTP/2: ${sni} then ${host}`)
    await once(stream, 'close')
    t.notOk(session.closed, 'the connection is still good for its own name')
    session.close()
  }
})

t.test(
  'a resumed connection is as trusted as its record says, never as its socket',
  async t => {
    // Stands in for the farm: a record that says who was behind the first handshake.
    let record: boolean | undefined
    const sessions = {
      attach(server: Server) {
        server.on('secureConnection', (socket: TLSSocket) => {
          if (record === undefined || !socket.isSessionReused()) return
          setHandshake(socket, {
            serverName: 'b.test',
            protocol: socket.getProtocol() ?? '',
            resumed: 'local',
            cause: undefined,
            lineage: undefined,
            originalAt: 0,
            clientAuthorized: record,
          })
        })
      },
      detach() {},
    }
    const { port, log } = await startProxy(t, { sites: await policies(), sessions })
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      const options = { minVersion: version, maxVersion: version }
      const session = await sessionOf(port, 'b.test', options)
      for (const [said, status] of [
        // TLS 1.2 does not even know any more which name it was.
        [undefined, version === 'TLSv1.2' ? 421 : 403],
        [false, 403],
        [true, 200],
      ] as const) {
        record = said
        const answer = await ask(port, 'b.test', { ...options, session })
        t.equal(answer.status, status, `${version}: the record says ${said}`)
      }
    }
    await until(() => log.requests.length >= 6)
    t.match(log.requests.at(-1), { resumed: 'local' })
  },
)

/** A session made without a client certificate. */
async function sessionOf(
  port: number,
  servername: string,
  options: ConnectionOptions,
): Promise<Buffer> {
  const socket = connect({
    host: '127.0.0.1',
    port,
    servername,
    rejectUnauthorized: false,
    ...options,
  })
  const [session] = await once(socket, 'session')
  socket.destroy()
  return session
}

t.test('reload: new certificates and sites, and no connection is dropped', async t => {
  const attached: AttachOptions[] = []
  const sessions = {
    attach: (_server: Server, options: AttachOptions) => void attached.push(options),
    detach() {},
  }
  const first = await site('a.test')
  const gone = await site('gone.test')
  const { proxy, port } = await startProxy(t, {
    sites: [first, gone, await defaultSite(backends)],
    sessions,
  })
  const { policyOf } = attached[0] as AttachOptions
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  t.teardown(() => agent.destroy())
  t.equal((await ask(port, 'a.test', { agent })).status, 200)
  t.equal((await ask(port, 'gone.test')).name, 'gone.test')
  const before = [policyOf('a.test'), policyOf('gone.test'), policyOf('')]

  const second = await startBackend(t, (_q, r) => r.end('"second"'))
  const renewed = {
    ...first,
    ...(await makePair(['a.test'], {})),
    backends: [second.url],
  }
  proxy.reload({ sites: [renewed, await defaultSite(backends)] })

  const kept = await ask(port, 'a.test', { agent })
  t.equal(kept.body, '"second"', 'an open connection reaches the new backend')
  t.equal(proxy.stats().connections, 1, 'and is the same connection')
  t.equal((await ask(port, 'gone.test')).name, 'localhost', 'a removed site is gone')
  t.notSame(
    policyOf('a.test'),
    before[0],
    'sessions of the old certificate do not resume',
  )
  t.equal(policyOf('gone.test'), before[2])
  t.equal(policyOf(''), before[2], 'those of an unchanged site do')

  t.throws(() => proxy.reload({ sites: [{ ...first, key: gone.key }] }), {
    code: 'ERR_HANDFAST_CONFIG',
    message: /a\.test/,
  })
  t.throws(() => proxy.reload({ sites: [] }), /sites/)
  const secret = { ...first, backends: ['ftp://u:pass@x'] }
  t.throws(() => proxy.reload({ sites: [secret] }), {
    message: /^(?!.*pass).*backend/,
  })
  t.equal((await ask(port, 'a.test')).body, '"second"', 'a bad reload changes nothing')
})

t.test('reload of the demand for certificates binds open connections too', async t => {
  const open = await site('a.test')
  const { proxy, port } = await startProxy(t, { sites: [open] })
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  t.teardown(() => agent.destroy())
  t.equal((await ask(port, 'a.test', { agent })).status, 200)
  proxy.reload({ sites: [{ ...open, clientCa: ca.cert, clientCertificate: 'required' }] })
  t.equal((await ask(port, 'a.test', { agent })).status, 421, 'made under another policy')
  t.equal((await ask(port, 'a.test')).status, 403)
  t.equal((await ask(port, 'a.test', ann)).status, 200, 'new connections are asked')
})

t.test(
  'drain: open requests finish, idle connections end, new ones are refused',
  async t => {
    const slow = await startBackend(t, (q, r) => {
      if (q.url === '/slow') setTimeout(() => r.end('slow'), 300)
      else r.end('quick')
    })
    const { proxy, port, url } = await startProxy(t, { backends: [slow.url] })
    const idle = await rawConnection(port)
    idle.resume().write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    await once(idle, 'data')
    const busy = await rawConnection(port)
    let answer = ''
    busy.on('data', chunk => {
      answer += chunk
    })
    busy.write('GET /slow HTTP/1.1\r\nHost: a\r\n\r\n')
    const session = http2Connect(url, { rejectUnauthorized: false })
    const stream = session.request({ ':path': '/slow' })
    let body = ''
    stream.on('data', chunk => {
      body += chunk
    })
    await until(() => slow.requests.length === 3)

    const goaway = once(session, 'goaway')
    const ended = [once(idle, 'close'), once(busy, 'close'), once(session, 'close')]
    const drained = proxy.drain()
    await goaway
    const refused = await rawConnection(port).catch((error: Error) => error)
    t.ok(refused instanceof Error)
    await Promise.all(ended)
    await drained
    t.match(answer, /Connection: close\r\n[\s\S]*slow$/)
    t.equal(body, 'slow')
    t.equal(proxy.stats().connections, 0)
    await proxy.drain()
    await proxy.close()
  },
)

t.test('drain gives up on what takes too long', async t => {
  const mute = await startBackend(t, () => {})
  const backends = [mute.url]
  const patient = await startProxy(t, { backends })
  const { proxy, port } = await startProxy(t, { backends, limits: { drainTimeout: 200 } })
  const sockets = await Promise.all([patient.port, port].map(port => rawConnection(port)))
  for (const socket of sockets) {
    socket.resume().write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  }
  await until(() => mute.requests.length === 2)
  let drained = false
  const draining = patient.proxy.drain().then(() => {
    drained = true
  })
  const closed = once(sockets[1] as TLSSocket, 'close')
  await proxy.drain()
  await closed
  await until(() => mute.sockets.size === 1)
  t.notOk(drained, 'with the usual time it is still waited for')
  sockets[0]?.destroy()
  await draining
  await until(() => mute.sockets.size === 0)
})

t.test(
  'TLS to a backend: under its own name, checked, never under that of a client',
  async t => {
    const inside = await authority('Inside')
    const names: unknown[] = []
    const pair = await serverOf('Inside', 'localhost')
    const server = createHttps(pair, (q, r) => r.end(`inside ${q.headers.host}`))
    server.on('secureConnection', socket => names.push(socket.servername))
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    t.teardown(() => {
      server.closeAllConnections()
      server.close()
    })
    const { port: backendPort } = server.address() as AddressInfo
    const answers = async (host: string, backendCa: string | undefined) => {
      const { port } = await startProxy(t, {
        sites: [
          { ...(await defaultSite([`https://${host}:${backendPort}`])), backendCa },
        ],
      })
      return [await ask(port, 'x.test'), await ask(port, 'y.test')]
    }
    t.match(await answers('localhost', inside.cert), [
      { status: 200, body: 'inside x.test' },
      { status: 200, body: 'inside y.test' },
    ])
    t.strictSame(names, ['localhost'], 'one connection for both hosts')
    t.match(await answers('127.0.0.1', inside.cert), [{ status: 200 }, { status: 200 }])
    t.strictSame(names, ['localhost', false])
    t.match(await answers('localhost', undefined), [{ status: 502 }, { status: 502 }])
    const wrong = await serverOf('Inside', 'elsewhere.test')
    server.setSecureContext(wrong)
    server.closeAllConnections()
    t.match(await answers('localhost', inside.cert), [{ status: 502 }, { status: 502 }])
  },
)

t.test('options that make no sense are named', async t => {
  const good = await site('a.test')
  const bad: [Partial<Site>[], RegExp][] = [
    [[{ ...good, names: ['a b'] }], /a b/],
    [[good, good], /a\.test/],
    [
      [
        { ...good, names: [] },
        { ...good, names: [] },
      ],
      /without names/,
    ],
    [[{ ...good, clientCertificate: 'required' }], /clientCa/],
    [[{ ...good, cert: 'no PEM' }], /a\.test/],
    [[{ ...good, backends: ['127.0.0.1:80'] }], /backend/],
    [[{ ...good, backends: ['http://127.0.0.1/path'] }], /backend/],
  ]
  for (const [sites, message] of bad) {
    await t.rejects(startProxy(t, { sites: sites as Site[] }), {
      code: 'ERR_HANDFAST_CONFIG',
      message,
    })
  }
  await t.rejects(
    startProxy(t, { sites: [good], trustedProxies: ['10.0.0.0/99'] }),
    /10\.0/,
  )
  const taken = createServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  t.teardown(() => taken.close())
  const { port } = taken.address() as AddressInfo
  await t.rejects(startProxy(t, { sites: [good], port }), { code: 'EADDRINUSE' })
  plainRequest({ port, method: 'HEAD' })
    .on('error', () => {})
    .destroy()
})
