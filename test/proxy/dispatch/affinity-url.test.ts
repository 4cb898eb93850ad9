import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { connect } from 'node:http2'
import t from 'tap'
import { LocalAffinity } from '../../../lib/dispatch/affinity/affinity-table.ts'
import type { Handling, Site } from '../../../lib/proxy/options.ts'
import { backendFigures } from '../../fixtures/proxy/backend-figures.ts'
import { Browser } from '../../fixtures/proxy/browser.ts'
import { farmProxies } from '../../fixtures/proxy/farm.ts'
import { rawExchange } from '../../fixtures/proxy/raw.ts'
import {
  defaultSite,
  startBackend,
  startProxy,
  type Teardown,
  type TestBackend,
} from '../../fixtures/proxy/servers.ts'
import { until } from '../../fixtures/until.ts'

/** Backends that say which one they are, and which path and fields they were asked with. */
async function named(t: Teardown, ...names: string[]): Promise<TestBackend[]> {
  return await Promise.all(
    names.map(name =>
      startBackend(t, (request: IncomingMessage, response: ServerResponse) => {
        const { say, status = '200' } = Object.fromEntries(
          new URL(request.url ?? '', 'http://a').searchParams,
        )
        const fields = say === undefined ? [] : (JSON.parse(say) as string[])
        response.writeHead(Number(status), fields)
        const { host } = request.headers
        const prefix = request.headers['x-forwarded-prefix']
        response.end(`${name} ${request.url?.replace(/\?.*/, '')} ${host} ${prefix}`)
      }),
    ),
  )
}

async function siteOf(backends: TestBackend[], more: Partial<Site> = {}): Promise<Site> {
  return {
    ...(await defaultSite([])),
    backends: backends.map(({ url }, i) => ({ url, name: 'abcdef'[i] as string })),
    affinity: { by: 'path' },
    ...more,
  }
}

function stop(backend: TestBackend | undefined): void {
  backend?.server.close()
  backend?.server.closeAllConnections()
}

const say = (...fields: string[]) => `say=${encodeURIComponent(JSON.stringify(fields))}`

t.test(
  'a client that comes first is sent to the URL of a backend, and stays',
  async t => {
    const site = await siteOf(await named(t, 'a', 'b', 'c'))
    const proxies = await farmProxies(t, { count: 2, sites: () => [site] })
    const ports = proxies.map(({ port }) => port)
    const used = new Set<string>()
    for (let i = 0; i < 6; i++) {
      const browser = new Browser()
      await browser.get(ports[i % 2] as number, {}, '/shop/?q=1')
      t.equal(browser.lastStatus, 307)
      t.equal(browser.lastHeaders['cache-control'], 'no-store')
      const { location = '' } = browser.lastHeaders
      const [, name = ''] = /^\/backend-([abc])\/shop\/\?q=1$/.exec(location) ?? []
      used.add(name)
      for (const port of ports) {
        const body = await browser.get(port, {}, location)
        t.equal(body, `${name} /shop/ localhost /backend-${name}`)
        t.equal(browser.lastHeaders['cache-control'], undefined)
      }
    }
    t.equal(used.size, 3, 'and new clients are spread')
  },
)

t.test('what fields name of the site keeps the client there', async t => {
  const site = await siteOf(await named(t, 'a', 'b'))
  const { port } = await startProxy(t, { sites: [site] })
  const browser = new Browser()
  const ask = async (path: string, ...fields: string[]) => {
    await browser.get(port, {}, `/backend-b${path}?${say(...fields)}`)
    return browser.lastHeaders
  }
  for (const [said, told] of [
    ['/next', '/backend-b/next'],
    ['https://localhost/next', 'https://localhost/backend-b/next'],
    ['//localhost/', '//localhost/backend-b/'],
    ['https://LOCALHOST', 'https://LOCALHOST/backend-b/'],
    ['?page=2', '?page=2'],
    ['next', 'next'],
    ['https://other.example/next', 'https://other.example/next'],
    ['/backend-b/next', '/backend-b/next'],
    ['/backend-a/next', '/backend-a/next'],
    ['/backendless', '/backend-b/backendless'],
  ] as const) {
    const headers = await ask('/', 'Location', said, 'Content-Location', said)
    t.equal(headers.location, told, said)
    t.equal(headers['content-location'], told)
    const others = await ask(
      '/',
      'Refresh',
      `5; url=${said}`,
      'Link',
      `<${said}>; rel=next`,
    )
    t.equal(others['refresh'], `5; url=${told}`)
    t.equal(others['link'], `<${told}>; rel=next`)
  }
  for (const [path, said, told] of [
    ['/', 'a=1; Path=/', 'a=1; Path=/'],
    ['/', 'a=1; Path=/cart; Secure', 'a=1; Path=/backend-b/cart; Secure'],
    ['/', 'a=1; path=/backend-a/cart', 'a=1; Path=/backend-a/cart'],
    ['/login', 'a=1', 'a=1; Path=/'],
    ['/login', 'a=1; Path =/login', 'a=1; Path=/backend-b/login'],
    ['/shop/login', 'a=1', 'a=1'],
    ['/', '__Host-a=1; Path=/', '__Host-a=1; Path=/'],
  ] as const) {
    const headers = await ask(path, 'Set-Cookie', said)
    t.strictSame(headers['set-cookie'], [told], said)
  }
})

