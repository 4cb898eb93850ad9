import { once } from 'node:events'
import { createServer as createHttps } from 'node:https'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { defaultSite, startProxy } from '../../fixtures/proxy/servers.ts'
import { ask } from '../../fixtures/proxy/sites.ts'
import { authority, serverOf } from '../../fixtures/tls/certificates.ts'

t.test(
  'TLS to a backend: under its own name, checked, never under that of a client',
  async t => {
    const inside = await authority('Inside')
    const names: unknown[] = []
    const pair = await serverOf('Inside', 'localhost')
    const server = createHttps(pair, (q, r) => r.end(`inside ${q.headers.host}`))
    server.on('secureConnection', socket => names.push(socket.servername))
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    t.teardown(() => {
      server.closeAllConnections()
      server.close()
    })
    const { port: backendPort } = server.address() as AddressInfo
    const answers = async (host: string, backendCa: string | undefined) => {
      const { port } = await startProxy(t, {
        sites: [
          { ...(await defaultSite([`https://${host}:${backendPort}`])), backendCa },
        ],
      })
      return [await ask(port, 'x.test'), await ask(port, 'y.test')]
    }
    t.match(await answers('localhost', inside.cert), [
      { status: 200, body: 'inside x.test' },
      { status: 200, body: 'inside y.test' },
    ])
    t.strictSame(names, ['localhost'], 'one connection for both hosts')
    t.match(await answers('127.0.0.1', inside.cert), [{ status: 200 }, { status: 200 }])
    t.strictSame(names, ['localhost', false])
    t.match(await answers('localhost', undefined), [{ status: 502 }, { status: 502 }])
    const wrong = await serverOf('Inside', 'elsewhere.test')
    server.setSecureContext(wrong)
    server.closeAllConnections()
    t.match(await answers('localhost', inside.cert), [{ status: 502 }, { status: 502 }])
  },
)
