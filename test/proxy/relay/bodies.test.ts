import { spawn } from 'node:child_process'
import { createHash, type Hash } from 'node:crypto'
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { type ClientHttp2Session, connect } from 'node:http2'
import t from 'tap'
import { RawHttp2, rawConnection } from '../../fixtures/proxy/raw.ts'
import { startBackend, startProxy } from '../../fixtures/proxy/servers.ts'
import { until } from '../../fixtures/until.ts'

const megabyte = 1024 * 1024
const size = 128 * megabyte
/** Not a power of two, so that no two chunks of a body fall alike on any buffer. */
const block = Buffer.alloc(999_983, 'all that goes in comes out, in order. ')

/** `length` bytes, made as they are asked for. */
function* bytes(length: number): Generator<Buffer> {
  for (let left = length; left > 0; left -= block.length) {
    yield left < block.length ? block.subarray(0, left) : block
  }
}

const expected = hashOf(size)
function hashOf(length: number): string {
  const hash = createHash('sha256')
  for (const chunk of bytes(length)) hash.update(chunk)
  return hash.digest('hex')
}

/** curl with what it is to send; the sha256 of what it got. */
async function curlSum(options: string[], length = 0): Promise<string> {
  const child = spawn('curl', ['-skf', '--max-time', '300', ...options])
  const hash = createHash('sha256')
  child.stdout.on('data', chunk => hash.update(chunk))
  child.stdin.on('error', () => {})
  await Promise.all([write(child.stdin, length), once(child, 'close')])
  return hash.digest('hex')
}

async function write(to: NodeJS.WritableStream, length: number): Promise<void> {
  const gone = new AbortController()
  to.once('close', () => gone.abort())
  for (const chunk of bytes(length)) {
    if (!to.write(chunk)) await once(to, 'drain', { signal: gone.signal })
  }
  to.end()
}

const sums: string[] = []
const backend = await startBackend(t, async (request, response) => {
  response.on('error', () => {})
  if (request.url === '/down') {
    response.setHeader('Content-Length', size)
    await write(response, size).catch(() => {})
  } else if (request.url === '/cut') {
    response.setHeader('Content-Length', size)
    response.write(block, () => response.destroy())
  } else if (request.url === '/cut-chunked') {
    response.write(block, () => response.destroy())
  } else if (request.url === '/up') {
    const hash: Hash = createHash('sha256')
    for await (const chunk of request) hash.update(chunk)
    sums.push(hash.digest('hex'))
    response.end('taken')
  } else if (request.url === '/hang') {
    request.resume()
  }
})
const { url, port, log, proxy } = await startProxy(t, { backends: [backend.url] })

t.test('128 MiB through in both directions, whole and in constant memory', async t => {
  const before = process.memoryUsage.rss()
  let peak = before
  const watch = setInterval(() => {
    peak = Math.max(peak, process.memoryUsage.rss())
  }, 20)
  t.teardown(() => clearInterval(watch))
  for (const version of ['--http1.1', '--http2']) {
    t.equal(await curlSum([version, `${url}/down`]), expected, `${version} down`)
    await curlSum([version, '-T', '-', '-H', 'Expect:', `${url}/up`], size)
    t.equal(sums.at(-1), expected, `${version} up`)
  }
  // Client side, proxy and backend all live in this process: each has its buffers.
  t.ok(peak - before < 128 * megabyte, `grew by ${(peak - before) / megabyte} MiB`)
})