t.test('on HTTP/2, and with a path that the route strips', async t => {
  const site = await siteOf(await named(t, 'a', 'b'), {
    routes: [{ match: { path: '/api' }, stripPath: '/api' }],
  })
  const { port, url } = await startProxy(t, { sites: [site] })
  const session = connect(url, { rejectUnauthorized: false })
  session.on('error', () => {})
  t.teardown(() => session.destroy())
  const stream = session.request({
    ':path': `/backend-a/api/users?${say('Location', '/x', 'Set-Cookie', 'a=1; Path=/x')}`,
    ':authority': `localhost:${port}`,
  })
  const [headers] = await once(stream, 'response')
  let body = ''
  for await (const chunk of stream) body += chunk
  t.equal(body, `a /users localhost:${port} /backend-a/api`)
  t.equal(headers['location'], '/backend-a/api/x')
  t.strictSame(headers['set-cookie'], ['a=1; Path=/backend-a/api/x'])
})

t.test(
  'where a copy goes to, what a page sends, and WebSockets know of no names',
  async t => {
    const seen: IncomingMessage[] = []
    const backends = await Promise.all(
      ['a', 'b'].map(() =>
        startBackend(t, (request, response) => {
          seen.push(request)
          response.end()
        }),
      ),
    )
    for (const backend of backends) {
      backend.server.on('upgrade', (request, socket) => {
        seen.push(request)
        socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n')
      })
    }
    const site = await siteOf(backends)
    const { port } = await startProxy(t, { sites: [site] })
    const ask = async (method: string, path: string, ...fields: string[]) => {
      const lines = [...fields, 'Host: shop.example', 'Connection: close', '', '']
      const answer = await rawExchange(
        port,
        [`${method} ${path} HTTP/1.1`, ...lines].join('\r\n'),
      )
      return [answer, seen.at(-1)] as const
    }
    for (const [destination, told] of [
      ['/backend-a/copy', '/copy'],
      ['https://shop.example/backend-b/copy', 'https://shop.example/copy'],
      ['https://other.example/backend-b/copy', 'https://other.example/backend-b/copy'],
      ['/copy', '/copy'],
    ]) {
      const [, copied] = await ask('COPY', '/backend-a/x', `Destination: ${destination}`)
      t.equal(copied?.url, '/x')
      t.equal(copied?.headers['destination'], told)
    }
    const [refused, upgrade] = await ask(
      'GET',
      '/backend-b/chat?x',
      ...['Upgrade: websocket', 'Connection: Upgrade', 'Sec-WebSocket-Version: 13'],
      'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
    )
    t.match(refused, /^HTTP\/1\.1 403 /, 'to the backend, and not elsewhere first')
    t.equal(upgrade?.url, '/chat?x')
    t.equal(upgrade?.headers['x-forwarded-prefix'], '/backend-b')

    const hosts = await siteOf(backends, {
      names: ['shop.example', '*.farm.example'],
      affinity: { by: 'host', hosts: '*.farm.example' },
    })
    const proxy = await startProxy(t, { sites: [hosts] })
    const fields = [
      ...['Origin: https://shop.example', 'Referer: https://shop.example/page'],
      ...['Host: shop.example', 'Content-Length: 0', 'Connection: close', '', ''],
    ]
    await rawExchange(proxy.port, ['POST /x HTTP/1.1', ...fields].join('\r\n'))
    const { host = '', ...headers } = seen.at(-1)?.headers ?? {}
    t.match(host, /^[ab]\.farm\.example$/)
    t.match(headers, {
      origin: `https://${host}`,
      referer: `https://${host}/page`,
      'x-forwarded-host': host,
    })
  },
)

