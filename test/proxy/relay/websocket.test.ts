import { type ChildProcess, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { connect } from 'node:http2'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { WebSocket, WebSocketServer } from 'ws'
import { startRawBackend } from '../../fixtures/backend/raw-backend.ts'
import { rawConnection, rawExchange, statusesOf } from '../../fixtures/proxy/raw.ts'
import { startProxy, type Teardown } from '../../fixtures/proxy/servers.ts'
import { until } from '../../fixtures/until.ts'

const upgrades: Record<string, unknown>[] = []
const sockets = new Set<object>()
const httpServer = createServer((_request, response) => response.end('no WebSocket'))
const server = new WebSocketServer({ noServer: true, handleProtocols: () => 'chat' })
httpServer.on('connection', socket => {
  sockets.add(socket)
  socket.on('close', () => sockets.delete(socket))
})
httpServer.on('upgrade', (request, socket, head) => {
  upgrades.push(request.headers)
  if (request.url === '/denied') {
    socket.end('HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\nX-Why: you\r\n\r\nno')
    return
  }
  if (request.url === '/liar') {
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n')
    socket.write('Upgrade: websocket\r\nSec-WebSocket-Accept: no\r\n\r\n')
    return
  }
  if (request.url === '/wordy') {
    const key = request.headers['sec-websocket-key']
    const accept = createHash('sha1')
      .update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
      .digest('base64')
    const lines = [
      ...['HTTP/1.1 101 Switching Protocols', 'Connection: Upgrade, X-Mine', 'X-Mine: 1'],
      ...['Upgrade: WebSocket', `Sec-WebSocket-Accept: ${accept} `, 'X-A: \xe9 '],
      ...['X-Content-Type-Options: nosniff', 'X-Content-Type-Options: nosniff'],
      ...[
        'Date: x',
        'Date: y',
        'Set-Cookie: a=1',
        'Set-Cookie: b=2',
        'Content-Length: 7',
      ],
    ]
    socket.write(`HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n`)
    socket.write(`${lines.join('\r\n')}\r\n\r\n`, 'latin1')
    socket.end(Buffer.from('81026f6b', 'hex'))
    return
  }
  if (request.url === '/other') {
    socket.write('HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\nh2c')
    return
  }
  if (request.url === '/halfway') {
    // No Upgrade: nobody can tell what comes next.
    socket.write('HTTP/1.1 101 Switching Protocols\r\nX-A: 1\r\n\r\n')
    return
  }
  server.handleUpgrade(request, socket, head, peer => {
    peer.on('message', (data, binary) => peer.send(data, { binary }))
    if (request.url === '/eager') peer.send('first word')
    if (request.url === '/bye') peer.close(4000, 'enough')
  })
})
httpServer.listen(0, '127.0.0.1')
await once(httpServer, 'listening')
t.teardown(() => {
  httpServer.closeAllConnections()
  for (const client of server.clients) client.terminate()
  httpServer.close()
})
const { port: backendPort } = httpServer.address() as AddressInfo
const backends = [`http://127.0.0.1:${backendPort}`]
const { port, url, log, proxy } = await startProxy(t, { backends })

function open(path: string, at = port): WebSocket {
  return new WebSocket(`wss://localhost:${at}${path}`, 'chat', {
    rejectUnauthorized: false,
  })
}

t.test('messages both ways, text and binary, small and large', async t => {
  const socket = open('/?token=s3cret')
  await once(socket, 'open')
  t.equal(socket.protocol, 'chat')
  for (const message of ['hello', Buffer.alloc(3_000_000, 7), '', 'é'.repeat(70_000)]) {
    socket.send(message)
    const [data, binary] = await once(socket, 'message')
    t.equal(binary, typeof message !== 'string')
    t.ok(Buffer.from(message).equals(data), `${data.length} bytes`)
  }
  t.match(upgrades.at(-1), {
    host: `localhost:${port}`,
    'x-forwarded-for': '127.0.0.1',
    'x-forwarded-proto': 'https',
    upgrade: 'websocket',
  })
  socket.close(4001, 'done')
  const [code, reason] = await once(socket, 'close')
  t.equal(code, 4001)
  t.equal(String(reason), 'done')
  await until(() => log.requests.length === 1)
  t.match(log.requests[0], { status: 101, path: '/', backend: backends[0] })
  t.ok(Number(log.requests[0]?.['bytes']) > 3_000_000)
  t.notMatch(JSON.stringify(log.lines), /s3cret/)
})

t.test('what the backend says first is not lost, nor how it ends', async t => {
  const eager = open('/eager')
  const [data] = await once(eager, 'message')
  t.equal(String(data), 'first word')
  eager.terminate()
  const bye = open('/bye')
  const [code, reason] = await once(bye, 'close')
  t.equal(`${code} ${reason}`, '4000 enough')
})

t.test('either side may vanish, and the other is told', async t => {
  const [client] = [open('/')]
  await once(client, 'open')
  client.terminate()
  await until(() => server.clients.size === 0, 'the backend to hear of it')
  const other = open('/')
  await once(other, 'open')
  for (const peer of server.clients) peer.terminate()
  const [code] = await once(other, 'close')
  t.equal(code, 1012, 'in words that it understands')
  await until(() => proxy.stats().connections === 0)
})

t.test('a backend that declines is heard', async t => {
  const socket = open('/denied')
  socket.on('error', () => {})
  const [, response] = await once(socket, 'unexpected-response')
  t.equal(response.statusCode, 401)
  t.equal(response.headers['x-why'], 'you')
  let body = ''
  for await (const chunk of response) body += chunk
  t.equal(body, 'no')
})

t.test('no backend: an answer, not a silent close', async t => {
  const lonely = await startProxy(t, { backends: ['http://127.0.0.1:1'] })
  const socket = open('/', lonely.port)
  socket.on('error', () => {})
  const [, response] = await once(socket, 'unexpected-response')
  t.equal(response.statusCode, 502)
  response.resume()
  await until(() => lonely.proxy.stats().connections === 0, 'the connection to end')
})

t.test('an upgrade to anything else is a plain request, answered in full', async t => {
  const answer = await rawExchange(
    port,
    'GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket, h2c\r\n\r\n',
  )
  t.strictSame(statusesOf(answer), [200])
  t.ok(answer.endsWith('no WebSocket'))
})

t.test('WebSockets over HTTP/2 (RFC 8441)', async t => {
  const session = connect(url, { rejectUnauthorized: false })
  session.on('error', () => {})
  t.teardown(() => session.destroy())
  const [settings] = await once(session, 'remoteSettings')
  t.equal(settings.enableConnectProtocol, true)
  const extended = (path: string) =>
    session.request({
      ':method': 'CONNECT',
      ':protocol': 'websocket',
      ':scheme': 'https',
      ':authority': `localhost:${port}`,
      ':path': path,
      'sec-websocket-version': '13',
      'sec-websocket-protocol': 'chat',
    })
  const stream = extended('/')
  const [fields] = await once(stream, 'response')
  t.match(fields, { ':status': 200, 'sec-websocket-protocol': 'chat' })
  t.notOk('sec-websocket-accept' in fields)
  // "Hello" as RFC 6455 5.7 has it, masked; the echo comes back unmasked.
  stream.write(Buffer.from('818537fa213d7f9f4d5158', 'hex'))
  const [echo] = await once(stream, 'data')
  t.equal(echo.toString('hex'), '810548656c6c6f')
  stream.close(8)
  await until(() => server.clients.size === 0, 'the backend to hear of it')

  const denied = extended('/denied')
  const [no] = await once(denied, 'response')
  t.equal(no[':status'], 401)
  denied.resume()
  await once(denied, 'close')
  const liar = extended('/liar')
  const [lie] = await once(liar, 'response')
  t.equal(
    lie[':status'],
    502,
    'a backend that does not prove it read the key is not believed',
  )
  liar.resume()
  await once(liar, 'close')
})

t.test('whatever a 101 says besides is passed on, on either version', async t => {
  const answer = await rawExchange(
    port,
    'GET /wordy HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
      'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n',
  )
  const lines = [
    ...['Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=', 'X-A: \xe9'],
    ...['X-Content-Type-Options: nosniff', 'X-Content-Type-Options: nosniff'],
    ...['Date: x', 'Date: y', 'Set-Cookie: a=1', 'Set-Cookie: b=2', 'Upgrade: websocket'],
  ]
  t.equal(
    answer,
    'HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n' +
      'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n' +
      `${lines.join('\r\n')}\r\n\r\n\x81\x02ok\x88\x02\x03\xf4`,
  )
  const session = connect(url, { rejectUnauthorized: false })
  session.on('error', () => {})
  t.teardown(() => session.destroy())
  await once(session, 'remoteSettings')
  const extended = (path: string) =>
    session.request({
      ':method': 'CONNECT',
      ':protocol': 'websocket',
      ':scheme': 'https',
      ':authority': `localhost:${port}`,
      ':path': path,
    })
  const stream = extended('/wordy')
  const [hints] = await once(stream, 'headers')
  t.match(hints, { ':status': 103, link: '<a>' })
  const [fields] = await once(stream, 'response')
  t.match(fields, {
    ':status': 200,
    'x-a': '\xe9',
    'x-content-type-options': 'nosniff',
    date: 'x',
    'set-cookie': ['a=1', 'b=2'],
  })
  for (const name of ['content-length', 'x-mine', 'upgrade', 'connection'])
    t.notOk(name in fields, name)
  const [message] = await once(stream, 'data')
  t.equal(message.toString('hex'), '81026f6b')
  stream.close()
})

t.test('a switch to something else is 502', async t => {
  const session = connect(url, { rejectUnauthorized: false })
  session.on('error', () => {})
  t.teardown(() => session.destroy())
  await once(session, 'remoteSettings')
  for (const path of ['/other', '/halfway']) {
    const answer = await rawExchange(
      port,
      `GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`,
    )
    t.strictSame(statusesOf(answer), [502], `${path} on HTTP/1.1`)
    const stream = session.request({
      ':method': 'CONNECT',
      ':protocol': 'websocket',
      ':scheme': 'https',
      ':authority': `localhost:${port}`,
      ':path': path,
    })
    const [refused] = await once(stream, 'response')
    t.equal(refused[':status'], 502, `${path} on HTTP/2`)
    stream.resume()
    await once(stream, 'close')
  }
})

t.test('a silent WebSocket is closed after its time', async t => {
  const short = await startProxy(t, { backends, limits: { tunnelTimeout: 300 } })
  const socket = open('/', short.port)
  await once(socket, 'open')
  const [code] = await once(socket, 'close')
  t.equal(code, 1001)
  await until(() => short.proxy.stats().connections === 0)
})

t.test('forbidden: to talk on after that', async t => {
  const short = await startProxy(t, { backends, limits: { tunnelTimeout: 300 } })
  const client = await rawConnection(short.port, { allowHalfOpen: true })
  client.write(
    'GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
      'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n',
  )
  let said = ''
  client.on('data', chunk => {
    said += chunk.toString('hex')
  })
  await until(() => said.endsWith('880203e9'), 'the close frame')
  const talk = setInterval(() => client.write(Buffer.from('818000000000', 'hex')), 100)
  t.teardown(() => clearInterval(talk))
  await until(() => short.proxy.stats().connections === 0, 'its connection to end')
})

t.test('draining leaves a WebSocket its time, then ends it', async t => {
  const draining = await startProxy(t, { backends, limits: { drainTimeout: 2_000 } })
  const socket = open('/', draining.port)
  await once(socket, 'open')
  const drained = draining.proxy.drain()
  socket.send('still there?')
  const [data] = await once(socket, 'message')
  t.equal(String(data), 'still there?')
  const closed = once(socket, 'close')
  await drained
  const [code] = await closed
  t.equal(code, 1001, 'and says so')
  t.equal(draining.proxy.stats().connections, 0)
  const refused = await rawConnection(draining.port).catch((error: Error) => error)
  t.ok(refused instanceof Error)
})

t.test('a backend that is killed says nothing any more: the proxy does', async t => {
  const backend = await webSocketProcess(t)
  const { port: at } = await startProxy(t, { backends: [backend.url] })
  const socket = open('/', at)
  await once(socket, 'open')
  socket.send('large')
  const [large] = await once(socket, 'message')
  t.equal(large.length, 300_000)
  const closed = once(socket, 'close')
  backend.child.kill('SIGKILL')
  const [code] = await closed
  t.equal(code, 1012)
})

t.test('the same over HTTP/2', async t => {
  const backend = await webSocketProcess(t)
  const { port: at } = await startProxy(t, { backends: [backend.url] })
  const session = connect(`https://localhost:${at}`, { rejectUnauthorized: false })
  session.on('error', () => {})
  t.teardown(() => session.destroy())
  await once(session, 'remoteSettings')
  const stream = session.request(extendedConnect(at))
  const [fields] = await once(stream, 'response')
  t.equal(fields[':status'], 200)
  backend.child.kill('SIGKILL')
  const [frame] = await once(stream, 'data')
  t.equal(frame.toString('hex'), '880203f4')
  await once(stream, 'end')
  t.equal(stream.rstCode, 0)
})

t.test('forbidden: a close frame in the middle of a frame, or after one', async t => {
  const cut = Buffer.from('827f000000000000ffff010203', 'hex')
  const closing = Buffer.from('88020fa0', 'hex')
  for (const last of [cut, closing]) {
    const backend = await startRawBackend(t, (_target, tcp) => {
      const [, key] =
        /Sec-WebSocket-Key: (.*)\r\n/i.exec(backend.heads.at(-1) ?? '') ?? []
      const accept = createHash('sha1')
        .update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
        .digest('base64')
      tcp.write(
        'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
          `Sec-WebSocket-Accept: ${accept}\r\n\r\n`,
      )
      tcp.write(last, () => tcp.destroySoon())
    })
    const { port: at } = await startProxy(t, { backends: [backend.url] })
    const answer = await rawExchange(
      at,
      'GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
        'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n',
    )
    t.ok(answer.endsWith(last.toString('latin1')), last.toString('hex'))
  }
})

function extendedConnect(at: number): Record<string, string> {
  return {
    ':method': 'CONNECT',
    ':protocol': 'websocket',
    ':scheme': 'https',
    ':authority': `localhost:${at}`,
    ':path': '/',
    'sec-websocket-version': '13',
  }
}

/** A server of WebSockets that can be killed; it answers anything with 300,000 bytes. */
async function webSocketProcess(
  t: Teardown,
): Promise<{ url: string; child: ChildProcess }> {
  const program = `
    const { WebSocketServer } = require('ws')
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1' }, () => {
      process.send(server.address().port)
    })
    server.on('connection', peer => {
      peer.on('message', () => peer.send(Buffer.alloc(300000)))
    })
    process.on('disconnect', () => process.exit())
  `
  const child = spawn(process.execPath, ['-e', program], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  t.teardown(() => child.kill('SIGKILL'))
  const [at] = (await once(child, 'message')) as [number]
  return { url: `http://127.0.0.1:${at}`, child }
}

t.test('nothing is left open', async () => {
  await until(() => server.clients.size === 0)
  await until(() => proxy.stats().connections === 0)
})
