import { connect as connectHttp2 } from 'node:http2'
import t from 'tap'
import type { Authorizer } from '../../../lib/proxy/options.ts'
import { rawExchange, statusesOf } from '../../fixtures/proxy/raw.ts'
import { startBackend, startProxy } from '../../fixtures/proxy/servers.ts'
import { p256 } from '../../fixtures/tls/certificates.ts'
import { until } from '../../fixtures/until.ts'

const backend = await startBackend(t, (_, response) => response.end('backend'))
const path = '/.well-known/health'
const nobody: Authorizer = {
  authorize: async () => ({
    outcome: 'answered',
    answer: { status: 401, headers: {}, body: 'who are you?' },
  }),
}

/** A site with a name, and a log-in that lets nobody in. */
async function proxy(
  t: Parameters<typeof startProxy>[0],
  healthPath: string | undefined,
) {
  const { key, cert } = await p256('shop.example')
  const site = { names: ['shop.example'], key, cert, backends: [backend.url] }
  const state: { reason: string | undefined } = { reason: undefined }
  const started = await startProxy(t, {
    sites: [{ ...site, authorizer: nobody }],
    healthPath,
    notReady: () => state.reason,
  })
  return { ...started, state, site }
}

const ask = (
  target: string,
  host = 'Host: 127.0.0.1\r\n',
  method = 'GET',
  version = '1.1',
) => `${method} ${target} HTTP/${version}\r\n${host}Connection: close\r\n\r\n`

t.test('a check by address is answered, and is no request of a site', async t => {
  const { port, url, state, proxy: running, log } = await proxy(t, path)
  t.match(statusesOf(await rawExchange(port, ask(path))), [200])
  t.match(await rawExchange(port, ask(path, '', 'GET', '1.0')), / 200 OK\r\n/)
  const head = await rawExchange(port, ask(path, undefined, 'HEAD'))
  t.match(head, /^HTTP\/1\.1 200 /)
  t.match(head, /\r\n\r\n$/)
  const session = connectHttp2(url, { rejectUnauthorized: false })
  t.teardown(() => session.destroy())
  const stream = session.request({ ':path': path })
  const status = await new Promise(resolve =>
    stream.on('response', fields => resolve(fields[':status'])),
  )
  stream.resume()
  t.equal(status, 200)
  state.reason = 'the disk is on fire'
  const refused = await rawExchange(port, ask(path))
  t.match(statusesOf(refused), [503])
  t.notMatch(refused, 'fire', 'why is for the operator')
  t.strictSame(log.requests, [])
  t.equal(running.stats().requests, 0)
  t.equal(backend.requests.length, 0)
})

t.test('only it is answered so', async t => {
  const { port, log } = await proxy(t, path)
  const shop = 'Host: shop.example\r\n'
  for (const [text, status] of [
    [ask(`${path}/`), 421],
    [ask(`${path}?x`), 421],
    [ask('/'), 421],
    [ask(path, undefined, 'DELETE'), 421],
    [ask(path, `${shop}Content-Length: 0\r\n`, 'POST'), 401],
    [ask('/', shop), 401],
    [ask(path, ''), 400],
    [ask(path, 'Host: a\r\nHost: b\r\n'), 400],
    [ask(path, 'Host: a b\r\n'), 400],
  ] as const) {
    t.match(statusesOf(await rawExchange(port, text)), [status], text)
  }
  await until(() => log.requests.length === 9)
})

t.test('without a path there is none; a reload brings another', async t => {
  const { port, proxy: running, site } = await proxy(t, undefined)
  t.match(statusesOf(await rawExchange(port, ask(path))), [421])
  running.reload({ sites: [site], healthPath: '/up' })
  t.match(statusesOf(await rawExchange(port, ask('/up'))), [200])
  for (const healthPath of ['up', '', '/a?b', '/a b', '/a#b']) {
    t.throws(
      () => running.reload({ sites: [site], healthPath }),
      /healthPath must be a path/,
    )
  }
})

t.test('a body that comes with it does no harm to what follows', async t => {
  const { port } = await proxy(t, path)
  const answers = await rawExchange(
    port,
    `GET ${path} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello${ask(path)}`,
  )
  t.strictSame(statusesOf(answers), [200, 200])
})
