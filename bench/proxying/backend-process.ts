import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { bodyBytes } from './load.ts'

/** Entry of the backend: `/NAME` has a body of that size, and nothing else is done. */
const bodies = new Map(
  Object.entries(bodyBytes).map(([name, bytes]) => [
    `/${name}`,
    Buffer.alloc(bytes, 'handfast '),
  ]),
)

const server = createServer((request, response) => {
  request.resume()
  const body = bodies.get(request.url ?? '')
  if (body === undefined) {
    response.writeHead(404, { 'content-length': '0' }).end()
    return
  }
  response.writeHead(200, {
    'content-type': 'application/octet-stream',
    'content-length': String(body.length),
  })
  response.end(body)
})
server.keepAliveTimeout = 60_000
server.listen(0, '127.0.0.1', () => {
  process.send?.({ port: (server.address() as AddressInfo).port })
})
process.on('disconnect', () => process.exit(0))
