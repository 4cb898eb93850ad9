import { once } from 'node:events'
import {
  type AddressInfo,
  connect as connectTcp,
  createServer,
  type Socket,
} from 'node:net'
import { connect, type TLSSocket } from 'node:tls'
import t from 'tap'
import { certificateDigest } from '../../../lib/resumption/session/session-record.ts'
import { type SuiteName, suites } from '../../../lib/takeover/record-layer/suite.ts'
import { openFarm } from '../../fixtures/farm/insides.ts'
import {
  type FrontedOptions,
  frontedServer,
} from '../../fixtures/takeover/fronted-server.ts'
import { visit } from '../../fixtures/tls/client.ts'
import { certificateFor } from '../../fixtures/tls/servers.ts'
import { until } from '../../fixtures/until.ts'

const names = Object.keys(suites) as SuiteName[]

t.test('connections of TLS 1.3 are taken, in each suite', async t => {
  const { port } = await frontedServer(t)
  for (const ciphers of names) {
    const visited = await visit({ port, ciphers, target: `/${ciphers}` })
    t.equal(visited.protocol, 'TLSv1.3')
    t.match(JSON.parse(visited.body), {
      isProtected: true,
      servername: 'localhost',
      remoteAddress: /127\.0\.0\.1/,
      url: `/${ciphers}`,
    })
  }
})

t.test('others stay with TLS: of TLS 1.2, and of HTTP/2', async t => {
  const { port } = await frontedServer(t, { tls: { ALPNProtocols: ['h2', 'http/1.1'] } })
  const old = await visit({ port, maxVersion: 'TLSv1.2' })
  const told = JSON.parse(old.body)
  t.match(told, { isProtected: false, remoteAddress: /127\.0\.0\.1/ })
  const socket = connect({
    port,
    ALPNProtocols: ['h2'],
    rejectUnauthorized: false,
  })
  await once(socket, 'secureConnect')
  t.equal(socket.alpnProtocol, 'h2')
  socket.destroy()
  const http1 = await visit({ port, ALPNProtocols: ['http/1.1'] })
  t.match(JSON.parse(http1.body), { isProtected: true })
})

for (const mode of ['auto', 'stateful'] as const) {
  t.test(`a farm that is attached resumes as ever (${mode})`, async t => {
    const farm = await openFarm()
    t.teardown(() => farm.close())
    const options: FrontedOptions = {
      attach: server => farm.attach(server, { resumption: mode }),
    }
    const { port } = await frontedServer(t, options)
    const { port: other } = await frontedServer(t, options)
    let session: Buffer | undefined
    for (let n = 0; n < 6; n++) {
      const visited = await visit({
        port: n % 2 === 0 ? port : other,
        session,
        // Some are asked for a second hello.
        ...(n === 3 ? { ecdhCurve: 'P-521:P-256' } : {}),
      })
      const told = JSON.parse(visited.body)
      t.equal(visited.reused, n > 0, `visit ${n}`)
      t.match(told, { isProtected: true, serverName: 'localhost' })
      t.equal(told.resumed !== false, n > 0)
      session = visited.sessions.at(-1)
    }
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      const fresh = await visit({ port, maxVersion: version })
      const again = await visit({ port, maxVersion: version, session: fresh.sessions[0] })
      t.equal(again.reused, true, version)
    }
  })
}

t.test('a client certificate is known, and known again', async t => {
  const client = await certificateFor('client')
  const farm = await openFarm()
  t.teardown(() => farm.close())
  const { port, connections } = await frontedServer(t, {
    tls: { requestCert: true, rejectUnauthorized: false, ca: [client.cert] },
    attach: server => farm.attach(server),
  })
  const first = await visit({ port, ...client })
  t.match(JSON.parse(first.body), { authorized: true, clientAuthorized: true })
  const again = await visit({ port, ...client, session: first.sessions[0] })
  t.equal(again.reused, true)
  t.match(JSON.parse(again.body), { authorized: true, clientAuthorized: true })
  const none = await visit({ port })
  t.match(JSON.parse(none.body), { authorized: false, clientAuthorized: false })

  // A revocation ends what it names, although it is TLS no more.
  const socket = await idle(port, client)
  const stranger = await idle(port, {})
  await until(() => connections.size === 2)
  const [taken] = [...connections].filter(({ authorized }) => authorized)
  const der = taken?.getPeerCertificate().raw as Buffer
  const closed = once(socket, 'close')
  await farm.revoke({ certificate: certificateDigest(der) }, { close: true })
  await closed
  await until(() => connections.size === 1)
  t.notOk(stranger.destroyed)
  stranger.destroy()
})

t.test(
  "a request behind the Finished, in the same segment, is nobody else's",
  async t => {
    const { port } = await frontedServer(t)
    const relay = await heldRelay(t, port)
    const socket = connect({ port: relay.port, rejectUnauthorized: false })
    await until(() => relay.held > 100)
    relay.forward()
    await once(socket, 'secureConnect')
    socket.write('GET /one HTTP/1.1\r\n\r\n')
    socket.write('GET /two HTTP/1.1\r\nConnection: close\r\n\r\n')
    // CCS, Finished and two requests.
    await until(() => relay.held > 180)
    relay.forward()
    const text = await textOf(socket)
    t.match(text, /"isProtected":true.*"url":"\/one"/)
    t.match(text, /"url":"\/two"/)
  },
)

