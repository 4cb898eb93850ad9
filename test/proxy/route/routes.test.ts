import t from 'tap'
import type { Site } from '../../../lib/proxy/options.ts'
import { readingsOf } from '../../../lib/proxy/route/path-readings.ts'
import { Routes, type ServedRoute } from '../../../lib/proxy/route/routes.ts'
import { defaultSite, startBackend, startProxy } from '../../fixtures/proxy/servers.ts'
import { ask } from '../../fixtures/proxy/sites.ts'

/** Which of a site's routes has a request, by the names of their backends; or why none has. */
function router(routes: Site['routes'], own: Partial<Site> = { backends: ['rest'] }) {
  const site = { names: [], key: '', cert: '', ...own, routes }
  const served = new Routes(site, 'a site', ({ backends = [] }) => {
    return { name: String(backends[0]) } as unknown as ServedRoute
  })
  return (path: string, more: object = {}): string => {
    const request = { method: 'GET', fields: [], websocket: false, path, ...more }
    const found = served.find(request as never)
    return typeof found === 'string' ? found : (found as unknown as { name: string }).name
  }
}

t.test('the first route that takes a request has it', t => {
  const to = router([
    { match: { exact: '/shop/health' }, backends: ['health'] },
    { match: { path: '/shop', methods: ['POST'] }, backends: ['orders'] },
    { match: { path: '/shop' }, backends: ['shop'] },
    { match: { path: '/v*' }, backends: ['versions'] },
    { match: { headers: { 'X-Canary': '*', 'X-Ring': '1' } }, backends: ['canary'] },
  ])
  t.equal(to('/'), 'rest')
  t.equal(to('/shop'), 'shop')
  t.equal(to('/shop/'), 'shop')
  t.equal(to('/shop/cart?x=/../'), 'shop')
  t.equal(to('/shop?to=/admin'), 'shop')
  t.equal(to('/shopping'), 'rest', 'a path ends with a segment')
  t.equal(to('/shop/health'), 'health')
  t.equal(to('/shop/health/'), 'shop')
  t.equal(to('/shop/cart', { method: 'POST' }), 'orders')
  t.equal(to('/v2/x'), 'versions')
  const fields = ['x-canary', 'yes', 'x-ring', '1']
  t.equal(to('/', { fields }), 'canary')
  t.equal(to('/', { fields: fields.slice(0, 2) }), 'rest')
  t.equal(to('/', { fields: ['x-canary', 'yes', 'x-ring', '10'] }), 'rest')
  t.end()
})

t.test('GET stands for HEAD, and a WebSocket over HTTP/2 is a GET', t => {
  const to = router([{ match: { methods: ['GET'] }, backends: ['read'] }])
  t.equal(to('/', { method: 'HEAD' }), 'read')
  t.equal(to('/', { method: 'CONNECT', websocket: true }), 'read')
  t.equal(to('/', { method: 'POST' }), 'rest')
  t.end()
})

t.test('without a way for the rest there is none', t => {
  const to = router([{ match: { path: '/a' }, backends: ['a'] }], { backends: undefined })
  t.equal(to('/a'), 'a')
  t.equal(to('/b'), 'none')
  t.end()
})

t.test('forbidden: a path that some server would take for another route', t => {
  const to = router([
    { match: { path: '/admin' }, backends: ['admin'] },
    { match: { path: '/public' }, backends: ['public'] },
  ])
  const forbidden = [
    '/public/../admin',
    '/public/%2e%2e/admin',
    '/public/%2E./admin',
    '/public/..%2fadmin',
    '/public/..%2Fadmin',
    '/public%2f..%2fadmin',
    '/public/..;/admin',
    '/public/..;a=b/admin',
    '/public/..%3b/admin',
    '/public/..\\admin',
    '/public\\..\\admin',
    '/public/..%5cadmin',
    '/public/%252e%252e/admin',
    '/public/..%252fadmin',
    '/public/.%2e/admin',
    '/public/./../admin/users',
    '/public/../../admin',
    '/../admin',
    '/./admin',
    '/%2e/admin',
    '//admin',
    '//admin/x',
    '///admin',
    '//host/admin',
    '/\\host/admin',
    '/%2fadmin',
    '/\\admin',
    '/%5cadmin',
    '/%61dmin',
    '/adm%69n/users',
    '/admin%2fusers',
    '/%2561dmin',
    '/admin;x=1',
    '/admin;/users',
    '/;/admin',
    '/;x/admin',
    '/admin%3bx',
    '/x/..//admin',
    '/admin/../',
    '/admin/..',
    '/admin/..;/',
    '/admin/%2e%2e/x',
    '/ADMIN',
    '/Admin/users',
    '/%41dmin',
    '/public/..//ADMIN',
    '/admin%3f',
    '/admin%253fx',
    '/admin%23',
  ]
  for (const path of forbidden) t.equal(to(path), 'ambiguous', path)
  for (const path of ['/admin%00', '/a%', '/a%2', '/a%zz', '/a%0a', '/a%1f', '/a%7f']) {
    t.equal(to(path), 'ambiguous', `${path} is no path`)
  }
  t.end()
})

