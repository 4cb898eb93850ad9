import { once } from 'node:events'
import { createServer as createHttp } from 'node:http'
import {
  type AddressInfo,
  connect,
  createServer,
  type Server,
  type Socket,
} from 'node:net'
import { createServer as createTls } from 'node:tls'
import t, { type Test } from 'tap'
import type { Clock } from '../../lib/clock.ts'
import { systemClock } from '../../lib/clock.ts'
import { createFarm } from '../../lib/member/create-farm.ts'
import { acceptProxyProtocol } from '../../lib/proxy-protocol/accept-proxy-protocol.ts'
import { writeHeader } from '../../lib/proxy-protocol/header.ts'
import { behindBalancer } from '../fixtures/proxy/behind-balancer.ts'
import { MemoryLog } from '../fixtures/proxy/servers.ts'
import { p256 } from '../fixtures/tls/certificates.ts'
import { visit } from '../fixtures/tls/client.ts'
import { certificateFor, listening, tellingServer } from '../fixtures/tls/servers.ts'
import { until } from '../fixtures/until.ts'

const from = ['127.0.0.1']
const ends = {
  source: { address: '203.0.113.7', port: 40_000 },
  destination: { address: '192.0.2.1', port: 443 },
}
const headers = { v1: writeHeader('v1', ends), v2: writeHeader('v2', ends) }

function endsOf(socket: Socket) {
  const { remoteAddress, remotePort, remoteFamily, localAddress, localPort } = socket
  return { remoteAddress, remotePort, remoteFamily, localAddress, localPort }
}

const shown = {
  remoteAddress: '203.0.113.7',
  remotePort: 40_000,
  remoteFamily: 'IPv4',
  localAddress: '192.0.2.1',
  localPort: 443,
}

async function listen(t: Test, server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  return (server.address() as AddressInfo).port
}

/** A server that says what it gets, and of whom; connections are counted as they are told. */
async function echo(t: Test, clock: Clock = systemClock) {
  const log = new MemoryLog()
  const told: ReturnType<typeof endsOf>[] = []
  const server = createServer(socket => {
    told.push(endsOf(socket))
    socket.on('error', () => {}).pipe(socket)
  })
  const accepted = acceptProxyProtocol(server, { from, log, clock })
  t.teardown(() => accepted.close())
  return { port: await listen(t, server), server, log, told, accepted }
}

for (const [version, header] of Object.entries(headers)) {
  for (const piece of [1, 7, Number.POSITIVE_INFINITY]) {
    const name = `${version} in pieces of ${piece}`
    t.test(`${name}: a server is told of the client, and gets what follows`, async t => {
      const { port, told } = await echo(t)
      const client = await behindBalancer(port, header, { piece })
      client.end('hello')
      let text = ''
      for await (const chunk of client) text += chunk
      t.equal(text, 'hello')
      t.strictSame(told, [shown])
    })

    t.test(`${name}: TLS on top of it, attached to a farm and not`, async t => {
      for (const attached of [false, true]) {
        const { key, cert } = await p256('localhost')
        const told: object[] = []
        const server = createTls({ key, cert }, socket => {
          told.push(endsOf(socket))
          socket
            .on('error', () => {})
            .end('HTTP/1.1 204 None\r\nConnection: close\r\n\r\n')
        })
        const farm = await createFarm()
        t.teardown(() => farm.close())
        if (attached) farm.attach(server, { proxyProtocol: from })
        else acceptProxyProtocol(server, { from })
        const port = await listen(t, server)
        await visit({ port, over: await behindBalancer(port, header, { piece }) })
        t.strictSame(told, [shown], `attached: ${attached}`)
      }
    })
  }
}

t.test('the parser of HTTP finds a request that came with the header', async t => {
  const server = createHttp((request, response) => {
    response.end(request.socket.remoteAddress)
  })
  const accepted = acceptProxyProtocol(server, { from })
  t.teardown(() => accepted.close())
  const port = await listen(t, server)
  const client = await behindBalancer(port, headers.v2)
  client.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
  let text = ''
  for await (const chunk of client) text += chunk
  t.match(text, /\r\n\r\n203\.0\.113\.7$/)
})

