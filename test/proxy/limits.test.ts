import { once } from 'node:events'
import { connect } from 'node:http2'
import { createServer, connect as netConnect } from 'node:net'
import t from 'tap'
import { systemClock } from '../../lib/clock.ts'
import { LimitCounters } from '../../lib/limit/limit-counters.ts'
import { silentLog } from '../../lib/log.ts'
import { limitRules, resolveLimits } from '../../lib/proxy/limits.ts'
import {
  RawHttp2,
  rawConnection,
  rawExchange,
  statusesOf,
} from '../fixtures/proxy/raw.ts'
import { startBackend, startProxy } from '../fixtures/proxy/servers.ts'
import { until } from '../fixtures/until.ts'

const backend = await startBackend(t, (request, response) => {
  request.resume()
  if (request.url === '/mute') return
  if (request.url === '/stuck') {
    response.write('some')
    return
  }
  if (request.url === '/late') setTimeout(() => response.end('late'), 100)
  else request.on('end', () => response.end(`got ${request.url}`))
})
const backends = [backend.url]
const get = (path: string) =>
  `GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`

t.test('a header section that does not come in time: 408', async t => {
  const { port, log } = await startProxy(t, { backends, limits: { headersTimeout: 300 } })
  t.match(statusesOf(await rawExchange(port, 'GET / HTTP/1.1\r\nHost: a\r\nX-')), [408])
  t.match(statusesOf(await rawExchange(port, '')), [408], 'nor one that never begins')
  await until(() => log.requests.length === 2)
  t.match(log.requests, [{ status: 408, phase: 'receive' }, { status: 408 }])
})

t.test('a body that stops: 408, and the backend is let go', async t => {
  const { port } = await startProxy(t, { backends, limits: { bodyTimeout: 200 } })
  const answer = await rawExchange(
    port,
    'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhello',
  )
  t.match(statusesOf(answer), [408])
  await until(() => backend.requests.at(-1)?.socket.destroyed === true)
  t.equal(backend.requests.at(-1)?.complete, false)

  const client = new RawHttp2(await rawConnection(port, { protocol: 'h2' }))
  const fields: [string, string][] = [
    [':method', 'POST'],
    [':scheme', 'https'],
    [':authority', 'a'],
    [':path', '/'],
  ]
  client.request(fields, 'hello', false)
  await until(() => client.verdict !== undefined)
  t.equal(client.verdict, 'other')
  client.socket.destroy()
})

t.test('an idle connection is closed after its time', async t => {
  // Beside the same with the usual time: else whatever closes connections would do.
  const limits = [{ idleTimeout: 200 }, {}]
  const [short, usual] = await Promise.all(
    limits.map(async limits => {
      const { port, url, proxy } = await startProxy(t, { backends, limits })
      const socket = await rawConnection(port)
      socket.resume().write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
      const session = connect(url, { rejectUnauthorized: false })
      session.on('error', () => {})
      session
        .request({ ':path': '/' })
        .on('error', () => {})
        .resume()
      const closed = Promise.all([once(socket, 'close'), once(session, 'close')])
      return { proxy, socket, session, closed }
    }),
  )
  await short?.closed
  await until(() => short?.proxy.stats().connections === 0)
  t.equal(usual?.socket.closed, false)
  t.equal(usual?.session.closed, false)
  usual?.socket.destroy()
  usual?.session.destroy()
})

t.test('a client that stops reading is given up', async t => {
  const flood = await startBackend(t, (_request, response) => {
    response.on('error', () => {})
    const more = () => {
      while (!response.destroyed && response.write(Buffer.alloc(65_536)));
    }
    response.on('drain', more)
    more()
  })
  const { port, log } = await startProxy(t, {
    backends: [flood.url],
    limits: { bodyTimeout: 300 },
  })
  const socket = await rawConnection(port)
  socket.write(get('/'))
  socket.pause()
  await until(() => log.requests.length === 1)
  t.match(log.requests[0], { error: 'client-timeout' })
  socket.destroy()
})

t.test('a handshake that does not come is given up', async t => {
  const usual = await startProxy(t, { backends })
  const patient = netConnect(usual.port, '127.0.0.1').resume()
  await once(patient, 'connect')
  const { port, proxy } = await startProxy(t, {
    backends,
    limits: { headersTimeout: 300 },
  })
  for (const text of ['', '\x16\x03\x01\x02\0\x01']) {
    const silent = netConnect(port, '127.0.0.1').resume()
    silent.on('error', () => {}).write(text, 'latin1')
    await once(silent, 'close')
  }
  await until(() => proxy.stats().connections === 0)
  t.equal(patient.closed, false, 'it is not that nobody may be silent for a moment')
  patient.destroy()
})

