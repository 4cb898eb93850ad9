import { createHash } from 'node:crypto'
import { once } from 'node:events'
import t from 'tap'
import type { Authorizer } from '../../../lib/proxy/options.ts'
import {
  frame,
  frameTypes,
  headersFrame,
  pseudoFields,
  RawHttp2,
  rawConnection,
} from '../../fixtures/proxy/raw.ts'
import { defaultSite, startBackend, startProxy } from '../../fixtures/proxy/servers.ts'
import { until } from '../../fixtures/until.ts'

const backend = await startBackend(t, (request, response) => {
  request.resume()
  if (request.url === '/') response.end('here')
  if (request.url === '/large') response.end(Buffer.alloc(8 * 1024 * 1024))
})
const backends = [backend.url]
const get = headersFrame(1, pseudoFields('GET', '/'), true)
const hang = headersFrame(1, pseudoFields('GET', '/hang'), true)
const upload = headersFrame(1, pseudoFields('POST', '/hang'), false)
const empty = (length: number) => Buffer.alloc(length)

/** RFC 9113: each of them is an error of the connection. */
const connectionErrors: readonly [name: string, bytes: Buffer][] = [
  ['RST_STREAM of 5 bytes', frame(frameTypes.reset, 0, 1, empty(5))],
  ['RST_STREAM on stream 0', frame(frameTypes.reset, 0, 0, empty(4))],
  ['RST_STREAM on an idle stream', frame(frameTypes.reset, 0, 99, empty(4))],
  ['PRIORITY of 4 bytes', frame(frameTypes.priority, 0, 1, empty(4))],
  ['SETTINGS of 1 byte', frame(frameTypes.settings, 0, 0, empty(1))],
  ['SETTINGS on a stream', frame(frameTypes.settings, 0, 1, empty(6))],
  ['an ACK of SETTINGS with a payload', frame(frameTypes.settings, 1, 0, empty(6))],
  [
    'SETTINGS with a window of 2^32 - 1',
    frame(frameTypes.settings, 0, 0, Buffer.from([0, 4, 255, 255, 255, 255])),
  ],
  ['PING of 7 bytes', frame(frameTypes.ping, 0, 0, empty(7))],
  ['PING on a stream', frame(frameTypes.ping, 0, 1, empty(8))],
  ['GOAWAY of 7 bytes', frame(frameTypes.goaway, 0, 0, empty(7))],
  ['GOAWAY on a stream', frame(frameTypes.goaway, 0, 1, empty(8))],
  [
    'GOAWAY with an error',
    frame(frameTypes.goaway, 0, 0, Buffer.from([0, 0, 0, 0, 0, 0, 0, 1])),
  ],
  ['WINDOW_UPDATE by 0', frame(frameTypes.windowUpdate, 0, 0, empty(4))],
  ['WINDOW_UPDATE of 3 bytes', frame(frameTypes.windowUpdate, 0, 0, empty(3))],
  [
    'WINDOW_UPDATE beyond 2^31',
    frame(frameTypes.windowUpdate, 0, 0, Buffer.from([127, 255, 255, 255])),
  ],
  ['DATA on stream 0', frame(frameTypes.data, 0, 0, 'x')],
  ['DATA on an idle stream', frame(frameTypes.data, 0, 99, 'x')],
  ['HEADERS that are all padding', frame(frameTypes.headers, 13, 3, Buffer.from([9, 0]))],
  ['DATA of 20 000 bytes', frame(frameTypes.data, 0, 1, empty(20_000))],
  ['HEADERS on stream 0', headersFrame(0, pseudoFields('GET', '/'), true)],
  ['HEADERS on an even stream', headersFrame(2, pseudoFields('GET', '/'), true)],
  ['HEADERS that are no HPACK', frame(frameTypes.headers, 5, 3, Buffer.alloc(6, 255))],
  ['CONTINUATION of nothing', frame(frameTypes.continuation, 4, 1, empty(0))],
  [
    'DATA where CONTINUATION was due',
    Buffer.concat([
      frame(frameTypes.headers, 0, 3, empty(0)),
      frame(frameTypes.data, 0, 1, 'x'),
    ]),
  ],
  ['HTTP/1.1', Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')],
]

async function http2(port: number): Promise<RawHttp2> {
  return new RawHttp2(await rawConnection(port, { protocol: 'h2', allowHalfOpen: true }))
}

t.test(
  'a connection error behind a request ends the connection and the request',
  async t => {
    const { port, proxy, log } = await startProxy(t, { backends })
    const clients: RawHttp2[] = []
    for (const [name, bytes] of connectionErrors) {
      for (const request of [get, hang, upload]) {
        for (const inOneGo of [true, false]) {
          const client = await http2(port)
          clients.push(client)
          if (inOneGo) client.send(request, bytes)
          else {
            const seen = backend.requests.length
            client.send(request)
            await until(() => backend.requests.length > seen || request === upload, name)
            client.send(bytes)
          }
        }
      }
    }
    // None of them closes by itself.
    await until(() => proxy.stats().connections === 0, 'all connections to be gone')
    t.notOk(clients.some(client => client.statusOn(1) === 502))
    await until(() => log.requests.length >= clients.length, 'a line for each request')
    await until(() =>
      backend.requests.every(request => request.url === '/' || request.destroyed),
    )
    for (const client of clients) client.socket.destroy()
  },
)

t.test('a hundred and more such connections keep nobody out', async t => {
  const { port, proxy } = await startProxy(t, {
    backends,
    limits: { maxConnections: 50, clientShare: 100 },
  })
  const bad = frame(frameTypes.ping, 0, 0, empty(7))
  const hostile = Array.from({ length: 120 }, async () => {
    const client = await http2(port).catch(() => undefined)
    client?.send(hang, bad)
    return client
  })
  const clients = await Promise.all(hostile)
  t.ok(
    clients.filter(client => client !== undefined).length >= 50,
    'all places were taken',
  )
  await until(() => proxy.stats().connections === 0, 'the places to be free')
  const honest = await http2(port)
  honest.send(get)
  await until(() => honest.statusOn(1) === 200, 'an answer for the honest')
  honest.socket.destroy()
  for (const client of clients) client?.socket.destroy()
})

t.test('draining does not wait for them', async t => {
  const { port, proxy } = await startProxy(t, {
    backends,
    limits: { drainTimeout: 60_000 },
  })
  const clients = await Promise.all([http2(port), http2(port), http2(port)])
  for (const client of clients) client.send(hang, frame(frameTypes.ping, 0, 0, empty(7)))
  await until(() => clients.every(client => client.goaway === 6), 'FRAME_SIZE_ERROR')
  const late = await http2(port)
  late.send(headersFrame(1, pseudoFields('GET', '/hang?late'), true))
  await until(() => backend.requests.some(request => request.url === '/hang?late'))
  let drained = false
  void proxy.drain().then(() => {
    drained = true
  })
  await until(() => late.goaway === 0, 'a friendly GOAWAY')
  late.send(frame(frameTypes.settings, 0, 0, empty(1)))
  await until(() => drained, 'drain')
  t.equal(proxy.stats().connections, 0)
  for (const client of [...clients, late]) client.socket.destroy()
})

t.test('a client that is told to go and stays is cut off', async t => {
  const { port, proxy } = await startProxy(t, {
    backends,
    limits: { idleTimeout: 1_500 },
  })
  const idle = await http2(port)
  const leaving = await http2(port)
  leaving.send(get)
  await until(() => leaving.statusOn(1) === 200)
  leaving.send(frame(frameTypes.goaway, 0, 0, empty(8)))
  await until(() => proxy.stats().connections === 0, 'both connections to be gone')
  t.equal(idle.goaway, 0)
  idle.socket.destroy()
  leaving.socket.destroy()
})

t.test('an answer that nobody takes is given up, whole or not', async t => {
  const { port, proxy, log } = await startProxy(t, {
    backends,
    limits: { bodyTimeout: 300, idleTimeout: 1_500 },
  })
  const noWindow = frame(frameTypes.settings, 0, 0, Buffer.from([0, 4, 0, 0, 0, 0]))
  for (const [method, path] of [
    ['GET', '/'],
    ['GET', '/large'],
    ['TRACE', '/'],
  ] as const) {
    const client = await http2(port)
    client.send(noWindow, headersFrame(1, pseudoFields(method, path), true))
    await until(() => client.resetOf(1) === 2, `${method} ${path}: INTERNAL_ERROR`)
    client.socket.destroy()
  }
  // Windows without end, and a socket that takes nothing. GOAWAY can't be said there either.
  const stuffed = await http2(port)
  stuffed.socket.pause()
  const wide = frame(frameTypes.settings, 0, 0, Buffer.from([0, 4, 127, 255, 255, 255]))
  const wider = frame(frameTypes.windowUpdate, 0, 0, Buffer.from([127, 0, 0, 0]))
  const streams = [1, 3, 5, 7]
  const many = streams.map(id => headersFrame(id, pseudoFields('GET', '/large'), true))
  stuffed.send(wide, wider, ...many)
  const old = await rawConnection(port)
  old.pause()
  old.write('GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n')
  await until(() => log.requests.length === 8, 'a line for each')
  stuffed.send(frame(frameTypes.ping, 0, 0, empty(7)))
  t.strictSame(
    log.requests.map(line => line['error']).filter(error => error !== 'client-timeout'),
    [],
  )
  await until(() => proxy.stats().connections === 0, 'all connections to be gone')
  stuffed.socket.destroy()
  old.destroy()
})

t.test('the descriptor of the backend goes with the tunnel', async t => {
  const sockets = new Set<object>()
  const echo = await startBackend(t, () => {})
  echo.server.on('upgrade', (_request, socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => sockets.delete(socket))
    socket.on('end', () => socket.end()).resume()
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n')
    socket.write('Upgrade: websocket\r\nSec-WebSocket-Accept: ')
    const key = _request.headers['sec-websocket-key']
    socket.write(`${acceptOf(String(key))}\r\n\r\n`)
    if (_request.url === '/bye') socket.end('bye')
  })
  const { port, proxy } = await startProxy(t, {
    backends: [echo.url],
    limits: { bodyTimeout: 300 },
  })
  const open = (path: string) =>
    headersFrame(
      1,
      [...pseudoFields('CONNECT', path), [':protocol', 'websocket']].sort() as [
        string,
        string,
      ][],
      false,
    )
  for (const path of ['/', '/bye']) {
    const client = await http2(port)
    client.send(open(path))
    await until(() => client.statusOn(1) === 200, path)
    if (path === '/') client.send(frame(frameTypes.ping, 0, 0, empty(7)))
    // After /bye the client just does nothing; HTTP/2 lets it go on on other streams.
    await until(() => sockets.size === 0, `${path}: the backend to be let go`)
    if (path === '/bye') await until(() => client.resetOf(1) !== undefined, 'a reset')
    client.socket.destroy()
  }
  const old = await rawConnection(port, { allowHalfOpen: true })
  old.write(
    'GET /bye HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
      'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
  )
  await once(old, 'data')
  await until(
    () => proxy.stats().connections === 0,
    'a client that does not end its side',
  )
  old.destroy()
})

