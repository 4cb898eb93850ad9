import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import type { Server, TLSSocket } from 'node:tls'
import t from 'tap'
import { patience } from '../../fixtures/patience.ts'
import { rawConnection } from '../../fixtures/proxy/raw.ts'
import { startProxy } from '../../fixtures/proxy/servers.ts'

/** More than all buffers hold, and many times what is waited for where nothing comes. */
const size = 12_000_000

const backend = createServer(socket => {
  socket.on('error', () => {})
  socket.once('data', request => {
    const [, status = ''] = /^\S+ \/(\S+)/.exec(String(request)) ?? []
    socket.pause()
    const head = `HTTP/1.1 ${status} Early\r\nConnection: close\r\nContent-Length: 7\r\n`
    // Closed with bytes unread, which makes a reset of it.
    socket.write(`${head}\r\nno more`, () => socket.destroy())
  })
}).listen(0, '127.0.0.1')
await once(backend, 'listening')
t.teardown(() => backend.close())
const { port: backendPort } = backend.address() as AddressInfo
const backends = [`http://127.0.0.1:${backendPort}`]

/** As many clients do: not a look at what comes before all has been sent. */
async function sendAll(socket: TLSSocket, head: string): Promise<void> {
  socket.pause()
  socket.write(head)
  const part = Buffer.alloc(50_000, 'x')
  const signal = AbortSignal.timeout(patience)
  const gone = once(socket, 'close', { signal })
  gone.catch(() => {})
  for (let left = size; left > 0; left -= part.length) {
    if (socket.destroyed) throw new Error('the connection was cut')
    if (socket.write(part)) continue
    await Promise.race([once(socket, 'drain', { signal }), gone])
  }
}

async function answerTo(socket: TLSSocket, enough: RegExp): Promise<string> {
  let text = ''
  for await (const chunk of socket) {
    text += chunk
    if (enough.test(text)) break
  }
  return text
}

t.test('an early answer reaches clients that send all before they read', async t => {
  const { port } = await startProxy(t, { backends })
  for (const status of [401, 413, 302, 200]) {
    const socket = await rawConnection(port)
    await sendAll(
      socket,
      `POST /${status} HTTP/1.1\r\nHost: a\r\nContent-Length: ${size}\r\n\r\n`,
    )
    const text = await answerTo(socket, /no more/)
    t.match(text, new RegExp(`^HTTP/1.1 ${status} `))
    t.match(text, /no more/)
    socket.destroy()
  }
})

t.test('so does an answer of our own, and one that ends its connection', async t => {
  const { port } = await startProxy(t, { backends, limits: { maxBodyBytes: 1_000 } })
  for (const connection of ['keep-alive', 'close']) {
    const socket = await rawConnection(port)
    const head = `POST / HTTP/1.1\r\nHost: a\r\nConnection: ${connection}\r\n`
    await sendAll(socket, `${head}Content-Length: ${size}\r\n\r\n`)
    t.match(await answerTo(socket, /Large\n/), /^HTTP\/1.1 413 /)
    socket.destroy()
  }
})

t.test('a client that goes on to send nothing is not waited for', async t => {
  const { port } = await startProxy(t, { backends, limits: { maxBodyBytes: 1_000 } })
  const socket = await rawConnection(port)
  socket.write(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${size}\r\n\r\nx`)
  socket.resume()
  await once(socket, 'close', { signal: AbortSignal.timeout(patience) })
  t.pass('its connection has ended')
})

t.test('a connection that sees many of them has nothing to remember of each', async t => {
  let served: TLSSocket | undefined
  const attach = (server: Server) =>
    void server.on('secureConnection', (socket: TLSSocket) => {
      served = socket
    })
  const limits = { maxBodyBytes: 10 }
  const sessions = { attach, detach() {} }
  const { port } = await startProxy(t, { backends, limits, sessions })
  const socket = await rawConnection(port)
  const answers = socket.setEncoding('latin1')[Symbol.asyncIterator]()
  const listeners: number[] = []
  let body = ''
  for (let i = 0; i < 3; i++) {
    socket.write(`${body}POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n`)
    for (let text = ''; !text.includes('Large\n'); ) text += (await answers.next()).value
    listeners.push((served as TLSSocket).listenerCount('close'))
    body = 'eleven byte'
  }
  t.strictSame(new Set(listeners).size, 1, listeners.join())
  socket.destroy()
})
