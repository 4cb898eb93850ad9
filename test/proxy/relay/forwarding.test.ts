import { execFile } from 'node:child_process'
import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { type ClientHttp2Session, connect } from 'node:http2'
import { createServer } from 'node:net'
import { promisify } from 'node:util'
import t from 'tap'
import { rawConnection, rawExchange, statusesOf } from '../../fixtures/proxy/raw.ts'
import { startBackend, startProxy } from '../../fixtures/proxy/servers.ts'
import { until } from '../../fixtures/until.ts'

const run = promisify(execFile)

/** curl against the proxy; what it prints. */
async function curl(...options: string[]): Promise<string> {
  const { stdout } = await run('curl', ['-sk', '--max-time', '20', ...options], {
    maxBuffer: 64 * 1024 * 1024,
  })
  return stdout
}

async function http2(t: Tap, url: string): Promise<ClientHttp2Session> {
  const session = connect(url, { rejectUnauthorized: false })
  session.on('error', () => {})
  t.teardown(() => session.destroy())
  await once(session, 'connect')
  return session
}

type Tap = { teardown(fn: () => unknown): void }

const versions = ['--http1.1', '--http2'] as const

const backend = await startBackend(t, (request, response) => {
  const routes: Record<string, (q: IncomingMessage, r: ServerResponse) => void> = {
    '/echo': (q, r) => q.pipe(r),
    '/fields': (q, r) => r.end(JSON.stringify(q.headers)),
    '/none': (_q, r) => r.writeHead(204).end(),
    '/same': (_q, r) => r.writeHead(304, { ETag: '"1"' }).end(),
    '/length': (_q, r) => r.writeHead(200, { 'Content-Length': '5' }).end('hello'),
    '/cookies': (_q, r) => r.setHeader('Set-Cookie', ['a=1', 'b=2']).end('x'),
    '/hop': (_q, r) => {
      r.setHeader('Connection', 'X-Mine, keep-alive')
      r.setHeader('X-Mine', '1').setHeader('Proxy-Authenticate', 'Basic')
      r.setHeader('X-Yours', '2').end('x')
    },
    '/hints': (_q, r) => {
      r.writeEarlyHints({ link: '</a.css>; rel=preload' })
      r.end('done')
    },
    '/trailers': (_q, r) => {
      r.writeHead(200, { Trailer: 'X-Sum' })
      r.write('body')
      r.addTrailers({ 'X-Sum': '42', 'Set-Cookie': 'no=1' })
      r.end()
    },
    '/missing': (_q, r) => r.writeHead(404, 'Nope').end('not here'),
    '/early': (_q, r) => r.writeHead(403).end('no need to send it'),
    '/stream': (_q, r) => void r.writeHead(200).flushHeaders(),
    '/bytes': (_q, r) =>
      r.setHeader('X-Bytes', Buffer.from('é').toString('latin1')).end(),
  }
  const route = routes[(request.url as string).split('?')[0] as string]
  if (route === undefined) response.end(`${request.method} ${request.url}`)
  else route(request, response)
})
const { url, port, log } = await startProxy(t, { backends: [backend.url] })

t.test('GET, POST, PUT, PATCH, DELETE and OPTIONS arrive as what they are', async t => {
  for (const version of versions) {
    for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']) {
      t.equal(
        await curl(version, '-X', method, `${url}/a%20b?c=d&e`),
        `${method} /a%20b?c=d&e`,
      )
    }
    t.equal(await curl(version, '-d', 'hello', `${url}/echo`), 'hello')
    const chunks = ['-H', 'Transfer-Encoding: chunked', '-d', 'hello']
    t.equal(await curl(version, ...chunks, `${url}/echo`), 'hello')
    t.equal(await curl(version, '-X', 'GET', '-d', 'hello', `${url}/echo`), 'hello')
  }
})

t.test('answers without body: HEAD, 204, 304', async t => {
  for (const version of versions) {
    t.match(await curl(version, '-I', `${url}/length`), /content-length: 5\r\n/i)
    t.match(await curl(version, '-i', `${url}/none`), /^HTTP\/[\d.]+ 204.*\r\n\r\n$/s)
    t.match(
      await curl(version, '-i', `${url}/same`),
      /^HTTP\/[\d.]+ 304.*etag: "1".*\r\n\r\n$/is,
    )
  }
  // One connection, so that a body where none belongs would spoil the next answer.
  const answer = await rawExchange(
    port,
    ['HEAD /length', 'GET /none', 'GET /same', 'GET /last']
      .map(
        (line, i) =>
          `${line} HTTP/1.1\r\nHost: a\r\n${i === 3 ? 'Connection: close\r\n' : ''}\r\n`,
      )
      .join(''),
  )
  t.strictSame(statusesOf(answer), [200, 204, 304, 200])
  t.ok(answer.endsWith('GET /last'))
})

