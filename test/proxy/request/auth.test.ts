import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2'
import t, { type Test } from 'tap'
import { addressList } from '../../../lib/address-list.ts'
import { verifyIdentityHeaders } from '../../../lib/auth/identity-headers.ts'
import type { AuthOptions } from '../../../lib/auth/options.ts'
import { clientBehind } from '../../../lib/proxy/message/forwarded.ts'
import type { Authorization, Site } from '../../../lib/proxy/options.ts'
import { AuthAuthorizer } from '../../../lib/proxy/request/auth-authorizer.ts'
import { type Reply, SessionClient } from '../../fixtures/auth/farm.ts'
import { basic } from '../../fixtures/auth/world.ts'
import { reached } from '../../fixtures/farm/reached.ts'
import { patientLogins } from '../../fixtures/patience.ts'
import { type FarmProxy, farmProxies } from '../../fixtures/proxy/farm.ts'
import { rawConnection } from '../../fixtures/proxy/raw.ts'
import {
  defaultSite,
  startBackend,
  startProxy,
  type TestBackend,
} from '../../fixtures/proxy/servers.ts'
import { p256 } from '../../fixtures/tls/certificates.ts'
import { until } from '../../fixtures/until.ts'

const signKey = 'a key that proxy and backend share'
const password = 'correct horse battery staple'
const verify = async (user: string, given: string) =>
  given === password ? { subject: user } : undefined

/** A backend that answers with the fields of the request. */
function echo(t: Test): Promise<TestBackend> {
  return startBackend(t, (request, response) => {
    request.resume()
    response.end(JSON.stringify(request.headers))
  })
}

async function guarded(
  t: Test,
  options: AuthOptions,
  { count = 1, trustedProxies = [] as readonly string[] } = {},
): Promise<{ backend: TestBackend; proxies: FarmProxy[]; first: FarmProxy }> {
  const backend = await echo(t)
  const site = await defaultSite([backend.url])
  const proxies = await farmProxies(t, {
    count,
    trustedProxies,
    sites: farm => {
      const authorizer = new AuthAuthorizer(
        farm.auth({ ...patientLogins, ...options }).auth,
        signKey,
      )
      return [{ ...site, authorizer }]
    },
  })
  return { backend, proxies, first: proxies[0] as FarmProxy }
}

function seenBy(reply: Reply): Record<string, string> {
  return JSON.parse(reply.text) as Record<string, string>
}

/** What a client could say to pass for somebody. */
const pretences = {
  'X-Forwarded-User': 'root',
  X_Forwarded_User: 'root',
  'X-Forwarded-Auth-Method': 'basic',
  'X-Forwarded-Auth-Signature': 't=1,e=9999999999999,s=x',
  'Remote-User': 'root',
  'X-Forwarded-Email': 'root@example',
}

t.test('basic: asked once, known on the other proxy, signed for the backend', async t => {
  let checked = 0
  const counting = (user: string, given: string) => {
    checked += 1
    return verify(user, given)
  }
  const { backend, proxies } = await guarded(
    t,
    { basic: { verify: counting }, realm: 'shop' },
    { count: 2 },
  )
  const [one, two] = proxies as [FarmProxy, FarmProxy]
  const client = new SessionClient()
  const nobody = await client.once(one.port, pretences)
  t.equal(nobody.status, 401)
  t.match(nobody.headers['www-authenticate'], /^Basic realm="shop"/)
  const wrong = await new SessionClient().once(one.port, basic('ann', 'guess'))
  t.equal(wrong.status, 401)
  t.equal(backend.requests.length, 0, 'the backend heard nothing')

  const entering = new SessionClient()
  const asked = await entering.once(one.port, { ...pretences, ...basic('ann', password) })
  t.equal(asked.status, 200)
  checked = 0
  const again = await entering.once(two.port, { ...pretences, ...basic('ann', password) })
  t.equal(again.status, 200, 'on the resumed connection, with the same credentials')
  t.equal(checked, 0, 'which nobody checks')
  t.equal((await entering.once(two.port)).status, 401, 'without')
  for (const reply of [asked, again]) {
    const headers = seenBy(reply)
    t.equal(headers['x-forwarded-user'], 'ann')
    t.equal(headers['x-forwarded-auth-method'], 'basic')
    t.match(verifyIdentityHeaders(headers, { sign: signKey }), { subject: 'ann' })
    t.equal(verifyIdentityHeaders(headers, { sign: 'another key' }), undefined)
    t.notMatch(reply.text, /root/)
  }
  await until(() => two.log.requests.length === 2 && one.log.requests.length === 3)
  t.match(two.log.requests, [
    { user: 'ann', status: 200, resumed: /local|peer/ },
    { user: undefined, status: 401, resumed: /local|peer/ },
  ])
  t.match(one.log.requests[0], { status: 401, phase: 'authorize', user: undefined })
  t.equal(one.log.requests[1]?.['user'], undefined, 'not before it is proved')
  const logged = JSON.stringify([...one.log.lines, ...two.log.lines])
  t.notMatch(logged, new RegExp(`${password}|${basic('ann', password).authorization}`))

  const revoked = await reached(() => one.farm.revoke({ user: 'ann' }))
  t.equal(revoked.everywhere, true)
  t.equal((await entering.once(two.port)).status, 401, 'revoked here, ended there')
})

