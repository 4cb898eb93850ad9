import { once } from 'node:events'
import { createReadStream } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer as createHttp, type RequestListener } from 'node:http'
import { createServer as createHttps } from 'node:https'
import { type AddressInfo, createServer as createListener } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createServer } from 'node:tls'
import { ProtectedConnection } from '../../lib/takeover/connection/protected-connection.ts'
import { TlsFront } from '../../lib/takeover/connection/tls-front.ts'
import { findLibcrypto } from '../../lib/takeover/native/libcrypto.ts'
import type { RecordLayerOrders, RecordLayerPorts } from './record-layer.ts'

const [{ key, cert, bytes }] = (await once(process, 'message')) as [RecordLayerOrders]
const isDirect = (await findLibcrypto()) !== undefined
const folder = await mkdtemp(join(tmpdir(), 'handfast-bench-'))
process.on('disconnect', async () => {
  await rm(folder, { recursive: true })
  process.exit()
})
const file = join(folder, 'object')
await writeFile(file, Buffer.alloc(bytes, 'what is in it makes no difference'))
const part = Buffer.alloc(65_536, 'what is in it makes no difference')

/** `/file` is read in pieces of 256 KiB, anything else is 64 KiB of memory again and again. */
const listener: RequestListener = ({ socket, url }, response) => {
  response.writeHead(200, { 'Content-Length': bytes })
  if (socket instanceof ProtectedConnection) {
    socket.plan({ first: 0, length: bytes, keepAlive: false }, () => {})
  }
  if (url === '/file') {
    createReadStream(file, { highWaterMark: 256 * 1024 }).pipe(response)
    return
  }
  let left = bytes
  const pump = () => {
    while (left > 0) {
      const next = part.subarray(0, left)
      left -= next.length
      if (response.write(next)) continue
      response.once('drain', pump)
      return
    }
    response.end()
  }
  pump()
}

const native = createHttps({ key, cert, ALPNProtocols: ['http/1.1'] }, listener)
const http = createHttp(listener)
const server = createServer({ key, cert, ALPNProtocols: ['http/1.1'] })
const front = new TlsFront(server)
server.on('secureConnection', socket =>
  front.take(socket, connection => {
    connection?.on('error', () => {})
    http.emit('connection', connection)
  }),
)
const ours = createListener({ noDelay: true }, socket => front.accept(socket))
for (const one of [native, ours]) {
  one.listen(0, '127.0.0.1')
  await once(one, 'listening')
}
process.send?.({
  tlsSocket: (native.address() as AddressInfo).port,
  recordLayer: (ours.address() as AddressInfo).port,
  isDirect,
} satisfies RecordLayerPorts)