t.test('fields are passed on, except those of one hop', async t => {
  for (const version of versions) {
    const answer = await curl(version, '-i', `${url}/hop`)
    t.match(answer, /x-yours: 2/i)
    t.notMatch(answer, /x-mine|proxy-authenticate/i)
    t.match(
      await curl(version, '-i', `${url}/cookies`),
      /set-cookie: a=1\r\nset-cookie: b=2/i,
    )
    t.match(await curl(version, '-i', `${url}/missing`), /^HTTP\/[\d.]+ 404.*not here$/s)
  }
  const fields = JSON.parse(
    await curl(
      '--http1.1',
      ...[
        'Connection: X-Mine',
        'X-Mine: 1',
        'Proxy-Authorization: x',
        'Keep-Alive: 5',
      ].flatMap(field => ['-H', field]),
      ...['TE: gzip, trailers', 'X-Yours: 2', 'Via: 1.0 cache'].flatMap(field => [
        '-H',
        field,
      ]),
      `${url}/fields`,
    ),
  )
  t.match(fields, { te: 'trailers', 'x-yours': '2', via: '1.0 cache, 1.1 handfast' })
  for (const name of ['x-mine', 'proxy-authorization', 'keep-alive'])
    t.notOk(name in fields)
})

t.test('field values are bytes and stay so', async t => {
  for (const version of versions) {
    const { stdout } = await run('curl', ['-sik', version, `${url}/bytes`], {
      encoding: 'latin1',
    })
    t.match(stdout, /x-bytes: \xc3\xa9\r\n/i, version)
    t.match(
      await curl(version, '-H', 'X-Sent: \u00e9', `${url}/fields`),
      new RegExp(JSON.stringify(Buffer.from('é').toString('latin1')).slice(1, -1)),
    )
  }
})

t.test('the backend learns who asks, and nobody else can tell it', async t => {
  const forged = [
    'Forwarded: for=6.6.6.6',
    'X-Forwarded-For: 6.6.6.6',
    'X-Forwarded-Proto: http',
    'X-Forwarded-Host: evil',
    'X-Forwarded-Port: 1',
    'X-Real-IP: 6.6.6.6',
    'Client-Cert: :AA==:',
    'X-Forwarded-Client-Cert: forged',
  ].flatMap(field => ['-H', field])
  for (const version of versions) {
    const fields = JSON.parse(await curl(version, ...forged, `${url}/fields`))
    t.match(fields, {
      forwarded: `for=127.0.0.1;host="localhost:${port}";proto=https`,
      'x-forwarded-for': '127.0.0.1',
      'x-forwarded-proto': 'https',
      'x-forwarded-host': `localhost:${port}`,
      'x-forwarded-port': String(port),
      host: `localhost:${port}`,
    })
    t.notMatch(JSON.stringify(fields), /6\.6\.6\.6|evil|forged|AA==/)
  }
  const trusting = await startProxy(t, {
    backends: [backend.url],
    trustedProxies: ['127.0.0.0/8', '::1'],
  })
  const fields = JSON.parse(await curl(...forged, `${trusting.url}/fields`))
  t.match(fields, {
    forwarded: /^for=6\.6\.6\.6, for=127\.0\.0\.1;/,
    'x-forwarded-for': '6.6.6.6, 127.0.0.1',
    'x-forwarded-proto': 'http',
    'x-forwarded-host': 'evil',
  })
  t.notMatch(JSON.stringify(fields), /forged|AA==/)
})

t.test('early hints and trailers of the backend reach the client', async t => {
  t.match(
    await curl('--http1.1', '-i', `${url}/hints`),
    /^HTTP\/1.1 103.*a\.css.*200 OK.*done$/s,
  )
  const answer = await rawExchange(
    port,
    'GET /trailers HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: close\r\n\r\n',
  )
  t.match(answer, /\r\n0\r\nX-Sum: 42\r\n\r\n$/i)
  t.notMatch(answer, /no=1/)

  const session = await http2(t, url)
  const hinted = session.request({ ':path': '/hints' })
  const [hints] = await once(hinted, 'headers')
  t.match(hints, { ':status': 103, link: /a\.css/ })
  hinted.resume()
  await once(hinted, 'end')
  const stream = session.request({ ':path': '/trailers', te: 'trailers' })
  stream.resume()
  const [trailers] = await once(stream, 'trailers')
  t.match(trailers, { 'x-sum': '42' })
  t.notOk('set-cookie' in trailers)
  session.close()
})

t.test('100-continue is said when a backend is there to take the body', async t => {
  for (const version of versions) {
    const answer = await curl(
      version,
      ...['-i', '-H', 'Expect: 100-continue', '--expect100-timeout', '15', '-d', 'hello'],
      `${url}/echo`,
    )
    t.match(answer, /^HTTP\/[\d.]+ 100.*HTTP\/[\d.]+ 200.*hello$/s)
  }
  const lonely = await startProxy(t, { backends: ['http://127.0.0.1:1'] })
  const answer = await rawExchange(
    lonely.port,
    'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n',
  )
  t.strictSame(statusesOf(answer), [502], 'the body stays where it is')
})

