import { once } from 'node:events'
import { createServer as createHttp2Server } from 'node:http2'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { Browser } from '../../fixtures/proxy/browser.ts'
import { rawConnection, rawExchange, statusesOf } from '../../fixtures/proxy/raw.ts'
import {
  defaultSite,
  startBackend,
  startProxy,
  type Teardown,
} from '../../fixtures/proxy/servers.ts'
import { until } from '../../fixtures/until.ts'

/** A backend that never answers, by either version of HTTP. */
async function silent(t: Teardown, version: 'http1' | 'http2'): Promise<string> {
  if (version === 'http1') return (await startBackend(t, () => {})).url
  const server = createHttp2Server()
  server.on('sessionError', () => {})
  server.on('stream', stream => stream.on('error', () => {}))
  const sessions = new Set<{ destroy(): void }>()
  server.on('session', session => sessions.add(session))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const session of sessions) session.destroy()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

for (const version of ['http1', 'http2'] as const) {
  t.test(`${version}: a request has its time, and 504 after it`, async t => {
    const site = await defaultSite([await silent(t, version)])
    const { port, log } = await startProxy(t, {
      sites: [
        {
          ...site,
          backendProtocol: version,
          limits: { requestTimeout: 200 },
          routes: [{ match: { path: '/slow' }, limits: { requestTimeout: 0 } }],
        },
      ],
    })
    const browser = new Browser()
    await browser.get(port)
    t.equal(browser.lastStatus, 504)
    await until(() => log.requests.length === 1)
    t.match(log.requests[0], { error: 'request-timeout', status: 504 })
    // A route may let it take longer: the next one on the site itself ends before.
    const slow = await rawConnection(port)
    slow.write('GET /slow HTTP/1.1\r\nHost: a\r\n\r\n')
    await browser.get(port)
    t.equal(browser.lastStatus, 504)
    t.notOk(slow.destroyed)
    slow.destroy()
  })

  t.test(`${version}: a try has its time, and the next backend is asked`, async t => {
    const good = await silent(t, version)
    const { url } =
      version === 'http1'
        ? await startBackend(t, (_request, response) => void response.end('good'))
        : { url: await echoing(t) }
    const site = await defaultSite([])
    const { port, log } = await startProxy(t, {
      sites: [
        {
          ...site,
          backends: [good, { url, priority: 1 }],
          backendProtocol: version,
          // The second has no more of it than the first, and the machine may be busy.
          limits: { tryTimeout: 1_000 },
        },
      ],
    })
    const browser = new Browser()
    t.equal(await browser.get(port), 'good')
    t.match(
      log.lines.find(({ message }) => message === 'a backend is passed over')?.fields,
      { backend: good },
      'the one that did not answer',
    )
    await until(() => log.requests.length === 1)
    t.match(log.requests[0], { backend: url, status: 200 })
  })
}

t.test('an answer that has begun is cut', async t => {
  const { url } = await startBackend(t, (_request, response) => {
    response.writeHead(200, { 'Content-Length': '10' })
    response.write('abc')
  })
  const { port, log } = await startProxy(t, {
    backends: [url],
    limits: { requestTimeout: 2_000, tryTimeout: 1_000 },
  })
  const answer = await rawExchange(port, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  t.strictSame(statusesOf(answer), [200])
  t.ok(answer.endsWith('abc'))
  await until(() => log.requests.length === 1)
  t.match(log.requests[0], { error: 'request-timeout', status: 200, bytes: 3 })
})

t.test('what waits in the line has no more time than what does not', async t => {
  const { url } = await startBackend(t, () => {})
  const { port, log } = await startProxy(t, {
    backends: [url],
    limits: { requestTimeout: 300, queueTimeout: 60_000, maxBackendRequests: 1 },
  })
  const browsers = [new Browser(), new Browser()]
  await Promise.all(browsers.map(browser => browser.get(port)))
  t.strictSame(
    browsers.map(({ lastStatus }) => lastStatus),
    [504, 504],
  )
  await until(() => log.requests.length === 2)
})

t.test('a client that is long in sending is no fault of the backend', async t => {
  const { url } = await startBackend(t, (request, response) => {
    request.resume().on('end', () => response.end('ok'))
  })
  const { port, log } = await startProxy(t, {
    backends: [url],
    limits: { tryTimeout: 200 },
  })
  const answer = await rawExchange(
    port,
    'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: close\r\n\r\nab',
  )
  t.strictSame(statusesOf(answer), [504])
  t.notOk(log.lines.some(({ message }) => message === 'a backend is passed over'))
  await until(() => log.requests.length === 1)
  t.match(log.requests[0], { error: 'try-timeout' })
})

t.test('forbidden: a time that is none', async t => {
  for (const limits of [{ requestTimeout: -1 }, { tryTimeout: 0.5 }]) {
    await t.rejects(startProxy(t, { backends: ['http://127.0.0.1:1'], limits }), {
      code: 'ERR_HANDFAST_CONFIG',
      message: /Timeout/,
    })
  }
})

async function echoing(t: Teardown): Promise<string> {
  const server = createHttp2Server((_request, response) => void response.end('good'))
  const sessions = new Set<{ destroy(): void }>()
  server.on('session', session => sessions.add(session))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const session of sessions) session.destroy()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}