t.test('a link without a name stays by the page that it is on', async t => {
  const site = await siteOf(await named(t, 'a', 'b', 'c'))
  const { port } = await startProxy(t, { sites: [site] })
  const browser = new Browser()
  for (const name of ['b', 'c', 'a', 'b']) {
    const referer = `https://localhost/backend-${name}/page`
    await browser.get(port, { referer }, '/cart')
    t.equal(browser.lastHeaders.location, `/backend-${name}/cart`)
    // What the page loads is not sent elsewhere first, nor given to others by a cache.
    const loads = { referer, 'sec-fetch-mode': 'no-cors' }
    t.match(await browser.get(port, loads, '/logo.png'), `${name} /logo.png`)
    t.equal(browser.lastHeaders['cache-control'], 'private')
  }
  const strange = { referer: 'https://other.example/backend-c/' }
  const seen = new Set<string | undefined>()
  for (let i = 0; i < 3; i++) {
    await browser.get(port, strange, '/')
    seen.add(browser.lastHeaders.location)
  }
  t.equal(seen.size, 3, 'the page of another site says nothing')
})

t.test(
  'a body is not sent twice: its answer leads to the backend that took it',
  async t => {
    const site = await siteOf(await named(t, 'a', 'b'))
    const { port } = await startProxy(t, { sites: [site] })
    const browser = new Browser()
    const body = await browser.send(
      port,
      'POST',
      `/login?status=303&${say('Location', '/')}`,
      'x=1',
    )
    t.equal(browser.lastStatus, 303)
    t.equal(browser.lastHeaders.location, `/backend-${body[0]}/`)
    t.equal(browser.lastHeaders['cache-control'], 'private')
  },
)

t.test('a backup takes the client, and keeps it when the first is back', async t => {
  const backends = await named(t, 'a', 'b', 'c')
  const site = await siteOf(backends)
  const proxies = await farmProxies(t, { count: 2, sites: () => [site] })
  const [one, two] = proxies.map(({ port }) => port) as [number, number]
  const [first] = backends as [TestBackend]
  const { port } = first.server.address() as { port: number }
  const browser = new Browser()
  t.match(await browser.get(one, {}, '/backend-a/cart'), /^a \/cart/)
  stop(first)
  // Nobody knows yet: the request itself finds out, and its answer has the URLs of the backup.
  const found = await browser.get(one, {}, `/backend-a/cart?${say('Location', '/next')}`)
  const backup = found[0] as string
  t.match(backup, /[bc]/)
  t.equal(browser.lastHeaders.location, `/backend-${backup}/next`)
  t.equal(found, `${backup} /cart localhost /backend-${backup}`)
  await browser.get(one, {}, '/backend-a/cart')
  t.equal(browser.lastHeaders.location, `/backend-${backup}/cart`)
  first.server.listen(port, '127.0.0.1')
  await until(() => first.server.listening)
  await until(
    () => proxies.every(({ proxy }) => backendFigures(proxy, first.url).ready === 1),
    'it is passed over no more',
  )
  for (const at of [one, two]) {
    await browser.get(at, {}, '/backend-a/cart')
    t.equal(
      browser.lastHeaders.location,
      `/backend-${backup}/cart`,
      'also by an old link',
    )
    const posted = await browser.send(at, 'POST', '/backend-a/cart', 'x=1')
    t.match(posted, `${backup} /cart`)
  }
})

t.test(
  'proxies that disagree about who is well send nobody round in circles',
  async t => {
    const [a, b] = (await named(t, 'a', 'b')) as [TestBackend, TestBackend]
    const nobody = { url: 'http://127.0.0.1:1' } as TestBackend
    const key = Buffer.alloc(32)
    const ports = await Promise.all(
      [
        [nobody, b],
        [a, nobody],
      ].map(async backends => {
        const sites = [await siteOf(backends)]
        const { port } = await startProxy(t, { sites, places: new LocalAffinity(key) })
        return port
      }),
    )
    const [one, two] = ports as [number, number]
    // Each finds out by a request which one it has no way to.
    t.match(await new Browser().get(one, {}, '/backend-a/'), /^b /)
    t.match(await new Browser().get(two, {}, '/backend-b/'), /^a /)
    for (const path of [
      '/page',
      '/backend-a/page',
      '/backend-b/page',
      '/backend-c/page',
    ]) {
      for (const first of [0, 1]) {
        const browser = new Browser()
        let at = path
        let redirects = 0
        let body = await browser.get(ports[first] as number, {}, at)
        while (browser.lastStatus === 307 && redirects < 5) {
          redirects++
          at = browser.lastHeaders.location as string
          body = await browser.get(ports[(first + redirects) % 2] as number, {}, at)
        }
        t.equal(browser.lastStatus, 200, `${path} at proxy ${first + 1}`)
        t.match(body, / \/page localhost /)
        t.ok(redirects <= 2, `${redirects} redirects`)
      }
    }
  },
)