t.test('two Authorization fields name nobody', async t => {
  const { first } = await guarded(t, { basic: { verify } })
  const { authorization } = basic('ann', password)
  const reply = await new SessionClient().once(first.port, {
    Authorization: [authorization, authorization],
  })
  t.equal(reply.status, 401)
})

t.test('a name that no header can hold is percent-encoded, in the log too', async t => {
  const { first } = await guarded(t, { basic: { verify } })
  const reply = await new SessionClient().once(first.port, basic('Zoë|b', password))
  t.equal(seenBy(reply)['x-forwarded-user'], 'Zo%C3%AB%7Cb')
  await until(() => first.log.requests.length === 1)
  t.equal(first.log.requests[0]?.['user'], 'Zo%C3%AB|b')
})

t.test('too many guesses: 429, and no backend hears of them', async t => {
  const { backend, first } = await guarded(
    t,
    { basic: { verify }, attempts: { perUser: 2 } },
    {},
  )
  const statuses: number[] = []
  for (let i = 0; i < 3; i++) {
    const reply = await new SessionClient().once(first.port, basic('ann', 'guess'))
    statuses.push(reply.status)
  }
  t.strictSame(statuses, [401, 401, 429])
  t.equal(backend.requests.length, 0)
})

t.test('not required: nobody gets in as nobody', async t => {
  const { first } = await guarded(t, { basic: { verify }, required: false })
  const reply = await new SessionClient().once(first.port, pretences)
  t.equal(reply.status, 200)
  t.notMatch(reply.text, /root|x-forwarded-user/)
  await until(() => first.log.requests.length === 1)
  t.equal(first.log.requests[0]?.['user'], undefined)
})

t.test(
  'who the user is comes from no stranger, where nobody is asked either',
  async t => {
    const backend = await echo(t)
    const backends = [backend.url]
    const open = await startProxy(t, { backends })
    const fronted = await startProxy(t, { backends, trustedProxies: ['127.0.0.1'] })
    t.notMatch((await new SessionClient().once(open.port, pretences)).text, /root/)
    const passed = await new SessionClient().once(fronted.port, pretences)
    t.equal(seenBy(passed)['x-forwarded-user'], 'root', 'from a proxy in front it does')
    const { first } = await guarded(
      t,
      { basic: { verify } },
      { trustedProxies: ['127.0.0.1'] },
    )
    const credentials = basic('ann', password)
    const asked = await new SessionClient().once(first.port, {
      ...pretences,
      ...credentials,
    })
    t.notMatch(asked.text, /root/, 'but not past an auth of our own')
  },
)

