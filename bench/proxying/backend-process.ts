import { createHash } from 'node:crypto'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { bodyBytes } from './load.ts'

/** Entry of the backend: `/NAME` has a body of that size, and nothing else is done. */
const chunk = Buffer.alloc(bodyBytes.mib, 'handfast ')
const lengths = new Map(
  Object.entries(bodyBytes).map(([name, bytes]) => [`/${name}`, bytes]),
)

/** Milliseconds. */
const workTime = () => 10 + 20 * Math.random()

const server = createServer((request, response) => {
  request.resume()
  const length = lengths.get(request.url ?? '')
  if (length === undefined) {
    response.writeHead(404, { 'content-length': '0' }).end()
    return
  }
  response.writeHead(200, {
    'content-type': 'application/octet-stream',
    'content-length': String(length),
  })
  const works = request.url === '/high' || request.url === '/low'
  if (works) setTimeout(() => send(response, length), workTime())
  else send(response, length)
})
// The least that makes a WebSocket: nobody says anything on it.
server.on('upgrade', (request, socket) => {
  const accept = createHash('sha1')
    .update(`${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
    .digest('base64')
  socket.on('error', () => {})
  socket.write(
    'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
      `Sec-WebSocket-Accept: ${accept}\r\n\r\n`,
  )
})
server.keepAliveTimeout = 60_000
server.listen(0, '127.0.0.1', () => {
  process.send?.({ port: (server.address() as AddressInfo).port })
})

function send(response: ServerResponse, left: number): void {
  for (; left > chunk.length; left -= chunk.length) {
    if (response.write(chunk)) continue
    response.once('drain', () => send(response, left - chunk.length))
    return
  }
  response.end(chunk.subarray(0, left))
}

process.on('disconnect', () => process.exit(0))