t.test('the first bytes of a slow answer do not wait for the rest', async t => {
  const session = await http2(t, url)
  const stream = session.request({ ':path': '/stream' })
  const [fields] = await once(stream, 'response')
  t.equal(fields[':status'], 200)
  stream.close()
  const socket = await rawConnection(port)
  socket.write('GET /stream HTTP/1.1\r\nHost: a\r\n\r\n')
  const [first] = await once(socket, 'data')
  t.match(String(first), /^HTTP\/1.1 200 OK.*\r\n\r\n$/s)
  socket.destroy()
  session.close()
})

t.test('an answer that comes before the end of the request is heard', async t => {
  for (const version of versions) {
    const answer = await curl(
      version,
      '-i',
      '-F',
      'f=@/dev/zero;filename=z',
      '-m',
      '20',
      `${url}/early`,
    ).catch((error: { stdout: string }) => error.stdout)
    t.match(answer, /HTTP\/[\d.]+ 403.*no need to send it/s, version)
  }
})

t.test('an HTTP/1.0 client is served', async t => {
  const answer = await rawExchange(port, 'GET /trailers HTTP/1.0\r\n\r\n')
  t.match(answer, /^HTTP\/1.1 200 OK.*\r\n\r\nbody$/s)
  t.notMatch(answer, /transfer-encoding/i)
})

t.test('backends are taken in turn, and one that refuses is passed over', async t => {
  const echo = (name: string) => (q: IncomingMessage, r: ServerResponse) => {
    r.write(`${name}: `)
    q.pipe(r)
  }
  const second = await startBackend(t, echo('second'))
  const third = await startBackend(t, echo('third'))
  const three = await startProxy(t, {
    backends: ['http://127.0.0.1:1', second.url, third.url],
  })
  const seen: string[] = []
  // With a body: it must still be whole for the next backend.
  for (let i = 0; i < 6; i++) seen.push(await curl('-d', 'a body', three.url))
  t.ok(seen.includes('second: a body'))
  t.ok(seen.includes('third: a body'))
  t.equal(seen.filter(body => body.endsWith(': a body')).length, 6)
  t.equal(three.log.requests.filter(line => line['status'] !== 200).length, 0)
})

t.test('a backend that closes a kept-alive connection costs a GET nothing', async t => {
  let answers = 0
  const server = createServer(socket => {
    socket.on('error', () => {})
    let first = true
    socket.on('data', () => {
      // The second request on a connection meets a closing one.
      if (!first) return socket.destroy()
      first = false
      answers++
      return socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { port: backendPort } = server.address() as { port: number }
  const backends = [`http://127.0.0.1:${backendPort}`]
  const flaky = await startProxy(t, { backends })
  for (let i = 0; i < 4; i++) t.equal(await curl(flaky.url), 'ok')
  t.equal(answers, 4)
  const careful = await startProxy(t, { backends })
  t.equal(await curl(careful.url), 'ok')
  t.match(await curl('-d', 'x', careful.url), /^502/, 'but a POST is never repeated')
})

t.test('many requests at a time on one HTTP/2 connection', async t => {
  const session = await http2(t, url)
  const bodies = await Promise.all(
    Array.from({ length: 100 }, async (_, i) => {
      const stream = session.request({ ':path': `/n${i}` })
      let body = ''
      for await (const chunk of stream.setEncoding('utf8')) body += chunk
      return body
    }),
  )
  t.strictSame(
    bodies,
    Array.from({ length: 100 }, (_, i) => `GET /n${i}`),
  )
  session.close()
})

t.test(
  'one line in the log for each request, without secrets, in printable ASCII',
  async t => {
    const before = log.requests.length
    await curl(
      ...['-H', 'Authorization: Bearer s3cret', '-H', 'Cookie: id=s3cret'],
      `${url}/path?token=s3cret`,
    )
    await curl('--http1.1', '--path-as-is', `${url}/%0d%0aforged`)
    await rawExchange(
      port,
      'GET http://localhost/\xff?s3cret HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n',
    )
    await until(() => log.requests.length >= before + 2)
    const lines = log.requests.slice(before)
    t.match(lines[0], {
      method: 'GET',
      host: `localhost:${port}`,
      path: '/path',
      status: 200,
      http: '2.0',
      tls: 'TLSv1.3',
      backend: backend.url,
      client: '127.0.0.1',
    })
    t.type(lines[0]?.['ms'], 'number')
    t.type(lines[0]?.['bytes'], 'number')
    t.notMatch(JSON.stringify(log.lines), /s3cret/)
    for (const line of lines) t.notMatch(JSON.stringify(line), /[^\x20-\x7e]/)
  },
)
