import { once } from 'node:events'
import {
  createServer as createHttp2Server,
  type Http2Server,
  type ServerHttp2Stream,
} from 'node:http2'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { PassThrough } from 'node:stream'
import t from 'tap'
import { Http2Pool } from '../../lib/backend/http2/http2-pool.ts'
import type { PoolCall } from '../../lib/backend/pool.ts'
import type { BackendHandler, BackendRequest } from '../../lib/backend/request.ts'
import type { Clock } from '../../lib/clock.ts'
import { flags, frame, frameTypes } from '../fixtures/proxy/raw.ts'
import type { Teardown } from '../fixtures/proxy/servers.ts'
import { until } from '../fixtures/until.ts'

const limits = {
  connectTimeout: 300,
  headersTimeout: 500,
  bodyTimeout: 10_000,
  maxHeaderBytes: 16_384,
}

const get: BackendRequest = {
  method: 'GET',
  path: '/',
  fields: ['Host', 'a'],
  body: undefined,
  upgrade: undefined,
}

async function listen(t: Teardown, server: Server | Http2Server): Promise<string> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  return `127.0.0.1:${(server.address() as AddressInfo).port}`
}

function poolTo(t: Teardown, url: string): Http2Pool {
  const pool = new Http2Pool(new URL(url), limits)
  t.teardown(() => pool.destroy())
  return pool
}

/** What happened, as words in order. */
function send(
  pool: Http2Pool,
  request: BackendRequest,
  fresh = false,
): Promise<string[]> {
  return new Promise(resolve => {
    const events: string[] = []
    const end = (event: string) => resolve([...events, event])
    const handler: BackendHandler = {
      onSend: () => {},
      onInform: status => events.push(`inform ${status}`),
      onResponse: status => events.push(`response ${status}`),
      onData: chunk => events.push(`data ${chunk}`),
      onEnd: () => end('end'),
      onUpgrade: () => end('upgrade'),
      onError: error => end(`error ${(error as NodeJS.ErrnoException).code}`),
    }
    pool.send(request, handler, fresh)
  })
}

t.test('a connection that does not come to stand in time is closed', async t => {
  const sockets = new Set<Socket>()
  // Takes connections, and never says a word of TLS: so does a process that is stopped.
  const server = createServer(socket => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.resume()
  })
  const pool = poolTo(t, `https://${await listen(t, server)}`)
  t.strictSame(await send(pool, get), ['error UND_ERR_CONNECT_TIMEOUT'])
  for (const socket of sockets) if (!socket.closed) await once(socket, 'close')
  t.equal(sockets.size, 1)
})

t.test(
  'a backend that takes no more of a request is not waited for without end',
  async t => {
    const server = createHttp2Server()
    server.on('stream', stream => stream.on('error', () => {}).pause())
    const pool = poolTo(t, `http://${await listen(t, server)}`)
    const body = new PassThrough()
    body.write(Buffer.alloc(4 * 1024 * 1024))
    const events = await send(pool, { ...get, method: 'POST', body })
    t.strictSame(events, ['error UND_ERR_HEADERS_TIMEOUT'])
  },
)

t.test('an answer that is reset without an error is not whole', async t => {
  const ok = Buffer.from([0x88])
  const server = createServer(socket => {
    socket.on('error', () => {})
    socket.write(frame(frameTypes.settings, 0, 0, ''))
    socket.once('data', () => {
      // Without END_STREAM, and with NO_ERROR.
      socket.write(frame(frameTypes.headers, flags.endHeaders, 1, ok))
      socket.write(frame(frameTypes.data, 0, 1, 'abc'))
      socket.write(frame(frameTypes.reset, 0, 1, Buffer.alloc(4)))
    })
    t.teardown(() => socket.destroy())
  })
  const pool = poolTo(t, `http://${await listen(t, server)}`)
  const events = await send(pool, get)
  t.equal(events.at(-1), 'error ERR_HTTP2_STREAM_ERROR')
})

t.test('fields may have the names of what all objects have', async t => {
  const server = createHttp2Server()
  let raw: string[] = []
  server.on('stream', ((
    stream: ServerHttp2Stream,
    _headers: object,
    _flags: number,
    fields: string[],
  ) => {
    raw = fields
    stream.respond({ ':status': 204 }, { endStream: true })
  }) as () => void)
  const pool = poolTo(t, `http://${await listen(t, server)}`)
  const odd = ['constructor', 'x', '__proto__', 'y']
  const events = await send(pool, { ...get, fields: [...get.fields, ...odd] })
  t.strictSame(events, ['response 204', 'end'])
  t.strictSame(raw.slice(-4), odd)
})