t.test('an old link to a backend that is gone leads to another', async t => {
  const site = await siteOf(await named(t, 'a', 'b'))
  const places = new LocalAffinity(Buffer.alloc(32))
  const { port } = await startProxy(t, { sites: [site], places })
  const browser = new Browser()
  const seen = new Set<string | undefined>()
  for (let i = 0; i < 4; i++) {
    await browser.get(port, {}, '/backend-old/page')
    t.equal(browser.lastStatus, 307)
    seen.add(browser.lastHeaders.location)
  }
  t.equal(seen.size, 1, 'the same each time')
  t.match([...seen][0], /^\/backend-[ab]\/page$/)
  t.ok(places.empty, 'and names that anybody can make up take no room')
})

t.test('when all are down nobody is sent to and fro', async t => {
  const backends = await named(t, 'a', 'b')
  const site = await siteOf(backends)
  const { port } = await startProxy(t, { sites: [site] })
  backends.forEach(stop)
  const browser = new Browser()
  for (const path of ['/', '/backend-a/', '/backend-b/', '/backend-a/']) {
    await browser.get(port, {}, path)
    if (browser.lastStatus === 307)
      await browser.get(port, {}, browser.lastHeaders.location)
    t.equal(browser.lastStatus, 502, path)
  }
})

t.test('forbidden: a name that gets anybody where he may not be', async t => {
  const [shop = [], files = []] = [await named(t, 'a', 'b'), await named(t, 'x', 'y')]
  const admin = await named(t, 'admin')
  const site = await siteOf(shop, {
    routes: [
      {
        match: { path: '/files' },
        backends: files.map(({ url }, i) => ({ url, name: 'xy'[i] as string })),
      },
      {
        match: { path: '/admin' },
        backends: admin.map(({ url }) => url),
        class: 'plain',
      },
    ],
  })
  const { port } = await startProxy(t, { sites: [site] })
  const browser = new Browser()
  const get = async (path: string) => await browser.get(port, {}, path)
  await get('/backend-x/cart')
  t.match(browser.lastHeaders.location, /^\/backend-[ab]\/cart$/, 'of another route')
  await get('/backend-a/files/1')
  t.match(browser.lastHeaders.location, /^\/backend-[xy]\/files\/1$/)
  // The route is that of the path behind the name, whichever way that may be read.
  t.match(await get('/backend-a/admin'), /^admin \/admin/)
  for (const path of [
    '/backend-a/x/..;/admin',
    '/backend-a/%61dmin',
    '/backend-a/.%2e/admin/..//files',
    '/backend-a/backend-b/%2e%2e/admin/%2e%2e/files',
  ]) {
    await get(path)
    t.equal(browser.lastStatus, 400, path)
  }
  // One slash, and no host behind two.
  await get(`/backend-q//evil.example/`)
  t.match(browser.lastHeaders.location, /^\/backend-[ab]\/evil\.example\/$/)
  await get(`/backend-q/\\evil.example/`)
  t.match(
    browser.lastHeaders.location ?? '400',
    /^(?:\/backend-[ab]\/evil\.example\/|400)$/,
  )
  // What can be no name is a path of the application's.
  for (const path of [
    '/backend-A/',
    '/backend-/',
    '/backend--/',
    '/backend-a.b/',
    '/backend-%61/',
  ]) {
    await get(path)
    const { location } = browser.lastHeaders
    t.match(location, /^\/backend-[ab]\/backend-/, path)
  }
  await get(`/backend-${'a'.repeat(64)}/`)
  t.match(browser.lastHeaders.location, /^\/backend-[ab]\/backend-aaa/)
})

t.test('redirects of routes and answers of the log-in stay in place', async t => {
  const site = await siteOf(await named(t, 'a', 'b'), {
    authorizer: {
      authorize: async ({ url }) => ({
        outcome: 'answered',
        answer: { status: 303, headers: { Location: `/login?at=${url}` }, body: '' },
      }),
    },
    routes: [
      { match: { path: '/old' }, redirect: { to: '/new' } },
      { match: { path: '/open' }, authorizer: 'none' },
    ],
  })
  const { port } = await startProxy(t, { sites: [site] })
  const browser = new Browser()
  await browser.get(port, {}, '/backend-b/old')
  t.equal(browser.lastHeaders.location, '/backend-b/new')
  await browser.get(port, {}, '/backend-b/cart')
  t.equal(browser.lastStatus, 303)
  t.equal(browser.lastHeaders.location, '/backend-b/login?at=/cart')
  t.match(await browser.get(port, {}, '/backend-b/open'), /^b \/open/)
})