t.test('bytes one by one are a connection like any other', async t => {
  const { port } = await frontedServer(t)
  const relay = await heldRelay(t, port, 1)
  const visited = await visit({ port: relay.port })
  t.match(JSON.parse(visited.body), { isProtected: true })
})

t.test('what is no TLS is for TLS to refuse', async t => {
  const { port, sockets } = await frontedServer(t)
  for (const bytes of [
    'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n',
    '\x16\x03\x01\xff\xff',
    '\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00',
    '\x17\x03\x03\x00\x20aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',
    'a',
    '',
  ]) {
    const socket = connectTcp(port, '127.0.0.1')
    socket.on('error', () => {})
    socket.end(bytes, 'latin1')
    socket.resume()
    await once(socket, 'close')
  }
  await until(() => sockets.size === 0)
  t.pass('all are gone')
})

t.test('a probe is no failed handshake where a farm is attached', async t => {
  const farm = await openFarm()
  t.teardown(() => farm.close())
  const { port, sockets } = await frontedServer(t, {
    attach: server => farm.attach(server),
  })
  const socket = connectTcp(port, '127.0.0.1').resume()
  socket.end()
  await once(socket, 'close')
  await until(() => sockets.size === 0)
  t.equal(farm.stats().handshakes.failed, 0)
})

t.test("a hello that is sent twice takes nobody's secrets", async t => {
  const { port, connections } = await frontedServer(t)
  const relay = await heldRelay(t, port)
  const socket = connect({ port: relay.port, rejectUnauthorized: false })
  socket.on('error', () => {})
  await until(() => relay.held > 100)
  // Somebody else says the same hello while the first waits for an answer.
  const hello = relay.peek()
  const twin = connectTcp(port, '127.0.0.1')
  twin.on('error', () => {})
  const answers = Promise.all([once(twin, 'data'), once(socket, 'secureConnect')])
  relay.forward()
  twin.write(hello)
  await answers
  socket.write('GET / HTTP/1.1\r\nConnection: close\r\n\r\n')
  await until(() => relay.held > 120)
  relay.forward()
  t.match(await textOf(socket), /"url":"\/"/)
  t.equal(connections.size, 0)
  twin.destroy()
})

t.test('who leaves during the handshake leaves nothing behind', async t => {
  const { port, connections, sockets } = await frontedServer(t)
  for (let n = 0; n < 20; n++) {
    const socket = connect({ port, rejectUnauthorized: false })
    socket.on('error', () => {})
    if (n % 2 === 0) socket.once('session', () => socket.destroy())
    else socket.once('secureConnect', () => socket.destroy())
    await once(socket, 'close')
  }
  await until(() => sockets.size === 0 && connections.size === 0)
  t.pass('all are gone')
})

interface HeldRelay {
  readonly port: number
  /** Bytes of the client that wait. */
  readonly held: number
  peek(): Buffer
  /** Gives the server what there is, in one piece. */
  forward(): void
}

/** Between a client and the server. With `pieces` nothing is held, but comes in such pieces. */
async function heldRelay(t: Tap, port: number, pieces?: number): Promise<HeldRelay> {
  let held: Buffer[] = []
  let upstream: Socket | undefined
  const server = createServer({ noDelay: true }, client => {
    const next = connectTcp({ port, host: '127.0.0.1', noDelay: true })
    upstream = next
    for (const socket of [client, next]) socket.on('error', () => {})
    next.pipe(client)
    client.on('close', () => next.destroy())
    client.on('data', async chunk => {
      held.push(chunk)
      if (pieces === undefined) return
      client.pause()
      const bytes = Buffer.concat(held)
      held = []
      for (let at = 0; at < bytes.length; at += pieces) {
        await new Promise(resolve => next.write(bytes.subarray(at, at + pieces), resolve))
        await new Promise(resolve => setImmediate(resolve))
      }
      client.resume()
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    upstream?.destroy()
    server.close()
  })
  return {
    port: (server.address() as AddressInfo).port,
    get held() {
      return held.reduce((sum, { length }) => sum + length, 0)
    },
    peek: () => Buffer.concat(held),
    forward() {
      const bytes = Buffer.concat(held)
      held = []
      upstream?.write(bytes)
    },
  }
}

type Tap = { teardown(fn: () => unknown): void }

async function idle(port: number, options: object): Promise<TLSSocket> {
  const socket = connect({ port, rejectUnauthorized: false, ...options })
  socket.on('error', () => {})
  await once(socket, 'secureConnect')
  return socket.resume()
}

async function textOf(socket: TLSSocket): Promise<string> {
  let text = ''
  for await (const chunk of socket) text += chunk
  return text
}
