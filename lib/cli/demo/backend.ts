import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface DemoBackend {
  readonly url: string
  close(): Promise<void>
}

/** Answers every request with a line that shows which way it came. */
export async function startBackend(): Promise<DemoBackend> {
  const server = createServer((request, response) => {
    const via = request.headers['x-forwarded-host'] ?? request.headers.host
    response.setHeader('content-type', 'text/plain; charset=utf-8')
    response.end(`hello from the backend: ${request.method} ${request.url} via ${via}\n`)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    async close() {
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
    },
  }
}