t.test('a header section that is too long: 431', async t => {
  const { port, url } = await startProxy(t, {
    backends,
    limits: { maxHeaderBytes: 2_048 },
  })
  const long = 'x'.repeat(2_100)
  t.match(
    statusesOf(
      await rawExchange(port, `GET / HTTP/1.1\r\nHost: a\r\nX-L: ${long}\r\n\r\n`),
    ),
    [431],
  )
  const many = 'a:\r\n'.repeat(1_500)
  t.match(
    statusesOf(
      await rawExchange(
        port,
        `GET / HTTP/1.1\r\nHost: a\r\n${many}Connection: close\r\n\r\n`,
      ),
    ),
    [431],
  )
  const session = connect(url, { rejectUnauthorized: false })
  const stream = session.request({ ':path': '/', 'x-l': long })
  const [fields] = await once(stream, 'response')
  t.equal(fields[':status'], 431)
  stream.close()
  session.close()
})

t.test('Node would drop the 1 001st field without a word; here none is lost', async t => {
  const { port } = await startProxy(t, { backends })
  const many = Array.from({ length: 1_200 }, (_, i) => `a${i}:1\r\n`).join('')
  await rawExchange(port, `GET / HTTP/1.1\r\n${many}Host: a\r\nHost: b\r\n\r\n`).then(
    answer => t.match(statusesOf(answer), [400], 'the second Host is seen'),
  )
})

t.test('a body that is too long: 413', async t => {
  const { port, url } = await startProxy(t, { backends, limits: { maxBodyBytes: 1_000 } })
  const post = 'POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n'
  const body = 'x'.repeat(1_001)
  const seen = backend.requests.length
  t.match(
    statusesOf(await rawExchange(port, `${post}Content-Length: 1001\r\n\r\n${body}`)),
    [413],
  )
  t.equal(backend.requests.length, seen, 'known from the start: no backend is asked')
  t.match(
    statusesOf(
      await rawExchange(
        port,
        `${post}Transfer-Encoding: chunked\r\n\r\n3e9\r\n${body}\r\n0\r\n\r\n`,
      ),
    ),
    [413],
  )
  t.match(
    statusesOf(
      await rawExchange(port, `${post}Content-Length: 1000\r\n\r\n${body.slice(1)}`),
    ),
    [200],
  )
  const session = connect(url, { rejectUnauthorized: false })
  const stream = session.request({ ':path': '/', ':method': 'POST' })
  stream.on('error', () => {})
  stream.end(body)
  const [fields] = await once(stream, 'response')
  t.equal(fields[':status'], 413)
  session.destroy()
})

t.test(
  'a backend that is slow to answer: 504; one that stops midway: broken off',
  async t => {
    const slow = await startProxy(t, { backends, limits: { backendHeadersTimeout: 300 } })
    const mute = await rawExchange(slow.port, get('/mute'))
    t.match(statusesOf(mute), [504])
    t.match(mute, /\r\n\r\n504 Gateway Timeout\n$/)
    await until(() => slow.log.requests.length === 1)
    const late = { status: 504, error: 'UND_ERR_HEADERS_TIMEOUT', phase: 'forward' }
    t.match(slow.log.requests, [late])

    const broken = await startProxy(t, { backends, limits: { backendBodyTimeout: 300 } })
    const stuck = await rawExchange(broken.port, get('/stuck'))
    t.match(statusesOf(stuck), [200])
    t.notMatch(stuck, /\r\n0\r\n\r\n$/, 'not ended as if it were whole')
    await until(() => broken.log.requests.length === 1)
    const cut = { status: 200, error: 'UND_ERR_BODY_TIMEOUT', phase: 'respond' }
    t.match(broken.log.requests, [cut])
  },
)

t.test(
  'a backend that refuses: 502; that talks nonsense: 502; none at all: 503',
  async t => {
    const nonsense = createServer(socket => {
      socket.on('error', () => {})
      socket.once('data', () => socket.end('SSH-2.0-nope\r\n'))
    }).listen(0, '127.0.0.1')
    await once(nonsense, 'listening')
    t.teardown(() => nonsense.close())
    const { port: strange } = nonsense.address() as { port: number }
    const expected: [string[], number][] = [
      [['http://127.0.0.1:1'], 502],
      [[`http://127.0.0.1:${strange}`], 502],
      [[], 503],
    ]
    for (const [list, status] of expected) {
      const { port } = await startProxy(t, { backends: list })
      const answer = await rawExchange(port, get('/'))
      t.match(statusesOf(answer), [status])
      t.match(answer, /content-type: text\/plain/i)
      t.notMatch(answer, /127\.0\.0\.1/, 'nothing of the inside is told')
    }
  },
)

