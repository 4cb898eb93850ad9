import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import httpProxy from 'http-proxy'
import t from 'tap'
import { createFarm } from '../../lib/member/create-farm.ts'
import { attachHttpProxy } from '../../plugins/http-proxy.ts'
import { freePort } from '../fixtures/free-port.ts'
import { type VisitOptions, visit } from '../fixtures/tls/client.ts'
import { certificateFor, type TeardownScope } from '../fixtures/tls/servers.ts'

async function startBackend(t: TeardownScope): Promise<string> {
  const backend = createServer((_request, response) => response.end('from the backend'))
  backend.listen(0, '127.0.0.1')
  await once(backend, 'listening')
  t.teardown(() => backend.close())
  return `http://127.0.0.1:${(backend.address() as AddressInfo).port}`
}

for (const when of ['before', 'after']) {
  t.test(`an http-proxy attached ${when} it listens resumes on another`, async t => {
    const target = await startBackend(t)
    const pair = await certificateFor('localhost')
    const farm = await createFarm()
    t.teardown(() => farm.close())
    const ports: number[] = []
    for (let n = 0; n < 2; n += 1) {
      // A copy each, for http-proxy empties the object on the first request.
      const proxy = httpProxy.createServer({ target, ssl: { ...pair } })
      const port = await freePort()
      if (when === 'before') attachHttpProxy(farm, proxy)
      proxy.listen(port, '127.0.0.1')
      if (when === 'after') attachHttpProxy(farm, proxy)
      t.teardown(() => proxy.close())
      ports.push(port)
    }
    const [a, b] = ports as [number, number]
    for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
      const first = await visit({ port: a, maxVersion })
      t.match(first, { reused: false, body: /from the backend/ })
      const session = first.sessions[0]
      const again = await visit({ port: b, session, maxVersion } as VisitOptions)
      t.match(again, { reused: true, body: /from the backend/ })
    }
  })
}

t.test('an http-proxy without TLS is refused', async t => {
  const farm = await createFarm()
  t.teardown(() => farm.close())
  const proxy = httpProxy.createServer({ target: 'http://127.0.0.1:1' })
  t.teardown(() => proxy.close())
  attachHttpProxy(farm, proxy)
  const port = await freePort()
  t.throws(() => proxy.listen(port, '127.0.0.1'), { code: 'ERR_HANDFAST_USAGE' })
})