t.test('a host of its own for each backend', async t => {
  const site = await siteOf(await named(t, 'a', 'b'), {
    names: ['shop.example', '*.farm.example'],
    affinity: { by: 'host', hosts: '*.farm.example' },
  })
  const { port } = await startProxy(t, { sites: [site] })
  const browser = new Browser()
  const get = async (host: string, path: string, more = {}) =>
    await browser.get(port, { host, ...more }, path)
  await get('shop.example:8443', '/cart?x')
  t.match(browser.lastHeaders.location, /^https:\/\/[ab]\.farm\.example:8443\/cart\?x$/)
  const path = `/cart?${say('Location', '/next')}`
  t.equal(await get('a.farm.example', path), 'a /cart a.farm.example undefined')
  t.equal(browser.lastHeaders.location, '/next', 'which is of that host anyway')
  // What is not sent elsewhere first, sees the host of the backend and is led to it.
  const loads = { 'sec-fetch-mode': 'cors', referer: 'https://b.farm.example/' }
  const links = [
    ...['Location', 'https://shop.example/x', 'Link', '</y>; rel=next'],
    ...[
      'Set-Cookie',
      'a=1; Domain=b.farm.example',
      'Content-Location',
      '//shop.example/z',
    ],
  ]
  t.equal(
    await get('shop.example', `/cart?${say(...links)}`, loads),
    'b /cart b.farm.example undefined',
  )
  t.match(browser.lastHeaders, {
    location: 'https://b.farm.example/x',
    link: '<https://b.farm.example/y>; rel=next',
    'content-location': '//b.farm.example/z',
    'set-cookie': ['a=1'],
    'cache-control': 'private',
  })
  await get('old.farm.example', '/page')
  t.match(browser.lastHeaders.location, /^https:\/\/[ab]\.farm\.example\/page$/)
  await get('a.b.farm.example', '/')
  t.equal(browser.lastStatus, 421, 'one level, as in the name of the site')
})

t.test(
  'a backend that has no name is called by a made one, the same everywhere',
  async t => {
    const backends = await named(t, 'a', 'b')
    const site = await siteOf(backends, { backends: backends.map(({ url }) => url) })
    const proxies = await farmProxies(t, { count: 2, sites: () => [site] })
    const browser = new Browser()
    const seen = new Set<string | undefined>()
    for (const { port } of [...proxies, ...proxies]) {
      await browser.get(port)
      t.match(browser.lastHeaders.location, /^\/backend-[0-9a-f]{16}\/$/)
      seen.add(browser.lastHeaders.location)
    }
    t.equal(seen.size, 2)
  },
)

t.test('options that make no sense are refused by name', async t => {
  const backends = await named(t, 'a', 'b')
  const url = backends[0]?.url as string
  for (const [handling, message] of [
    [{ affinity: { by: 'path', prefix: '/' } }, /affinity\.prefix/],
    [{ affinity: { by: 'path', prefix: '/../' } }, /affinity\.prefix/],
    [{ affinity: { by: 'cookie', prefix: '/a-' } }, /affinity\.prefix/],
    [{ affinity: { by: 'path', cookie: '__Host-a' } }, /affinity\.cookie/],
    [{ affinity: { by: 'host' } }, /affinity\.hosts/],
    [{ affinity: { by: 'host', hosts: '*' } }, /affinity\.hosts/],
    [{ affinity: { by: 'path', hosts: '*.a.example' } }, /affinity\.hosts/],
    [
      { names: ['a.b'], affinity: { by: 'host', hosts: '*.a.example' } },
      /names of the site/,
    ],
    [{ backends: [{ url, name: 'A' }] }, /name of a backend/],
    [{ backends: [{ url, name: 'a', resolve: 'addresses' }] }, /name of a backend/],
    [{ backends: backends.map(({ url }) => ({ url, name: 'a' })) }, /name of a backend/],
  ] as [Partial<Handling>, RegExp][]) {
    const sites = [await siteOf(backends, handling)]
    await t.rejects(startProxy(t, { sites }), { code: 'ERR_HANDFAST_CONFIG', message })
  }
})
