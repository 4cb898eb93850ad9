import t from 'tap'
import { prefixLinks } from '../../../lib/dispatch/links.ts'
import type { Handling, RedirectOptions } from '../../../lib/proxy/options.ts'
import { Redirect } from '../../../lib/proxy/route/redirect.ts'
import { Rewrite } from '../../../lib/proxy/route/rewrite.ts'
import { Browser } from '../../fixtures/proxy/browser.ts'
import { defaultSite, startBackend, startProxy } from '../../fixtures/proxy/servers.ts'
import { ask } from '../../fixtures/proxy/sites.ts'

const rewrite = (handling: Handling) =>
  new Rewrite(handling, 'a site', new Set(['x-our-user']))

t.test('a path is taken off, another put before', t => {
  const strip = rewrite({ stripPath: '/api' })
  t.equal(strip.path('/api'), '/')
  t.equal(strip.path('/api/'), '/')
  t.equal(strip.path('/api?x'), '/?x')
  t.equal(strip.path('/api/a?x=/api'), '/a?x=/api')
  t.equal(strip.path('/apis'), '/apis')
  t.equal(strip.path('/x/api'), '/x/api')
  t.equal(
    strip.path('/api//evil.test/x'),
    '/evil.test/x',
    'which would be read as a host',
  )
  t.equal(strip.path('/api/\\evil.test'), '/evil.test')
  t.equal(rewrite({ addPath: '/v2/' }).path('/a'), '/v2/a')
  const told = (path: string) => strip.requestFields([], path)
  t.strictSame(told('/api/a'), ['X-Forwarded-Prefix', '/api'])
  t.strictSame(told('/apis'), [], 'nothing was taken off')
  t.equal(rewrite({ stripPath: '/api/', addPath: '/v2' }).path('/api/a'), '/v2/a')
  t.end()
})

t.test('forbidden: to leave the path that is put before', t => {
  const added = rewrite({ addPath: '/v2' })
  const leaves = (path: string) => added.leavesPrefix(path)
  const within = ['/', '/a', '/a/../b', '/..a', '/?x=/../..', '//a', '/a;x=1/b']
  for (const path of within) t.notOk(leaves(path), path)
  const outside = ['/..', '/../v1', '/a/../../v1', '/%2e%2e/v1', '/..;/v1', '/..%2fv1']
  for (const path of [...outside, '/..\\v1', '/../v20', '/%252e%252e/v1', '/%00']) {
    t.ok(leaves(path), path)
  }
  t.notOk(rewrite({ stripPath: '/api' }).leavesPrefix('/../a'), 'there is none')
  t.end()
})

t.test('a request that leaves the path of a site is refused', async t => {
  const { url } = await startBackend(t, ({ url }, response) => response.end(url))
  const own = { ...(await defaultSite([url])), addPath: '/v2' }
  const { port } = await startProxy(t, { sites: [own] })
  t.match(await ask(port, 'a.test', { path: '/a' }), { status: 200, body: '/v2/a' })
  t.match(await ask(port, 'a.test', { path: '/../v1/a' }), { status: 400 })
})

t.test('links of what had no path taken off stay', async t => {
  const { url, requests } = await startBackend(t, (_request, response) => {
    response.writeHead(302, { Location: '/start', 'Set-Cookie': 'a=1; Path=/' }).end()
  })
  const own = { ...(await defaultSite([url])), stripPath: '/api' }
  const { port } = await startProxy(t, { sites: [own] })
  const browser = new Browser()
  await browser.get(port, {}, '/other')
  t.equal(browser.lastHeaders.location, '/start')
  t.strictSame(browser.setCookies, ['a=1; Path=/'])
  t.equal(requests[0]?.headers['x-forwarded-prefix'], undefined)
})