t.test('HTTP/2: 401, then each request under its own credentials', async t => {
  const { backend, first } = await guarded(t, { basic: { verify } })
  const session = http2Session(t, first.port)
  const refused = await ask(session, { ':path': '/' })
  t.equal(refused.headers[':status'], 401)
  t.match(refused.headers['www-authenticate'], /^Basic/)
  const socket = await ask(session, {
    ':method': 'CONNECT',
    ':protocol': 'websocket',
    ':path': '/',
  })
  t.equal(socket.headers[':status'], 401, 'a WebSocket too')
  t.equal(backend.requests.length, 0)
  for (const user of ['ann', 'bob']) {
    const { headers, text } = await ask(session, {
      ':path': '/',
      'x-forwarded-user': 'root',
      ...basic(user, password),
    })
    t.equal(headers[':status'], 200)
    t.match(JSON.parse(text), { 'x-forwarded-user': user })
  }
  session.close()
  await until(() => first.log.requests.length === 4)
  t.strictSame(
    first.log.requests.map(({ user }) => user),
    [undefined, undefined, 'ann', 'bob'],
  )
})

t.test('no WebSocket without identity, nor for the page of another site', async t => {
  const { backend, first } = await guarded(t, { basic: { verify } })
  const upgrades: IncomingMessage[] = []
  backend.server.on('upgrade', (request, socket) => {
    upgrades.push(request)
    socket.end(`HTTP/1.1 101 OK\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n`)
  })
  const open = async (extra: string) => {
    const socket = await rawConnection(first.port)
    let answer = ''
    socket.setEncoding('latin1').on('data', (text: string) => {
      answer += text
    })
    socket.write(
      'GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
        'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n' +
        `${extra}\r\n`,
    )
    await until(() => /\r\n\r\n/.test(answer), 'an answer')
    socket.destroy()
    return Number(answer.slice(9, 12))
  }
  t.equal(await open(''), 401)
  t.equal(await open('Origin: https://evil.example\r\n'), 403)
  t.equal(upgrades.length, 0)
  const { authorization } = basic('ann', password)
  const foreign = `Origin: https://evil.example\r\nAuthorization: ${authorization}\r\n`
  t.equal(await open(foreign), 403, 'with the password that the browser keeps')
  t.equal(upgrades.length, 0)
  t.equal(await open(`Authorization: ${authorization}\r\n`), 101)
  t.match(upgrades, [{ headers: { 'x-forwarded-user': 'ann' } }])
  await until(() => first.log.requests.some(({ user }) => user === 'ann'))
})

t.test(
  'a log-in form: redirect, page, log-in, cookie; a long one is refused',
  async t => {
    const { backend, first } = await guarded(t, { form: { verify } })
    const client = new SessionClient()
    const html = { accept: 'text/html' }
    const sent = await client.once(first.port, html, { path: '/cart?id=7' })
    t.match(sent, { status: 303, headers: { location: '/login?to=%2Fcart%3Fid%3D7' } })
    const page = await client.once(first.port, html, { path: sent.headers.location })
    t.equal(page.status, 200)
    const [, token = ''] = /name="token" value="([^"]+)"/.exec(page.text) ?? []
    const body = (word: string) =>
      new URLSearchParams({
        username: 'ann',
        password: word,
        token,
        to: '/cart?id=7',
      }).toString()
    const post = { method: 'POST', path: '/login' }
    const form = { 'content-type': 'application/x-www-form-urlencoded' }
    const long = await client.once(first.port, form, {
      ...post,
      body: body('x'.repeat(1e5)),
    })
    t.equal(long.status, 413)
    const held = { ...form, expect: '100-continue' }
    const wrong = await client.once(first.port, held, { ...post, body: body('guess') })
    t.equal(wrong.status, 401, 'a body that was held back is asked for')
    t.equal(backend.requests.length, 0)
    const right = await client.once(first.port, form, { ...post, body: body(password) })
    t.match(right, { status: 303, headers: { location: '/cart?id=7' } })
    const stranger = new SessionClient()
    for (const [name, value] of client.cookies) stranger.cookies.set(name, value)
    const inside = await stranger.once(first.port, html, { path: '/cart?id=7' })
    t.equal(seenBy(inside)['x-forwarded-user'], 'ann', 'by the cookie, without a session')
    const out = await client.once(first.port, {}, { method: 'POST', path: '/logout' })
    t.equal(out.status, 303)
    t.equal((await stranger.once(first.port, html)).status, 303, 'logged out everywhere')
    await until(() => first.log.requests.length >= 8)
    t.notMatch(JSON.stringify(first.log.lines), new RegExp(password))
  },
)

