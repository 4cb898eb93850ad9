import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import t from 'tap'
import type { Site } from '../../../lib/proxy/options.ts'
import { startRawBackend } from '../../fixtures/backend/raw-backend.ts'
import { backendFigures } from '../../fixtures/proxy/backend-figures.ts'
import { Browser } from '../../fixtures/proxy/browser.ts'
import { farmProxies } from '../../fixtures/proxy/farm.ts'
import {
  defaultSite,
  startBackend,
  startProxy,
  type Teardown,
  type TestBackend,
} from '../../fixtures/proxy/servers.ts'
import { until } from '../../fixtures/until.ts'

/** Backends that say which one they are, and each how often it is asked. */
async function named(t: Teardown, ...names: string[]): Promise<TestBackend[]> {
  return await Promise.all(
    names.map(name =>
      startBackend(t, (_request, response: ServerResponse) => response.end(name)),
    ),
  )
}

async function siteOf(backends: TestBackend[], more: Partial<Site>): Promise<Site> {
  return { ...(await defaultSite(backends.map(({ url }) => url))), ...more }
}

function stop(backend: TestBackend | undefined): void {
  backend?.server.close()
  backend?.server.closeAllConnections()
}

const cookie = '__Host-handfast-backend'

t.test('by cookie: the same backend on every proxy of the farm', async t => {
  const backends = await named(t, 'a', 'b', 'c')
  const site = await siteOf(backends, { affinity: { by: 'cookie' } })
  const proxies = await farmProxies(t, { count: 2, sites: () => [site] })
  const ports = proxies.map(({ port }) => port)
  const used = new Set<string>()
  for (let i = 0; i < 12; i++) {
    const browser = new Browser()
    const first = await browser.get(ports[i % 2] as number)
    used.add(first)
    for (let j = 0; j < 4; j++) t.equal(await browser.get(ports[j % 2] as number), first)
    t.equal(browser.setCookies.length, 1, 'told once')
    t.match(
      browser.setCookies[0],
      /^__Host-handfast-backend=[\w.-]+; Path=\/; Secure; HttpOnly; SameSite=Lax$/,
    )
  }
  t.equal(used.size, 3, 'and new clients are spread')
  const stranger = new Browser()
  await stranger.get(ports[0] as number)
  t.equal(stranger.lastHeaders['cache-control'], 'private')
})

t.test('a backup takes the client, and keeps it when the first is back', async t => {
  const backends = await named(t, 'a', 'b', 'c')
  const site = await siteOf(backends, { affinity: { by: 'cookie' } })
  const proxies = await farmProxies(t, { count: 2, sites: () => [site] })
  const [one, two] = proxies.map(({ port }) => port) as [number, number]
  const browser = new Browser()
  const first = await browser.get(one)
  const failed = backends['abc'.indexOf(first)] as TestBackend
  const { port } = failed.server.address() as { port: number }
  // A request that is under way now will show the old cookie again.
  const old = browser.cookies.get(cookie)
  stop(failed)
  const backup = await browser.get(one)
  t.not(backup, first)
  t.equal(await browser.get(two), backup)
  // All proxies choose the same backup, before any has told the other.
  const late = new Browser()
  late.cookies.set(cookie, old as string)
  t.equal(await late.get(two), backup)
  failed.server.listen(port, '127.0.0.1')
  await until(() => failed.server.listening)
  await until(
    () => proxies.every(({ proxy }) => backendFigures(proxy, failed.url).ready === 1),
    'it is passed over no more',
  )
  for (let i = 0; i < 4; i++) t.equal(await browser.get(i % 2 ? one : two), backup)
  const lost = new Browser()
  lost.cookies.set(cookie, old as string)
  t.equal(await lost.get(one), backup, 'also for who did not get the new cookie')
  t.match(lost.setCookies[0], cookie, 'and gets it now')
})

