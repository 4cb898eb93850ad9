import { connect as connectHttp2 } from 'node:http2'
import { connect, type TLSSocket } from 'node:tls'
import t from 'tap'
import { type ProxyVersion, writeHeader } from '../../lib/proxy-protocol/header.ts'
import { behindBalancer } from '../fixtures/proxy/behind-balancer.ts'
import { defaultSite, startBackend, startProxy } from '../fixtures/proxy/servers.ts'
import { until } from '../fixtures/until.ts'

const backend = await startBackend(t, (request, response) => {
  response.end(JSON.stringify(request.headers))
})
const backends = [backend.url]

const headerOf = (address: string, version: ProxyVersion = 'v2') =>
  writeHeader(version, {
    source: { address, port: 40_000 },
    destination: {
      address: address.includes(':') ? '2001:db8::1' : '192.0.2.1',
      port: 443,
    },
  })

async function client(
  port: number,
  header: Buffer,
  alpn = 'http/1.1',
): Promise<TLSSocket> {
  const socket = connect({
    socket: await behindBalancer(port, header),
    servername: 'localhost',
    rejectUnauthorized: false,
    ALPNProtocols: [alpn],
  })
  return socket.on('error', () => {})
}

const closed = (socket: TLSSocket) =>
  new Promise(resolve => socket.once('close', resolve))

async function get(socket: TLSSocket, fields = ''): Promise<Record<string, string>> {
  socket.write(`GET /x HTTP/1.1\r\nHost: a.example\r\n${fields}Connection: close\r\n\r\n`)
  let text = ''
  for await (const chunk of socket) text += chunk
  return JSON.parse(/\{.*\}/.exec(text)?.[0] ?? '{}')
}

t.test('the client of the header is the one in fields and in the log', async t => {
  const { port, log } = await startProxy(t, {
    backends,
    proxyProtocol: ['127.0.0.1'],
    // A balancer of TCP says nothing in HTTP: what comes there is the client's own word.
    trustedProxies: ['127.0.0.1'],
  })
  const seen = await get(
    await client(port, headerOf('203.0.113.7')),
    'X-Forwarded-For: 10.9.9.9\r\nForwarded: for=10.9.9.9\r\n',
  )
  t.match(seen, {
    forwarded: 'for=203.0.113.7;host=a.example;proto=https',
    'x-forwarded-for': '203.0.113.7',
    'x-forwarded-port': '443',
  })
  const six = await get(await client(port, headerOf('2001:db8::7', 'v1')))
  t.match(six, {
    forwarded: 'for="[2001:db8::7]";host=a.example;proto=https',
    'x-forwarded-for': '2001:db8::7',
  })
  await until(() => log.requests.length === 2)
  t.match(log.requests, [{ client: '203.0.113.7' }, { client: '2001:db8::7' }])
})

t.test('HTTP/2 tells the same', async t => {
  const { port } = await startProxy(t, { backends, proxyProtocol: ['127.0.0.1'] })
  const socket = await client(port, headerOf('203.0.113.8'), 'h2')
  const session = connectHttp2('https://localhost', { createConnection: () => socket })
  t.teardown(() => session.destroy())
  let text = ''
  for await (const chunk of session.request({ ':path': '/' })) text += chunk
  t.match(JSON.parse(text), { 'x-forwarded-for': '203.0.113.8' })
})

t.test('a trusted proxy behind the balancer is believed what it forwards', async t => {
  const { port } = await startProxy(t, {
    backends,
    proxyProtocol: ['127.0.0.1'],
    trustedProxies: ['198.51.100.0/24'],
  })
  const said = 'X-Forwarded-For: 203.0.113.9\r\n'
  t.match(await get(await client(port, headerOf('198.51.100.4')), said), {
    'x-forwarded-for': '203.0.113.9, 198.51.100.4',
  })
  t.match(await get(await client(port, headerOf('198.51.101.4')), said), {
    'x-forwarded-for': '198.51.101.4',
  })
})

t.test('a header that names nobody leaves the connection the balancer’s own', async t => {
  const said = 'X-Forwarded-For: 203.0.113.9\r\n'
  for (const version of ['v1', 'v2'] as const) {
    const proxyProtocol = ['127.0.0.1']
    const trusting = { backends, proxyProtocol, trustedProxies: ['127.0.0.1'] }
    for (const [options, expected] of [
      [trusting, '203.0.113.9, 127.0.0.1'],
      [{ backends, proxyProtocol }, '127.0.0.1'],
    ] as const) {
      const { port } = await startProxy(t, options)
      const seen = await get(await client(port, writeHeader(version, undefined)), said)
      t.match(seen, { 'x-forwarded-for': expected }, version)
    }
  }
})

t.test('clients of one balancer have shares of their own', async t => {
  const { port, log } = await startProxy(t, {
    backends,
    proxyProtocol: ['127.0.0.1'],
    limits: { maxConnections: 10, clientShare: 50 },
  })
  const open: TLSSocket[] = []
  t.teardown(() => {
    for (const socket of open) socket.destroy()
  })
  for (let i = 0; i < 6; i += 1) open.push(await client(port, headerOf('203.0.113.7')))
  await until(() => log.lines.some(({ fields }) => fields['limit'] !== undefined))
  t.match(log.lines.find(({ fields }) => fields['limit'] !== undefined)?.fields, {
    limit: 'limits.maxConnections',
    client: '203.0.113.7',
  })
  t.match(await get(await client(port, headerOf('203.0.113.8'))), {
    'x-forwarded-for': '203.0.113.8',
  })
})

t.test('a reload brings other balancers in, and those of before are clients', async t => {
  const { port, proxy, log } = await startProxy(t, { backends })
  const sites = [await defaultSite(backends)]
  const refused = await client(port, headerOf('203.0.113.7'))
  await closed(refused)
  proxy.reload({ sites, proxyProtocol: ['127.0.0.1'] })
  t.match(await get(await client(port, headerOf('203.0.113.7'))), {
    'x-forwarded-for': '203.0.113.7',
  })
  t.throws(() => proxy.reload({ sites, proxyProtocol: ['nobody'] }), /proxyProtocol must/)
  t.throws(() => proxy.reload({ sites: [], proxyProtocol: [] }), /sites must not/)
  t.match(
    await get(await client(port, headerOf('203.0.113.7'))),
    { 'x-forwarded-for': '203.0.113.7' },
    'one that is refused changes nothing',
  )
  proxy.reload({ sites })
  await closed(await client(port, headerOf('203.0.113.7')))
  t.equal(log.requests.length, 2)
})