t.test('a path that all servers take for the same route goes there, as it is', t => {
  const to = router([
    { match: { path: '/admin' }, backends: ['admin'] },
    { match: { path: '/public' }, backends: ['public'] },
  ])
  t.equal(to('/public/a%20b'), 'public')
  t.equal(to('/public/group%2Fproject'), 'public')
  t.equal(to('/public/a;b=c'), 'public')
  t.equal(to('/public//a'), 'public')
  t.equal(to('/public/a/../b'), 'public')
  t.equal(to('/public/100%25'), 'public')
  t.equal(to('/public/caf%C3%A9'), 'public')
  t.equal(to('/public/..a/.b/...'), 'public')
  t.equal(to('/administrator'), 'rest')
  t.equal(to('/x/{y}|z'), 'rest')
  t.equal(to('/x?y=/../admin'), 'rest')
  t.end()
})

t.test('most paths have one reading', t => {
  for (const path of ['/', '/a', '/a/', '/a/b.c/..d?x=%2e/../', "/-._~!$&'()*+,=:@"]) {
    t.equal(readingsOf(path)?.length, 1, path)
  }
  t.end()
})

t.test('reading a path takes time in proportion to its length', t => {
  const long = `/${'..;/%2e\\'.repeat(2_000)}`
  t.ok((readingsOf(long)?.length ?? 0) > 1)
  t.equal(readingsOf(`/${'a/'.repeat(8_000)}%`), undefined)
  t.end()
})

t.test('routes that make no sense are named', t => {
  const bad: [Site['routes'], RegExp][] = [
    [[{ match: {} }], /routes\[0\].*must say which requests/],
    [[{ match: { path: 'a' } }], /must begin with \//],
    [[{ match: { path: '/a/../b' } }], /dot segments/],
    [[{ match: { path: '/a%20b' } }], /have no %/],
    [[{ match: { path: '//a' } }], /\/\//],
    [[{ match: { exact: '/a;b' } }], /;/],
    [[{ match: { path: '/a', exact: '/a' } }], /exclude each other/],
    [[{ match: { methods: ['get'] } }], /names such as GET/],
    [[{ match: { headers: { 'a b': '1' } } }], /a b/],
    [
      [{ match: { path: '/a' } }, { match: { exact: '/A' } }],
      /differ in upper and lower case alone/,
    ],
  ]
  for (const [routes, message] of bad) t.throws(() => router(routes), { message })
  t.end()
})

t.test('each route goes to its own backends, within its own limits', async t => {
  const shop = await startBackend(t, (_request, response) => response.end('shop'))
  const files = await startBackend(t, (_request, response) => response.end('files'))
  const { port, log } = await startProxy(t, {
    sites: [
      {
        ...(await defaultSite([shop.url])),
        routes: [
          {
            match: { path: '/files' },
            backends: [{ url: files.url, weight: 2 }],
            limits: { maxBodyBytes: 3 },
          },
        ],
      },
    ],
  })
  t.equal((await ask(port, 'localhost', { path: '/' })).body, 'shop')
  t.equal((await ask(port, 'localhost', { path: '/files/a' })).body, 'files')
  const refused = await ask(port, 'localhost', { path: '/a/..%2ffiles' })
  t.equal(refused.status, 400)
  t.equal(log.requests.at(-1)?.['phase'], 'route')
  t.equal(shop.requests.length, 1)
  t.equal(files.requests.length, 1)
})

t.test('who may come is for each route to say, and for the site otherwise', async t => {
  const { url, requests } = await startBackend(t, (_request, response) => response.end())
  const asks = {
    ownFields: new Set(['x-our-user']),
    authorize: async () =>
      ({ outcome: 'answered', answer: { status: 401, headers: {}, body: '' } }) as const,
  }
  const { port } = await startProxy(t, {
    sites: [
      {
        ...(await defaultSite([url])),
        authorizer: asks,
        routes: [
          { match: { path: '/public' }, authorizer: 'none' },
          { match: { path: '/same' } },
        ],
      },
    ],
  })
  const status = async (path: string) =>
    (await ask(port, 'localhost', { path, headers: { 'X-Our-User': 'root' } })).status
  t.equal(await status('/'), 401)
  t.equal(await status('/same'), 401)
  t.equal(await status('/public'), 200)
  t.equal(requests[0]?.headers['x-our-user'], undefined, 'who he is nobody says himself')
})