t.test('a kept-alive connection found dead costs no client its place', async t => {
  const asked = new WeakMap<Socket, number>()
  const closing = (name: string) =>
    startRawBackend(t, (_target, socket) => {
      const requests = (asked.get(socket) ?? 0) + 1
      asked.set(socket, requests)
      if (requests > 1) socket.destroy()
      else socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n${name}`)
    })
  const backends = await Promise.all(['a', 'b', 'c'].map(closing))
  const site = await defaultSite(backends.map(({ url }) => url))
  const { port, log } = await startProxy(t, {
    sites: [{ ...site, affinity: { by: 'cookie' } }],
  })
  const browser = new Browser()
  const first = await browser.get(port)
  for (let i = 0; i < 6; i++) t.equal(await browser.get(port), first)
  t.equal(browser.setCookies.length, 1)
  await until(() => log.requests.length === 7, 'the log')
  const [{ backend }, ...later] = log.requests as [{ backend: string }]
  const { heads } = backends.find(({ url }) => url === backend) as { heads: string[] }
  t.ok(heads.length > later.length + 1, 'some were sent twice')
})

t.test('one whose new connection dies as well is left, for a backup', async t => {
  const dying = await startRawBackend(t, (target, socket) => {
    if (target === '/dies') socket.destroy()
    else socket.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\ndying')
  })
  const [backup] = (await named(t, 'backup')) as [TestBackend]
  const site = await defaultSite([dying.url, backup.url])
  const { port } = await startProxy(t, {
    sites: [{ ...site, affinity: { by: 'cookie' } }],
  })
  let browser = new Browser()
  while ((await browser.get(port)) !== 'dying') browser = new Browser()
  t.equal(await browser.get(port, {}, '/dies'), 'backup')
  t.equal(dying.heads.filter(head => head.startsWith('GET /dies')).length, 2)
  t.equal(await browser.get(port), 'backup', 'which keeps it')
})

t.test('a backend that is full is waited for by its own clients', async t => {
  const waiting = new Map<string, ServerResponse[]>()
  const holding = (name: string) =>
    startBackend(t, (request, response) => {
      if (request.url === '/') response.end(name)
      else waiting.set(name, [...(waiting.get(name) ?? []), response])
    })
  const backends = await Promise.all(['a', 'b'].map(holding))
  const more = {
    affinity: { by: 'cookie' },
    backends: backends.map(({ url }) => ({ url, maxRequests: 1 })),
  } as const
  const site = await siteOf(backends, more)
  const { proxy, port } = await startProxy(t, {
    sites: [
      { ...site, routes: [{ match: { path: '/now' }, limits: { queueTimeout: 0 } }] },
    ],
    limits: { clientShare: 100, queueTimeout: 20_000 },
  })
  const browser = new Browser()
  const first = await browser.get(port)
  const { url } = backends['ab'.indexOf(first)] as TestBackend
  const slow = browser.get(port, {}, '/slow')
  await until(() => waiting.get(first)?.length === 1, 'it is full')
  const next = browser.get(port)
  await until(() => backendFigures(proxy, url).waiting === 1, 'it is waited for')
  const hurried = new Browser()
  hurried.cookies.set(cookie, browser.cookies.get(cookie) as string)
  await hurried.get(port, {}, '/now')
  t.equal(hurried.lastStatus, 503, 'where nobody waits, nobody is moved either')
  waiting.get(first)?.[0]?.end(first)
  t.equal(await slow, first)
  t.equal(await next, first)
  t.equal(browser.setCookies.length, 1)
})

t.test('forbidden: a cookie that was not made here for this site', async t => {
  const backends = await named(t, 'a', 'b')
  const other = await siteOf(backends, { affinity: { by: 'cookie' } })
  const proxy = await startProxy(t, { sites: [other] })
  const elsewhere = await startProxy(t, { sites: [other] })
  const browser = new Browser()
  await browser.get(proxy.port)
  const good = browser.cookies.get(cookie) as string
  const from = new Browser()
  await from.get(elsewhere.port)
  const [backend, session, made, tag] = good.split('.')
  for (const bad of [
    from.cookies.get(cookie) as string,
    `${backend}.${session}.${made}.${tag?.slice(1)}A`,
    `${backend}.${session}.zzzzzz.${tag}`,
    `${backend}.AAAAAAAAAAAA.${made}.${tag}`,
    `${backend}.${session}.${made}`,
    'x'.repeat(3_000),
    '',
  ]) {
    const forger = new Browser()
    forger.cookies.set(cookie, bad)
    await forger.get(proxy.port)
    t.equal(forger.setCookies.length, 1, `new to us: ${bad.slice(0, 60)}`)
  }
})

t.test('by TLS session, as long as it resumes, on every proxy', async t => {
  const backends = await named(t, 'a', 'b', 'c')
  const site = await siteOf(backends, { class: 'secure' })
  const proxies = await farmProxies(t, { count: 2, sites: () => [site] })
  const ports = proxies.map(({ port }) => port)
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    const used = new Set<string>()
    for (let i = 0; i < 6; i++) {
      const client = new Browser({ maxVersion, resumes: true })
      const first = await client.get(ports[0] as number)
      used.add(first)
      for (let j = 0; j < 4; j++) t.equal(await client.get(ports[j % 2] as number), first)
      t.equal(client.resumed, 4, `${maxVersion} resumes`)
      t.equal(client.setCookies.length, 0)
    }
    t.equal(used.size, 3)
  }
})

t.test('a trusted proxy in front speaks for many: by cookie', async t => {
  const backends = await named(t, 'a', 'b', 'c')
  const site = await siteOf(backends, { affinity: { by: 'tls-session' } })
  const [proxy] = await farmProxies(t, {
    count: 1,
    sites: () => [site],
    trustedProxies: ['127.0.0.1'],
  })
  const gateway = new Browser({ resumes: true })
  const seen = new Set<string>()
  for (let i = 0; i < 6; i++) {
    gateway.cookies.clear()
    seen.add(await gateway.get(proxy?.port as number))
  }
  t.equal(gateway.setCookies.length, 6)
  t.equal(seen.size, 3)
})

t.test('a TLS session that brings two users is a gateway: by cookie', async t => {
  const backends = await named(t, 'a', 'b', 'c')
  const site = await siteOf(backends, {
    affinity: { by: 'tls-session' },
    authorizer: {
      authorize: async ({ headers }) => ({
        outcome: 'allowed',
        user: String(headers['x-who']),
        fields: [],
      }),
    },
  })
  const [proxy] = await farmProxies(t, { count: 1, sites: () => [site] })
  const gateway = new Browser({ keepAlive: true })
  t.teardown(() => gateway.close())
  const port = proxy?.port as number
  const first = await gateway.get(port, { 'X-Who': 'ann' })
  t.equal(await gateway.get(port, { 'X-Who': 'ann' }), first)
  t.equal(gateway.setCookies.length, 0)
  await gateway.get(port, { 'X-Who': 'bob' })
  t.equal(gateway.setCookies.length, 1)
})

t.test('by the value of a field, on every proxy, from the first request on', async t => {
  const backends = await named(t, 'a', 'b', 'c')
  const site = await siteOf(backends, { affinity: { by: 'header X-Cart' } })
  const ports = (await farmProxies(t, { count: 2, sites: () => [site] })).map(p => p.port)
  const used = new Set<string>()
  for (let i = 0; i < 12; i++) {
    const answers = await Promise.all(
      ports.map(port => new Browser().get(port, { 'X-Cart': `cart ${i}` })),
    )
    t.equal(answers[0], answers[1])
    used.add(answers[0] as string)
  }
  t.equal(used.size, 3)
})

t.test('a plain route is balanced each time, whatever the site has', async t => {
  const backends = await named(t, 'a', 'b')
  const site = await siteOf(backends, {
    affinity: { by: 'cookie' },
    routes: [{ match: { path: '/plain' }, class: 'plain' }],
  })
  const { port } = await startProxy(t, { sites: [site] })
  const browser = new Browser()
  const first = await browser.get(port)
  const plain = [
    await browser.get(port, {}, '/plain'),
    await browser.get(port, {}, '/plain'),
  ]
  t.strictSame(plain.sort(), ['a', 'b'])
  t.equal(await browser.get(port), first)
})

t.test('routes with backends of their own have places of their own', async t => {
  const [shop = [], files = []] = [await named(t, 'a', 'b'), await named(t, 'x', 'y')]
  const site = await siteOf(shop, {
    affinity: { by: 'cookie' },
    routes: [
      { match: { path: '/files' }, backends: files.map(({ url }) => url) },
      { match: { path: '/cart' } },
    ],
  })
  const { port } = await startProxy(t, { sites: [site] })
  const browser = new Browser()
  const first = await browser.get(port)
  const file = await browser.get(port, {}, '/files')
  for (let i = 0; i < 3; i++) {
    t.equal(await browser.get(port, {}, '/cart'), first)
    t.equal(await browser.get(port, {}, '/files'), file)
  }
  t.equal(browser.cookies.size, 2)
})