function acceptOf(key: string): string {
  const text = `${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`
  return createHash('sha1').update(text).digest('base64')
}

t.test(
  'a client that leaves behind bytes that are no request leaves no timer',
  async t => {
    const intervals = new Set<unknown>()
    const { setInterval, clearInterval } = globalThis
    t.teardown(() => Object.assign(globalThis, { setInterval, clearInterval }))
    const { port, proxy, log } = await startProxy(t, { backends })
    const seen = backend.requests.length
    const client = await rawConnection(port)
    Object.assign(globalThis, {
      setInterval: (...args: Parameters<typeof setInterval>) => {
        const timer = setInterval(...args)
        intervals.add(timer)
        return timer
      },
      clearInterval: (timer: NodeJS.Timeout) => {
        intervals.delete(timer)
        clearInterval(timer)
      },
    })
    client.write('GET /hang HTTP/1.1\r\nHost: a\r\n\r\nno request\r\n\r\n')
    await until(() => backend.requests.length > seen && log.requests.length === 1)
    client.destroy()
    await until(() => log.requests.length === 2 && proxy.stats().connections === 0)
    t.equal(intervals.size, 0)
  },
)

t.test('what a client sent ahead before it left is not begun', async t => {
  const asked: string[] = []
  const authorizer: Authorizer = {
    authorize: async ({ url }) => {
      asked.push(url)
      return { outcome: 'allowed', user: undefined, fields: [] }
    },
  }
  const site = { ...(await defaultSite(backends)), authorizer }
  const { port, proxy, log } = await startProxy(t, { sites: [site] })
  const seen = backend.requests.length
  const client = await rawConnection(port)
  const ahead = ['/hang', '/two', '/three']
  client.write(ahead.map(path => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`).join(''))
  await until(() => backend.requests.length > seen)
  client.destroy()
  await until(() => log.requests.length > 0 && proxy.stats().connections === 0)
  t.strictSame(asked, ['/hang'])
  t.equal(proxy.stats().requests, 1)
})
