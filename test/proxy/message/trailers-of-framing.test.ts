import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import t from 'tap'
import { rawExchange } from '../../fixtures/proxy/raw.ts'
import { startProxy } from '../../fixtures/proxy/servers.ts'

const chunked = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n'

t.test('trailers say nothing of where an answer or its connection ends', async t => {
  const backend = createServer(socket => {
    socket.on('error', () => {})
    socket.on('data', request => {
      const [, field = ''] = /^GET \/(\S+)/.exec(String(request)) ?? []
      socket.write(`${chunked}${decodeURIComponent(field)}\r\nX-Kept: 1\r\n\r\n`)
    })
  }).listen(0, '127.0.0.1')
  await once(backend, 'listening')
  t.teardown(() => backend.close())
  const { port: backendPort } = backend.address() as AddressInfo
  const backends = [`http://127.0.0.1:${backendPort}`]
  const { port } = await startProxy(t, { backends })
  const fields = ['Content-Length: 9', 'Connection: close', 'Transfer-Encoding: chunked']
  // Each twice: the second time on the connection that the first has left, if it has.
  for (const field of fields.flatMap(field => [field, field])) {
    const path = encodeURIComponent(field)
    const answer = await rawExchange(
      port,
      `GET /${path} HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: close\r\n\r\n`,
    )
    t.match(answer, /^HTTP\/1.1 200 /, field)
    t.match(
      answer,
      /\r\n2\r\nhi\r\n0\r\nX-Kept: 1\r\n\r\n$/,
      'whole, with what may be said',
    )
  }
})