t.test('a client that does not read stops the backend', async t => {
  const eager = await startBackend(t, (_request, response) => {
    response.on('error', () => {})
    write(response, size).catch(() => {})
  })
  const { port, log } = await startProxy(t, {
    backends: [eager.url],
    limits: { bodyTimeout: 1_000 },
  })
  const socket = await rawConnection(port)
  socket.write('GET /down HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
  await once(socket, 'readable')
  const [sending] = eager.sockets
  await until(() => log.requests.length === 1, 'the client to be given up')
  t.match(log.requests, [{ error: 'client-timeout' }])
  // Buffers on the way have filled up: those of four sockets, and a block or two.
  t.ok(
    (sending?.bytesWritten ?? 0) < 32 * megabyte,
    `stopped after ${sending?.bytesWritten}`,
  )
  socket.destroy()
  await until(() => eager.sockets.size === 0, 'the backend to hear of it')
})

t.test('a backend that does not read stops the client', async t => {
  const deaf = await startBackend(t, request => void request.pause())
  const slow = await startProxy(t, {
    backends: [deaf.url],
    limits: { backendHeadersTimeout: 2_000 },
  })
  const socket = await rawConnection(slow.port)
  socket.write(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${size}\r\n\r\n`)
  const sending = write(socket, size).catch(() => {})
  await until(() => slow.log.requests.length === 1, 'the backend to be given up')
  t.match(slow.log.requests, [{ status: 504 }])
  const taken = socket.bytesWritten - socket.writableLength
  t.ok(taken < 32 * megabyte, `HTTP/1.1: ${taken} bytes taken`)
  socket.destroy()
  await sending

  const patient = await startProxy(t, { backends: [deaf.url] })
  const session = connect(patient.url, { rejectUnauthorized: false })
  session.on('error', () => {})
  const stream = session.request({ ':method': 'POST', ':path': '/' })
  stream.on('error', () => {})
  for (const chunk of bytes(8 * megabyte)) stream.write(chunk)
  await until(() => deaf.requests.length === 2)
  const given = await sentBeforeRest(session)
  // Two windows at most: the client's own buffer holds the rest.
  t.ok(given < 8 * megabyte, `HTTP/2: ${given}`)
  session.destroy()
  await until(() => patient.log.requests.length === 1, 'the request to be given up')
  t.match(patient.log.requests, [{ status: 499 }])
})

/**
 * Bytes that went out until a good number of answered pings in a row brought no more: each has
 * gone past all that the other side could have granted room for.
 */
async function sentBeforeRest(session: ClientHttp2Session): Promise<number> {
  const pingLength = 17
  let sent = 0
  for (let still = 0; still < 20; still += 1) {
    await new Promise<void>((resolve, reject) =>
      session.ping(error => (error === null ? resolve() : reject(error))),
    )
    const now = session.socket.bytesWritten
    if (now - sent > pingLength) still = 0
    sent = now
  }
  return sent
}

t.test('a client that goes away takes its backend request along', async t => {
  for (const body of [undefined, 'some of it']) {
    const seen = backend.requests.length
    const socket = await rawConnection(port)
    const length = body === undefined ? 0 : 100
    socket.write(
      `POST /hang HTTP/1.1\r\nHost: a\r\nContent-Length: ${length}\r\n\r\n${body ?? ''}`,
    )
    await until(() => backend.requests.length > seen)
    const request = backend.requests.at(-1) as IncomingMessage
    socket.destroy()
    await until(() => request.socket.destroyed, 'HTTP/1.1: the backend to hear of it')
    t.equal(request.complete, body === undefined, 'no part is taken for the whole')
  }
  for (const body of [undefined, 'some of it']) {
    for (const leave of ['cancel', 'disconnect']) {
      const seen = backend.requests.length
      const client = new RawHttp2(await rawConnection(port, { protocol: 'h2' }))
      client.request(
        [
          [':method', 'POST'],
          [':scheme', 'https'],
          [':authority', 'a'],
          [':path', '/hang'],
        ],
        body,
        false,
      )
      await until(() => backend.requests.length > seen)
      const request = backend.requests.at(-1) as IncomingMessage
      if (leave === 'cancel') client.cancel()
      else client.socket.destroy()
      await until(
        () => request.socket.destroyed,
        `HTTP/2 ${leave}: the backend to hear of it`,
      )
      t.equal(request.complete, body === undefined, `no part is taken for the whole`)
      client.socket.destroy()
    }
  }
  const lines = () => log.requests.filter(line => line['path'] === '/hang')
  await until(() => lines().length === 6)
  for (const line of lines()) t.equal(line['status'], 499)
})

t.test('an answer that breaks off is never taken for a whole one', async t => {
  for (const path of ['/cut', '/cut-chunked']) {
    for (const version of ['--http1.1', '--http2']) {
      const child = spawn('curl', ['-sk', version, '-o', '/dev/null', `${url}${path}`])
      const [code] = await once(child, 'close')
      t.ok([18, 56, 92].includes(code), `${version} ${path}: curl says ${code}`)
    }
  }
})

t.test('nothing is left of all that', async t => {
  await until(() => proxy.stats().connections === 0)
  await until(() => proxy.stats().requests === log.requests.length)
  t.equal(log.requests.length, 14)
})
