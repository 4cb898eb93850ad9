import { once } from 'node:events'
import { createServer as createHttp, type IncomingMessage, type Server } from 'node:http'
import { connect as connectHttp2 } from 'node:http2'
import { createServer as createHttps } from 'node:https'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { acceptProxyProtocol } from '../../../lib/proxy-protocol/accept-proxy-protocol.ts'
import { rawConnection } from '../../fixtures/proxy/raw.ts'
import { defaultSite, MemoryLog, startProxy } from '../../fixtures/proxy/servers.ts'
import { p256 } from '../../fixtures/tls/certificates.ts'

/** A backend that wants the header, and says whose connection it has and how old it is. */
async function backend(t: Test, secure: boolean) {
  const log = new MemoryLog()
  const served = new WeakMap<object, number>()
  const listener = (request: IncomingMessage, response: { end(text: string): void }) => {
    const { socket } = request
    served.set(socket, (served.get(socket) ?? 0) + 1)
    const { remoteAddress, remotePort, localPort } = socket
    const nth = served.get(socket)
    response.end(JSON.stringify({ remoteAddress, remotePort, localPort, nth }))
  }
  const identity = await p256('localhost')
  const server: Server = secure ? createHttps(identity, listener) : createHttp(listener)
  acceptProxyProtocol(server, { from: ['127.0.0.1'], log })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  const url = secure ? `https://localhost:${port}` : `http://127.0.0.1:${port}`
  return { url, log, ca: identity.cert }
}

/** One request after the other on a connection of its own. */
async function client(port: number) {
  const socket = await rawConnection(port)
  const ask = async () => {
    socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    let text = ''
    while (!/\{.*\}/.test(text)) text += (await once(socket, 'data'))[0]
    return JSON.parse(/\{.*\}/.exec(text)?.[0] ?? '') as {
      remoteAddress: string
      remotePort: number
      localPort: number
      nth: number
    }
  }
  return { socket, ask, own: socket.localPort }
}

for (const version of ['v1', 'v2'] as const) {
  for (const secure of [false, true]) {
    const name = `${version} to ${secure ? 'https' : 'http'}`
    t.test(`${name}: a backend's connection is one client's, and names it`, async t => {
      const { url, log, ca } = await backend(t, secure)
      const site = await defaultSite([url])
      const { port } = await startProxy(t, {
        sites: [{ ...site, backendProxyProtocol: version, backendCa: ca }],
      })
      const [ann, bob] = await Promise.all([client(port), client(port)])
      for (let nth = 1; nth <= 3; nth += 1) {
        for (const { ask, own } of [ann, bob]) {
          t.match(await ask(), {
            remoteAddress: '127.0.0.1',
            remotePort: own,
            localPort: port,
            nth,
          })
        }
      }
      ann.socket.destroy()
      const eve = await client(port)
      t.match(
        await eve.ask(),
        { remotePort: eve.own, nth: 1 },
        'not the one that was left',
      )
      t.strictSame(log.lines, [])
      for (const { socket } of [bob, eve]) socket.destroy()
    })
  }
}

t.test(
  'requests of one HTTP/2 client have connections of their own, all in its name',
  async t => {
    const { url } = await backend(t, false)
    const site = await defaultSite([url])
    const { url: proxy } = await startProxy(t, {
      sites: [{ ...site, backendProxyProtocol: 'v2' }],
    })
    const session = connectHttp2(proxy, { rejectUnauthorized: false })
    t.teardown(() => session.destroy())
    await once(session, 'connect')
    const own = session.socket.localPort
    const answers = await Promise.all(
      Array.from({ length: 12 }, async () => {
        let text = ''
        for await (const chunk of session.request({ ':path': '/' })) text += chunk
        return JSON.parse(text) as { remotePort: number }
      }),
    )
    t.ok(answers.every(({ remotePort }) => remotePort === own))
  },
)

t.test('backends in turn are still taken in turn', async t => {
  const [one, two] = await Promise.all([backend(t, false), backend(t, false)])
  const site = await defaultSite([one.url, two.url])
  const { port, log } = await startProxy(t, {
    sites: [{ ...site, backendProxyProtocol: 'v1' }],
  })
  const { ask, socket } = await client(port)
  for (let i = 0; i < 6; i += 1) await ask()
  const used = log.requests.map(({ backend }) => backend)
  t.equal(used.filter(origin => origin === one.url).length, 3)
  socket.destroy()
})

t.test('a connection of HTTP/2 is many clients: together they are refused', async t => {
  const site = await defaultSite(['http://127.0.0.1:1'])
  const both = { backendProxyProtocol: 'v1', backendProtocol: 'http2' } as const
  await t.rejects(
    startProxy(t, { sites: [{ ...site, ...both }] }),
    /backendProxyProtocol needs a backendProtocol of http1/,
  )
})
