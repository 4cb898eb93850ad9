import { once } from 'node:events'
import { connect as http2Connect } from 'node:http2'
import type { TLSSocket } from 'node:tls'
import t from 'tap'
import { rawConnection } from '../fixtures/proxy/raw.ts'
import { startBackend, startProxy } from '../fixtures/proxy/servers.ts'
import { until } from '../fixtures/until.ts'

t.test(
  'drain: open requests finish, idle connections end, new ones are refused',
  async t => {
    const held: (() => void)[] = []
    const slow = await startBackend(t, (q, r) => {
      if (q.url === '/slow') held.push(() => r.end('slow'))
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
    for (const answer of held) answer()
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