t.test(
  'an https server of a farm: whoever asks is the client, and it resumes',
  async t => {
    const farm = await createFarm()
    t.teardown(() => farm.close())
    const server = await tellingServer()
    const addresses: unknown[] = []
    server.on('request', ({ socket }) => addresses.push(socket.remoteAddress))
    farm.attach(server, { proxyProtocol: from })
    const port = await listening(t, server)
    const over = () => behindBalancer(port, headers.v1)
    const first = await visit({ port, over: await over() })
    const again = await visit({ port, over: await over(), session: first.sessions[0] })
    t.equal(first.reused, false)
    t.equal(again.reused, true)
    t.strictSame(addresses, ['203.0.113.7', '203.0.113.7'])
    farm.detach(server)
    await visit({ port })
    t.match(addresses.at(-1), /127\.0\.0\.1$/, 'without the farm no header is read')
  },
)

t.test('one of its own of the balancer has its own ends', async t => {
  for (const header of [writeHeader('v1'), writeHeader('v2')]) {
    const { port, told } = await echo(t)
    const client = await behindBalancer(port, header)
    client.end('x')
    await once(client.resume(), 'end')
    t.match(told, [{ remoteAddress: '127.0.0.1', localAddress: '127.0.0.1' }])
  }
})

t.test('of others no header is read: it reaches the server as it came', async t => {
  const server = createServer(socket => socket.on('error', () => {}).pipe(socket))
  acceptProxyProtocol(server, { from: ['10.0.0.0/8', '2001:db8::/32'] })
  const port = await listen(t, server)
  const client = await behindBalancer(port, headers.v1)
  client.end('x')
  let text = ''
  for await (const chunk of client) text += chunk
  t.equal(text, `${headers.v1}x`)
})

t.test('a balancer without header is refused, with a line in the log', async t => {
  for (const bytes of [
    '\x16\x03\x01',
    'PROXY TCP4 1.2.3.4\r\n',
    `PROXY ${'x'.repeat(200)}`,
  ]) {
    const { port, told, log } = await echo(t)
    const client = await behindBalancer(port, bytes)
    client.write('x')
    await once(client, 'close')
    t.strictSame(told, [])
    t.match(log.lines, [{ level: 'warn', fields: { balancer: '127.0.0.1' } }])
    t.equal(log.lines.length, 1)
  }
})

t.test('a balancer that only looks whether the port is open leaves no line', async t => {
  const { port, log, server } = await echo(t)
  for (const end of ['end', 'resetAndDestroy'] as const) {
    const raw = connect(port, '127.0.0.1').on('error', () => {})
    await once(raw, 'connect')
    raw[end]()
    await once(raw.resume(), 'close')
  }
  await new Promise<void>(resolve => {
    const look = () =>
      server.getConnections((_, count) => (count === 0 ? resolve() : setImmediate(look)))
    look()
  })
  t.strictSame(log.lines, [])
})

t.test('a header that does not come in time ends the connection', async t => {
  const waits: { ms: number; fn: () => void }[] = []
  const after: Clock['after'] = (ms, fn) => {
    const wait = { ms, fn }
    waits.push(wait)
    return { cancel: () => void waits.splice(waits.indexOf(wait), 1) }
  }
  const { port, told, log, accepted } = await echo(t, { ...systemClock, after })
  const slow = await behindBalancer(port, headers.v2.subarray(0, 20))
  slow.write('')
  await until(() => waits.length === 1)
  t.equal(waits[0]?.ms, 5_000)
  waits[0]?.fn()
  await once(slow.resume(), 'close')
  t.match(log.lines, [{ fields: { fault: 'no whole header in time' } }])

  const quick = await behindBalancer(port, headers.v2)
  quick.write('x')
  await until(() => told.length === 1)
  t.equal(waits.length, 0, 'who has said it is not waited for')

  const held = await behindBalancer(port, 'PROXY')
  held.write('')
  await until(() => waits.length === 1)
  accepted.close()
  await once(held.resume(), 'close')
  t.equal(waits.length, 0, 'closing ends those whose header has not come')
  quick.destroy()
})

t.test('a list that is none is refused, and the server stays as it was', async t => {
  const { key, cert } = await certificateFor('localhost')
  const server = createTls({ key, cert })
  const farm = await createFarm()
  t.teardown(() => farm.close())
  for (const [wrong, why] of [
    ['10.0.0.1', /proxyProtocol must be a list/],
    [['10.0.0.1/33'], /proxyProtocol must list addresses or subnets/],
    [true, /proxyProtocol must be a list/],
  ] as const) {
    const options = { proxyProtocol: wrong as unknown as string[] }
    t.throws(() => farm.attach(server, options), why)
    t.notOk(Object.hasOwn(server, 'emit'))
  }
  farm.attach(server)
  farm.detach(server)
})