t.test('a backend that is busy: 503', async t => {
  const { port, proxy } = await startProxy(t, {
    backends,
    limits: { maxBackendRequests: 1 },
  })
  const first = await rawConnection(port)
  const seen = backend.requests.length
  first.write(get('/mute'))
  await until(() => backend.requests.length > seen)
  t.match(statusesOf(await rawExchange(port, get('/'))), [503])
  first.destroy()
  await until(() => proxy.stats().connections === 0)
  await until(() => backend.requests[seen]?.socket.destroyed === true)
  t.match(statusesOf(await rawExchange(port, get('/'))), [200], 'and free again')
})

t.test(
  'a limit is met by who is turned away, not by who is served elsewhere',
  async t => {
    const other = await startBackend(t, (_request, response) => response.end('other'))
    const third = await startBackend(t, (_request, response) => response.flushHeaders())
    const limits = { maxBackendRequests: 1 }
    const { port, log } = await startProxy(t, {
      backends: [third.url, other.url],
      limits,
    })
    const met = () => log.lines.filter(({ message }) => message === 'a limit was met')
    const first = await rawConnection(port)
    first.write(get('/'))
    await until(() => third.requests.length === 1)
    for (let i = 0; i < 4; i++) {
      t.match(statusesOf(await rawExchange(port, get('/'))), [200])
    }
    t.equal(third.requests.length, 1)
    t.strictSame(met(), [])
    first.destroy()
  },
)

t.test('who finds all backends busy is counted once', async t => {
  const mute = () => startBackend(t, () => {})
  const [one, two] = [await mute(), await mute()]
  const counters = new LimitCounters(systemClock, silentLog)
  const { port } = await startProxy(t, {
    backends: [one.url, two.url],
    limits: { maxBackendRequests: 1 },
    limitCounters: counters,
  })
  const held = [await rawConnection(port), await rawConnection(port)]
  for (const socket of held) socket.write(get('/'))
  await until(() => one.requests.length + two.requests.length === 2)
  t.match(statusesOf(await rawExchange(port, get('/'))), [503])
  t.strictSame(counters.snapshot(), { 'limits.maxBackendRequests': 1 })
  for (const socket of held) socket.destroy()
})

t.test('more connections than allowed are not taken', async t => {
  const { port } = await startProxy(t, { backends, limits: { maxConnections: 1 } })
  const first = await rawConnection(port)
  const second = await rawConnection(port).catch((error: Error) => error)
  t.ok(second instanceof Error)
  first.destroy()
})

t.test(
  'requests sent ahead are answered in order, one at a time, up to a bound',
  async t => {
    const { port } = await startProxy(t, { backends })
    const seen = backend.requests.length
    const answer = await rawExchange(
      port,
      `GET /late HTTP/1.1\r\nHost: a\r\n\r\nGET /soon HTTP/1.1\r\nHost: a\r\n\r\n${get('/last')}`,
    )
    t.strictSame(statusesOf(answer), [200, 200, 200])
    t.ok(answer.indexOf('late') < answer.indexOf('got /soon'))
    t.ok(answer.indexOf('got /soon') < answer.indexOf('got /last'))
    t.strictSame(
      backend.requests.slice(seen).map(request => request.url),
      ['/late', '/soon', '/last'],
    )
    const flood = 'GET /mute HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(300)
    const before = backend.requests.length
    t.equal(await rawExchange(port, flood), '')
    t.ok(backend.requests.length - before <= 1, 'the backend hears of one at most')
  },
)

t.test('limits that make no sense are named', t => {
  for (const [name, { usual }] of Object.entries(limitRules)) {
    t.equal(resolveLimits()[name as keyof typeof limitRules], usual, name)
  }
  t.throws(() => resolveLimits({ idleTimeout: -1 }), {
    code: 'ERR_HANDFAST_CONFIG',
    message: /limits\.idleTimeout/,
  })
  t.throws(() => resolveLimits({ idleTimeout: Number.NaN }), /idleTimeout/)
  t.throws(() => resolveLimits({ maxStreams: 1.5 }), /maxStreams must be a whole number/)
  t.throws(() => resolveLimits({ clientShare: 101 }), /clientShare .* from 1 to 100/)
  for (const name of ['nonsense', 'toString', 'constructor']) {
    t.throws(() => resolveLimits({ [name]: 1 }), new RegExp(`limits.${name} is no known`))
  }
  const none = { idleTimeout: null } as object
  t.throws(() => resolveLimits(none), /idleTimeout must be .*, got nothing/)
  t.equal(resolveLimits({ maxBodyBytes: 0 }).maxBodyBytes, 0)
  t.end()
})