t.test('forbidden: to change what frames a message or says who asks', t => {
  const names = [
    'Host',
    'Content-Length',
    'Transfer-Encoding',
    'Connection',
    'Keep-Alive',
    'Upgrade',
    'TE',
    'Trailer',
    'Via',
    'Expect',
    'X-Forwarded-For',
    'X-Forwarded-Proto',
    'Forwarded',
    'X-Forwarded-User',
    'X-Remote-User',
    'Remote-User',
    'X-Real-IP',
    'Client-Cert',
    'X-Our-User',
    'Proxy',
    'Content_Length',
    'a b',
    'a:',
    '',
  ]
  for (const name of names) {
    const message = /can't be set or removed/
    t.throws(() => rewrite({ requestHeaders: { set: { [name]: '1' } } }), message, name)
    t.throws(() => rewrite({ requestHeaders: { remove: [name] } }), message, name)
  }
  for (const name of [
    'Content-Length',
    'Transfer-Encoding',
    'Connection',
    'Set-Cookie',
  ]) {
    t.throws(() => rewrite({ responseHeaders: { set: { [name]: '1' } } }), /can't be/)
  }
  for (const value of ['a\r\nb: c', 'a\n', '\0', '', ' ', 'a ']) {
    t.throws(() => rewrite({ requestHeaders: { set: { a: value } } }), /value of a field/)
  }
  t.throws(() => rewrite({ stripPath: 'a' }), /must begin with/)
  t.throws(() => rewrite({ addPath: '/../x' }), /dot segments/)
  t.end()
})

t.test('a redirect leads where it says, whatever the path is', t => {
  const to = (options: RedirectOptions, path: string, from = '/old') =>
    new Redirect(options, from).location(path)
  t.equal(to({ to: '/new' }, '/old/x?y'), '/new')
  t.equal(to({ to: '/new', keepPath: true }, '/old/x?y'), '/new/x?y')
  t.equal(to({ to: '/new', keepPath: true }, '/old?y'), '/new?y')
  t.equal(to({ to: '/new', keepPath: true }, '/old'), '/new')
  t.equal(
    to({ to: 'https://www.a.test/', keepPath: true }, '/old/x'),
    'https://www.a.test/x',
  )
  t.equal(to({ to: 'https://a.test', keepPath: true }, '/x', ''), 'https://a.test/x')
  const kept = { to: '/', keepPath: true }
  for (const path of ['/old//evil.test', '/old/\\evil.test', '/old/\\/evil.test']) {
    t.equal(to(kept, path), '/evil.test', `${path} names no host`)
  }
  t.equal(to(kept, '/old'), '/')
  const onHost = { to: 'https://a.test', keepPath: true }
  for (const path of ['/old@evil.test', '/old.evil.test', '/old:80']) {
    t.match(to(onHost, path, '/old*'), /^https:\/\/a\.test\//, path)
  }
  for (const bad of [
    'x',
    '//evil.test',
    'javascript:alert(1)',
    '/a\r\nb',
    'https://a@b/',
  ]) {
    t.throws(() => new Redirect({ to: bad }, ''), /must be to/, bad)
  }
  t.throws(() => new Redirect({ to: '/a', status: 200 }, ''), /status must be one of/)
  t.end()
})

t.test('what a response names gets the prefix, what names another host does not', t => {
  const of = (name: string, value: string) =>
    prefixLinks([name, value], '/p', 'a.test:8443')[1]
  t.equal(of('Location', '/x?y'), '/p/x?y')
  t.equal(of('Location', '/'), '/p/')
  t.equal(of('Location', '/p/x'), '/p/x', 'once')
  t.equal(of('Location', '/px'), '/p/px')
  t.equal(of('location', 'https://a.test:8443/x'), 'https://a.test:8443/p/x')
  t.equal(of('location', 'https://A.TEST:8443'), 'https://A.TEST:8443/p/')
  t.equal(of('location', '//a.test:8443/x'), '//a.test:8443/p/x')
  for (const other of ['https://b.test/x', '//b.test/x', 'x', '?x', 'https://a.test/x']) {
    t.equal(of('Location', other), other)
  }
  // The port that a scheme has anyway may be said or not.
  const at = (authority: string, value: string) =>
    prefixLinks(['Location', value], '/p', authority)[1]
  for (const authority of ['a.test', 'a.test:443', 'A.test']) {
    for (const same of [
      'https://a.test',
      'https://a.test:443',
      '//a.test:443',
      'http://a.test:80',
    ])
      t.equal(at(authority, `${same}/x`), `${same}/p/x`, `${same} at ${authority}`)
    for (const other of [
      'https://a.test:80/x',
      'http://a.test:443/x',
      'https://a.test:8443/x',
    ])
      t.equal(at(authority, other), other, `${other} at ${authority}`)
  }
  t.equal(of('Content-Location', '/x'), '/p/x')
  t.equal(of('Link', '</a>; rel=next, <b>; rel=x'), '</p/a>; rel=next, <b>; rel=x')
  t.equal(
    of('Set-Cookie', 'a=/; Path=/; Secure'),
    'a=/; Path=/p; Secure',
    'which /p is under as well',
  )
  t.equal(of('Set-Cookie', 'a=1;path=/x'), 'a=1; Path=/p/x')
  // RFC 6265 5.2: blanks around are nothing, and such a Path is as wide as any.
  t.equal(of('Set-Cookie', 'a=1; Path = /x ; Secure'), 'a=1; Path=/p/x; Secure')
  t.equal(of('Set-Cookie', 'a=1; Path= /'), 'a=1; Path=/p')
  t.equal(of('Set-Cookie', 'a=1'), 'a=1')
  t.equal(of('Set-Cookie', '__Host-a=1; Path=/'), '__Host-a=1; Path=/')
  t.equal(of('X-Other', '/x'), '/x')
  t.end()
})

t.test('backend and client see what they are to see', async t => {
  const { url, requests } = await startBackend(t, (request, response) => {
    response.writeHead(request.url === '/login' ? 302 : 200, {
      Location: '/start',
      Server: 'secret/1.0',
      'Set-Cookie': ['a=1; Path=/', 'b=2'],
    })
    response.end()
  })
  const { port, log } = await startProxy(t, {
    sites: [
      {
        ...(await defaultSite([url])),
        responseHeaders: { set: { 'X-Frame-Options': 'DENY' }, remove: ['server'] },
        routes: [
          { match: { path: '/old' }, redirect: { to: '/new', keepPath: true } },
          {
            match: { path: '/api' },
            stripPath: '/api',
            requestHeaders: { set: { 'X-Env': 'test' }, remove: ['X-Debug'] },
          },
        ],
      },
    ],
  })
  const browser = new Browser()
  await browser.get(port, { 'x-debug': '1', 'x-env': 'mine' }, '/api/login')
  t.equal(requests[0]?.url, '/login')
  t.match(requests[0]?.headers, { 'x-env': 'test', 'x-forwarded-prefix': '/api' })
  t.equal(requests[0]?.headers['x-debug'], undefined)
  t.equal(browser.lastHeaders.location, '/api/start')
  t.strictSame(browser.setCookies, ['a=1; Path=/api', 'b=2'])
  t.match(browser.lastHeaders, { server: undefined, 'x-frame-options': 'DENY' })
  await browser.get(port, { 'x-debug': '1', 'X-Forwarded-Prefix': '/evil' }, '/other')
  t.equal(requests[1]?.headers['x-debug'], '1')
  t.equal(requests[1]?.headers['x-forwarded-prefix'], undefined)
  await browser.get(port, {}, '/old/a?b')
  t.equal(browser.lastStatus, 308)
  t.equal(browser.lastHeaders.location, '/new/a?b')
  t.equal(requests.length, 2)
  t.match(log.requests.at(-1), { status: 308, phase: undefined })
})