t.test(
  'sites of different realms do not share their users on one connection',
  async t => {
    const backend = await echo(t)
    const names = ['a.example', 'b.example']
    const pair = await p256(...names)
    let checked = 0
    const counting = (user: string, given: string) => {
      checked += 1
      return verify(user, given)
    }
    const [only] = await farmProxies(t, {
      count: 1,
      sites: farm =>
        names.map((name): Site => {
          const { auth } = farm.auth({ basic: { verify: counting }, realm: name })
          const authorizer = new AuthAuthorizer(auth)
          return { names: [name], backends: [backend.url], ...pair, authorizer }
        }),
    })
    const session = http2Session(t, (only as FarmProxy).port, 'a.example')
    const at = (name: string, more: object = {}) =>
      ask(session, { ':path': '/', ':authority': name, ...more })
    t.equal((await at('a.example', basic('ann', password))).headers[':status'], 200)
    t.equal(checked, 1)
    t.equal((await at('a.example', basic('ann', password))).headers[':status'], 200)
    t.equal(checked, 1, 'remembered')
    t.equal((await at('b.example', basic('ann', password))).headers[':status'], 200)
    t.equal(checked, 2, 'not there')
    session.close()
  },
)

t.test('a client that leaves while it is judged: no backend, one line', async t => {
  const backend = await echo(t)
  let asked = () => {}
  const judging = new Promise<void>(resolve => {
    asked = resolve
  })
  let allow: (decision: Authorization) => void = () => {}
  const authorizer = {
    authorize: () =>
      new Promise<Authorization>(resolve => {
        allow = resolve
        asked()
      }),
  }
  const site = { ...(await defaultSite([backend.url])), authorizer }
  const { port, log } = await startProxy(t, { sites: [site] })
  const socket = await rawConnection(port)
  socket.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
  await judging
  socket.destroy()
  await until(() => log.requests.length === 1, 'the line of the request')
  allow({ outcome: 'allowed', user: 'ann', fields: [] })
  await new Promise(setImmediate)
  t.match(log.requests, [{ status: 499, user: undefined }])
  t.equal(backend.requests.length, 0)
})

t.test('the client behind trusted proxies is the last address they did not have', t => {
  const trusts = addressList(['10.0.0.0/8'], 'trustedProxies')
  const cases: [address: string, forwardedFor: string, client: string][] = [
    ['192.0.2.7', '10.0.0.1, 198.51.100.1', '192.0.2.7'],
    ['10.0.0.1', '198.51.100.1', '198.51.100.1'],
    ['::ffff:10.0.0.1', '203.0.113.9, 198.51.100.1, 10.0.0.2', '198.51.100.1'],
    ['10.0.0.1', '', '10.0.0.1'],
    ['10.0.0.1', '198.51.100.1, nonsense', '10.0.0.1'],
    ['10.0.0.1', '10.0.0.2, 10.0.0.3', '10.0.0.2'],
  ]
  for (const [address, forwardedFor, client] of cases) {
    t.equal(clientBehind(address, forwardedFor, trusts), client, forwardedFor)
  }
  t.end()
})

t.test('an authorizer that fails lets nobody in', async t => {
  const backend = await echo(t)
  const authorizer = { authorize: () => Promise.reject(new Error(password)) }
  const site = { ...(await defaultSite([backend.url])), authorizer }
  const { port, log } = await startProxy(t, { sites: [site] })
  t.equal((await new SessionClient().once(port)).status, 503)
  t.equal(backend.requests.length, 0)
  t.notMatch(JSON.stringify(log.lines), new RegExp(password))
})

function http2Session(t: Test, port: number, name = 'localhost'): ClientHttp2Session {
  const session = connectHttp2(`https://127.0.0.1:${port}`, {
    servername: name,
    rejectUnauthorized: false,
  })
  session.on('error', () => {})
  t.teardown(() => session.destroy())
  return session
}

async function ask(session: ClientHttp2Session, fields: object) {
  const stream = session.request({ ':authority': 'localhost', ...fields })
  const [headers] = await once(stream, 'response')
  stream.end()
  let text = ''
  for await (const chunk of stream.setEncoding('utf8')) text += chunk
  return { headers: headers as Record<string, string | number>, text }
}
