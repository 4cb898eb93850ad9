import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { partOf } from '../../test/fixtures/takeover/object.ts'

/** `/N` is an object of so many bytes, in ranges under an entity tag. */
const etag = '"of-the-benchmark"'
const server = createServer((request, response) => {
  const length = Number(request.url?.slice(1))
  const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '')
  const first = Number(range?.[1] ?? 0)
  const last = Number(range?.[2] || length - 1)
  response.writeHead(range === null ? 200 : 206, {
    ETag: etag,
    'Content-Length': last - first + 1,
    ...(range && { 'Content-Range': `bytes ${first}-${last}/${length}` }),
  })
  let at = first
  const pump = () => {
    while (at <= last) {
      const part = partOf(at, last + 1 - at)
      at += part.length
      if (response.write(part)) continue
      response.once('drain', pump)
      return
    }
    response.end()
  }
  pump()
})
server.listen(0, '127.0.0.1', () => {
  process.send?.({ port: (server.address() as AddressInfo).port })
})
process.on('disconnect', () => process.exit(0))
