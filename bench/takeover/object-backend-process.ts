import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { sendObject } from '../../lib/cli/demo/takeover/send-object.ts'
import { partOf } from '../../test/fixtures/takeover/object.ts'

/** `/N` is an object of so many bytes, in ranges under an entity tag. */
const etag = '"of-the-benchmark"'
const server = createServer((request, response) => {
  const length = Number(request.url?.slice(1))
  sendObject(request, response, { length, etag, partOf })
})
server.listen(0, '127.0.0.1', () => {
  process.send?.({ port: (server.address() as AddressInfo).port })
})
process.on('disconnect', () => process.exit(0))
