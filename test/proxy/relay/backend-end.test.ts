import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { type ClientHttp2Stream, connect } from 'node:http2'
import { type AddressInfo, createServer } from 'node:net'
import type { Readable } from 'node:stream'
import t from 'tap'
import { patience } from '../../fixtures/patience.ts'
import { rawConnection } from '../../fixtures/proxy/raw.ts'
import { startProxy } from '../../fixtures/proxy/servers.ts'

/** More than all buffers between the two ends hold. */
const size = 12_000_000
const body = Buffer.alloc(size, 'all that came before the end. ')
const length = `Content-Length: ${size}\r\n`
const answers: Record<string, [head: string, rest: Buffer]> = {
  '/length-close': [`HTTP/1.1 200 OK\r\nConnection: close\r\n${length}`, body],
  '/length-kept': [`HTTP/1.1 200 OK\r\n${length}`, body],
  '/by-end': ['HTTP/1.1 200 OK\r\n', body],
  '/old': ['HTTP/1.0 200 OK\r\n', body],
  '/chunks': [
    'HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n',
    Buffer.concat([
      Buffer.from(`${size.toString(16)}\r\n`),
      body,
      Buffer.from('\r\n0\r\n\r\n'),
    ]),
  ],
  '/cut-length': [`HTTP/1.1 200 OK\r\nContent-Length: ${size + 1}\r\n`, body],
  '/cut-chunks': [
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n',
    Buffer.concat([Buffer.from(`${size.toString(16)}\r\n`), body]),
  ],
  '/tunnel': [
    'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n',
    body,
  ],
}

const server = createServer(socket => {
  socket.on('error', () => {})
  socket.once('data', request => {
    const [, path = ''] = /^\S+ (\S+)/.exec(String(request)) ?? []
    const [head, rest] = answers[path] as [string, Buffer]
    const key = /^sec-websocket-key: (.*)\r$/im.exec(String(request))?.[1]
    socket.write(`${head}${key === undefined ? '' : acceptField(key)}\r\n`)
    socket.end(rest)
  })
}).listen(0, '127.0.0.1')
await once(server, 'listening')
t.teardown(() => server.close())
const { port: backendPort } = server.address() as AddressInfo
const { url, port } = await startProxy(t, {
  backends: [`http://127.0.0.1:${backendPort}`],
})

/** curl at a speed that keeps the proxy waiting: how it ended, and the bytes it got. */
function curl(version: string, path: string): Promise<{ code: unknown; bytes: number }> {
  const args = ['-sk', version, '--limit-rate', '16M', '-m', '60', `${url}${path}`]
  return new Promise(resolve => {
    const options = { encoding: 'buffer', maxBuffer: 2 * size } as const
    execFile('curl', args, options, (error, stdout) => {
      const bytes = stdout.equals(body.subarray(0, stdout.length)) ? stdout.length : -1
      resolve({ code: error?.code ?? 0, bytes })
    })
  })
}

for (const version of ['--http1.1', '--http2']) {
  t.test(`${version}: a slow client gets all that came before the end`, async t => {
    const paths = ['/length-close', '/length-kept', '/by-end', '/old', '/chunks']
    const got = await Promise.all(paths.map(path => curl(version, path)))
    for (const [i, path] of paths.entries()) {
      t.strictSame(got[i], { code: 0, bytes: size }, path)
    }
  })

  t.test(`${version}: a slow client is told of an answer cut short`, async t => {
    for (const path of ['/cut-length', '/cut-chunks']) {
      const { code, bytes } = await curl(version, path)
      t.not(code, 0, path)
      // What a reset of HTTP/2 finds unread is the client's to throw away.
      if (version === '--http1.1') t.equal(bytes, size, 'and got all that there was')
      else t.ok(bytes > 0, path)
    }
  })
}

t.test('a refusal that only a reset ends is whole while the request is not', async t => {
  const refusing = createServer(socket => {
    socket.on('error', () => {})
    socket.once('data', request => {
      const status = String(request).startsWith('POST /ok') ? '200 OK' : '413 Too Large'
      socket.pause()
      // What the kernel does where bytes are left unread.
      socket.write(`HTTP/1.1 ${status}\r\n\r\nno more`, () => socket.resetAndDestroy())
    })
  }).listen(0, '127.0.0.1')
  await once(refusing, 'listening')
  t.teardown(() => refusing.close())
  const { port: refusingPort } = refusing.address() as AddressInfo
  const backends = [`http://127.0.0.1:${refusingPort}`]
  const proxy = await startProxy(t, { backends })
  const refusal = async (path: string) => {
    const socket = await rawConnection(proxy.port)
    socket.write(`POST ${path} HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000\r\n\r\n`)
    socket.write(Buffer.alloc(1_000_000))
    let answer = ''
    socket.setEncoding('latin1').on('data', text => {
      answer += text
    })
    await once(socket, 'close', { signal: AbortSignal.timeout(patience) })
    t.match(answer, /no more/)
    if (path === '/ok')
      t.notMatch(answer, /\r\n0\r\n\r\n$/, 'an answer of use may be cut')
    else t.match(answer, /\r\n0\r\n\r\n$/)
  }
  await Promise.all(['/', '/ok', '/', '/ok', '/', '/ok'].map(refusal))
})

t.test('a tunnel gives all that came before its end', async t => {
  const upgrade = 'GET /tunnel HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n'
  const key = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n'
  const socket = await rawConnection(port)
  socket.write(`${upgrade}Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n${key}\r\n`)
  const all = await slowly(socket)
  t.ok(all.subarray(all.indexOf('\r\n\r\n') + 4).equals(body))

  const session = connect(url, { rejectUnauthorized: false })
  t.teardown(() => session.destroy())
  await once(session, 'remoteSettings')
  const stream: ClientHttp2Stream = session.request(
    { ':method': 'CONNECT', ':protocol': 'websocket', ':path': '/tunnel' },
    { endStream: false },
  )
  t.ok((await slowly(stream)).equals(body))
})

/** Stops at every piece for a turn of the loop or two. */
async function slowly(stream: Readable): Promise<Buffer> {
  const pieces: Buffer[] = []
  stream.on('data', piece => {
    pieces.push(piece)
    stream.pause()
    setImmediate(() => setImmediate(() => stream.resume()))
  })
  await once(stream, 'end')
  return Buffer.concat(pieces)
}

/** RFC 6455 4.2.2. */
function acceptField(key: string): string {
  const sum = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
  return `Sec-WebSocket-Accept: ${sum.digest('base64')}\r\n`
}
