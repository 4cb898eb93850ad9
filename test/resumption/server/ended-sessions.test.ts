import { once } from 'node:events'
import { createSecureServer } from 'node:http2'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { createFarm } from '../../../lib/index.ts'
import {
  frame,
  frameTypes,
  headersFrame,
  pseudoFields,
  RawHttp2,
  rawConnection,
} from '../../fixtures/proxy/raw.ts'
import { p256 } from '../../fixtures/tls/certificates.ts'
import { until } from '../../fixtures/until.ts'

t.test('an attached HTTP/2 server keeps no connection that HTTP/2 has left', async t => {
  const farm = await createFarm()
  t.teardown(() => farm.close())
  const paths: unknown[] = []
  const server = createSecureServer(await p256('localhost'), (request, response) => {
    paths.push(request.url)
    if (request.url === '/') response.end('here')
  })
  server.on('sessionError', () => {})
  farm.attach(server)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  const open = async () =>
    new RawHttp2(await rawConnection(port, { protocol: 'h2', allowHalfOpen: true }))

  const honest = await open()
  honest.send(headersFrame(1, pseudoFields('GET', '/open'), true))
  const clients = await Promise.all(Array.from({ length: 20 }, open))
  for (const client of clients) {
    client.send(
      headersFrame(1, pseudoFields('GET', '/hang'), true),
      frame(frameTypes.ping, 0, 0, Buffer.alloc(7)),
    )
  }
  await until(() => paths.length === 21)
  let count = 21
  await until(() => {
    server.getConnections((_error, connections) => {
      count = connections
    })
    return count === 1
  }, 'all but the honest to be gone')
  honest.send(headersFrame(3, pseudoFields('GET', '/'), true))
  await until(() => honest.statusOn(3) === 200, 'the honest to be served')
  for (const client of [...clients, honest]) client.socket.destroy()
})