t.test(
  'what a request says twice, and HTTP/2 of Node only once, is said once',
  async t => {
    const server = createHttp2Server()
    let raw: string[] = []
    server.on('stream', ((
      stream: ServerHttp2Stream,
      _headers: object,
      _flags: number,
      fields: string[],
    ) => {
      raw = fields
      stream.respond({ ':status': 204 }, { endStream: true })
    }) as () => void)
    const pool = poolTo(t, `http://${await listen(t, server)}`)
    const twice = [
      'User-Agent',
      'a',
      'user-agent',
      'b',
      'If-Match',
      '"a"',
      'If-Match',
      '"b"',
    ]
    const events = await send(pool, { ...get, fields: [...get.fields, ...twice] })
    t.strictSame(events, ['response 204', 'end'])
    t.strictSame(raw.slice(-4), ['user-agent', 'a', 'if-match', '"a", "b"'])
  },
)

t.test('a request that follows a lost one at once goes another way', async t => {
  const sound = createHttp2Server()
  sound.on('stream', stream => stream.respond({ ':status': 204 }, { endStream: true }))
  let connections = 0
  const server = createServer(socket => {
    t.teardown(() => socket.destroy())
    if (++connections > 1) sound.emit('connection', socket)
    else socket.once('data', () => socket.write('HTTP/1.1 400 Bad Request\r\n\r\n'))
  })
  const pool = poolTo(t, `http://${await listen(t, server)}`)
  const next = new Promise<string[]>(resolve => {
    const lost: BackendHandler = {
      onSend() {},
      onInform() {},
      onResponse() {},
      onData() {},
      onEnd() {},
      onUpgrade() {},
      onError: () => resolve(send(pool, get)),
    }
    pool.send(get, lost, false)
  })
  t.strictSame(await next, ['response 204', 'end'])
})

t.test('of connections that nobody uses one is kept for longer', async t => {
  const server = createHttp2Server()
  let open = 0
  server.on('stream', stream => stream.respond({ ':status': 204 }, { endStream: true }))
  server.on('connection', socket => {
    open++
    socket.on('close', () => open--)
  })
  let now = 0
  let due: (() => void)[] = []
  const clock: Clock = {
    now: () => now,
    monotonic: () => now,
    after(_ms, fn) {
      due.push(fn)
      return {
        cancel() {
          due = due.filter(other => other !== fn)
        },
      }
    },
  }
  const pass = (ms: number) => {
    now += ms
    for (const fn of due.splice(0)) fn()
  }
  const url = new URL(`http://${await listen(t, server)}`)
  const pool = new Http2Pool(url, { ...limits, clock })
  t.teardown(() => pool.destroy())
  for (let i = 0; i < 5; i++) await send(pool, get, true)
  pass(3_000)
  pass(3_000)
  await until(() => open === 1, 'one connection')
  pass(50_000)
  t.strictSame(await send(pool, get), ['response 204', 'end'])
  t.equal(open, 1, 'and used again')
  pass(61_000)
  await until(() => open === 0, 'no connection')
})

t.test('clients that give up too much cost the others no connection', async t => {
  const server = createHttp2Server()
  let sessions = 0
  server.on('session', () => sessions++)
  server.on('stream', stream => {
    stream.on('error', () => {})
    stream.respond({ ':status': 200 })
    stream.write('first')
  })
  const pool = poolTo(t, `http://${await listen(t, server)}`)
  const ends: string[] = []
  /** Resolves when the answer has begun. */
  const begin = (then: (call: PoolCall) => void) =>
    new Promise<void>(resolve => {
      const call = pool.send(
        get,
        {
          onSend() {},
          onInform() {},
          onResponse() {},
          onData() {
            then(call)
            resolve()
          },
          onEnd: () => void ends.push('end'),
          onUpgrade() {},
          onError: error => void ends.push(error.message),
        },
        false,
      )
    })
  await begin(() => {})
  // More than nghttp2 bears of one connection.
  for (let i = 0; i < 30; i++) {
    await Promise.all(
      Array.from({ length: 50 }, () => begin(call => call.abort(new Error('given up')))),
    )
  }
  t.equal(ends.filter(end => end === 'given up').length, 1_500)
  t.equal(ends.length, 1_500, 'who has not given up is still there')
  t.ok(sessions > 5 && sessions < 20, `${sessions} connections`)
})
