import { once } from 'node:events'
import { createSecureServer } from 'node:http2'
import { createServer, type ServerOptions } from 'node:https'
import { type AddressInfo, connect, createServer as createTcpServer } from 'node:net'
import type { Server } from 'node:tls'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import { Http1Pool } from '../../lib/backend/http1/http1-pool.ts'
import { Http2Pool } from '../../lib/backend/http2/http2-pool.ts'
import type { Pool, PoolOptions } from '../../lib/backend/pool.ts'
import { TlsSessions } from '../../lib/backend/tls-sessions.ts'
import { silentLog } from '../../lib/log.ts'
import { acceptProxyProtocol } from '../../lib/proxy-protocol/accept-proxy-protocol.ts'
import { ManualClock } from '../fixtures/manual-clock.ts'
import type { Teardown } from '../fixtures/proxy/servers.ts'
import { authority, serverOf } from '../fixtures/tls/certificates.ts'

const limits = {
  connectTimeout: 2_000,
  headersTimeout: 2_000,
  bodyTimeout: 2_000,
  maxHeaderBytes: 16_384,
}

const ca = await authority()
const backend = await serverOf('Test CA', 'backend.test', '127.0.0.1')
const stranger = await serverOf('Test CA', 'stranger.test')

async function listen(t: Teardown, server: Server): Promise<URL> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  return new URL(`https://127.0.0.1:${(server.address() as AddressInfo).port}`)
}

/** Closes each connection after its answer. */
function closing(options: ServerOptions = {}): Server {
  return createServer({ ...backend, ...options }, (_request, response) => {
    response.setHeader('Connection', 'close')
    response.end()
  })
}

function poolTo(
  t: Teardown,
  url: URL,
  sessions: TlsSessions,
  options: Partial<PoolOptions> = {},
): Pool {
  const pool = new Http1Pool(url, { ...limits, ca: ca.cert, sessions, ...options })
  t.teardown(() => pool.destroy())
  return pool
}

/** On a new connection each, one after the other: status, or code of the error. */
async function ask(pool: Pool, times: number): Promise<unknown[]> {
  const outcomes: unknown[] = []
  for (let i = 0; i < times; i += 1) {
    outcomes.push(
      await new Promise(resolve => {
        let status = 0
        pool.send(
          {
            method: 'GET',
            path: '/',
            fields: ['Host', 'a'],
            body: undefined,
            upgrade: undefined,
          },
          {
            onSend() {},
            onInform() {},
            onResponse(answer) {
              status = answer
            },
            onData() {},
            onEnd: () => resolve(status),
            onUpgrade: () => resolve('upgrade'),
            onError: error => resolve((error as NodeJS.ErrnoException).code),
          },
          true,
        )
      }),
    )
  }
  return outcomes
}

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
  t.test(`connections to a backend of ${maxVersion} resume, garbage or not`, async t => {
    const sessions = new TlsSessions()
    const pool = poolTo(t, await listen(t, closing({ maxVersion })), sessions)
    for (let i = 0; i < 3; i += 1) {
      t.same(await ask(pool, 2), [200, 200])
      collectGarbage()
    }
    t.same(sessions.handshakes, { full: 1, resumed: 5 })
  })
}

t.test('connections of HTTP/2 to a backend resume', async t => {
  const server = createSecureServer(backend, (_request, response) => void response.end())
  const sessions = new TlsSessions()
  const pool = new Http2Pool(await listen(t, server), {
    ...limits,
    ca: ca.cert,
    sessions,
  })
  t.teardown(() => pool.destroy())
  t.same(await ask(pool, 4), [200, 200, 200, 200])
  t.same(sessions.handshakes, { full: 1, resumed: 3 })
})

t.test('they resume behind a header of the PROXY protocol', async t => {
  const server = closing()
  const accepted = acceptProxyProtocol(server, { from: ['127.0.0.1'], log: silentLog })
  t.teardown(() => accepted.close())
  const sessions = new TlsSessions()
  const pool = poolTo(t, await listen(t, server), sessions, { proxyProtocol: 'v2' })
  t.same(await ask(pool, 3), [200, 200, 200])
  t.same(sessions.handshakes, { full: 1, resumed: 2 })
})

t.test('what a backend of another name gave is never resumed from', async t => {
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    const sessions = new TlsSessions()
    const { port } = await listen(t, closing({ ...stranger, maxVersion }))
    const pool = poolTo(t, new URL(`https://localhost:${port}`), sessions)
    const mismatch = 'ERR_TLS_CERT_ALTNAME_INVALID'
    t.same(await ask(pool, 4), [mismatch, mismatch, mismatch, mismatch])
    t.equal(sessions.handshakes.resumed, 0)
  }
})

t.test('a backend that lost its keys makes a full handshake, once', async t => {
  const server = closing()
  const sessions = new TlsSessions()
  const pool = poolTo(t, await listen(t, server), sessions)
  await ask(pool, 4)
  server.setTicketKeys(Buffer.alloc(48, 7))
  t.same(await ask(pool, 4), [200, 200, 200, 200])
  t.same(sessions.handshakes, { full: 2, resumed: 6 })
})

t.test('no session follows for longer than a day from one full handshake', async t => {
  const clock = new ManualClock()
  const sessions = new TlsSessions(clock)
  const pool = poolTo(t, await listen(t, closing()), sessions)
  await ask(pool, 2)
  clock.advance(23 * 3_600_000)
  await ask(pool, 2)
  t.same(sessions.handshakes, { full: 1, resumed: 3 })
  clock.advance(2 * 3_600_000)
  await ask(pool, 2)
  t.same(sessions.handshakes, { full: 2, resumed: 4 })
})

for (const [what, code] of [
  ['fail', 'ECONNRESET'],
  ['hang', 'UND_ERR_CONNECT_TIMEOUT'],
])
  t.test(`a backend that a session makes ${what} is asked without one`, async t => {
    let hellos = 0
    const url = await listen(t, closing({ maxVersion: 'TLSv1.2' }))
    const front = createTcpServer(client => {
      hellos += 1
      client.on('error', () => {})
      // The second hello is the first one with a session in it.
      if (hellos === 2) {
        client.once('data', () => what === 'fail' && client.destroy())
        return
      }
      const behind = connect(Number(url.port), '127.0.0.1')
      behind.on('error', () => {})
      client.pipe(behind).pipe(client)
    })
    front.listen(0, '127.0.0.1')
    await once(front, 'listening')
    t.teardown(() => front.close())
    const { port } = front.address() as AddressInfo
    const sessions = new TlsSessions()
    const at = new URL(`https://127.0.0.1:${port}`)
    const pool = poolTo(t, at, sessions, {
      connectTimeout: what === 'hang' ? 300 : 5_000,
    })
    t.same(await ask(pool, 5), [200, code, 200, 200, 200])
    t.same(sessions.handshakes, { full: 2, resumed: 2 }, 'the third is full')
  })
