import { randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import t from 'tap'
import type { Auth } from '../../lib/auth/auth.ts'
import { ownPath } from '../../lib/auth/form/login-form.ts'
import type { AuthRequest } from '../../lib/auth/request/request.ts'
import { connection, request, shortly, World } from '../fixtures/auth/world.ts'

const password = 'correct horse'
const verify = (user: string, given: string) => user === 'ann' && given === password
const page = { accept: 'text/html' }

/** A browser as far as cookies go, on connections that the test gives it. */
class Browser {
  readonly cookies = new Map<string, string>()
  readonly #auth: Auth

  constructor(auth: Auth) {
    this.#auth = auth
  }

  async ask(
    socket: object,
    given: Partial<AuthRequest> = {},
    headers: Record<string, string> = {},
    auth: Auth = this.#auth,
  ) {
    const cookie = [...this.cookies].map(([name, value]) => `${name}=${value}`).join('; ')
    const sent = { ...(cookie && { cookie }), ...headers }
    const decision = await auth.authenticate(request(socket, sent, given))
    if (decision.outcome !== 'answered') {
      const headers: Record<string, string | string[]> = {}
      return { outcome: shortly(decision), headers, body: '' }
    }
    const { status, headers: got, body } = decision.answer
    for (const set of [got['set-cookie'] ?? []].flat()) {
      const [name, value] = (set.split(';')[0] ?? '').split('=') as [string, string]
      t.match(name, /^__Host-/)
      t.match(set, /; Path=\/; Secure; HttpOnly; SameSite=/)
      if (/Max-Age=0/.test(set)) this.cookies.delete(name)
      else this.cookies.set(name, value)
    }
    return { outcome: status, headers: got, body: String(body) }
  }

  /** Opens the form and posts it. */
  async login(
    socket: object,
    fields: Record<string, string> = {},
    headers: Record<string, string> = {},
    to = '/cart?id=1',
  ) {
    const url = `/login?to=${encodeURIComponent(to)}`
    const form = await this.ask(socket, { url })
    const hidden = (name: string) =>
      new RegExp(`name="${name}" value="([^"]*)"`)
        .exec(form.body)?.[1]
        ?.replaceAll('&#38;', '&') ?? ''
    const posted = { username: 'ann', password, to: hidden('to'), token: hidden('token') }
    return await this.post(socket, { ...posted, ...fields }, headers)
  }

  async post(
    socket: object,
    fields: Record<string, string>,
    headers: Record<string, string> = {},
  ) {
    const body = Readable.from([Buffer.from(new URLSearchParams(fields).toString())])
    return await this.ask(
      socket,
      { method: 'POST', url: '/login', body },
      { 'content-type': 'application/x-www-form-urlencoded', ...headers },
    )
  }
}

t.test('a person is sent to the form and back', async t => {
  const world = new World()
  const auth = world.member({ form: { verify }, realm: 'Shop <1>' })
  const browser = new Browser(auth)
  const socket = connection(world.clock)
  const sent = await browser.ask(socket, { url: '/cart?id=1' }, page)
  t.equal(sent.outcome, 303)
  t.equal(sent.headers['location'], '/login?to=%2Fcart%3Fid%3D1')
  const form = await browser.ask(socket, { url: '/login?to=%2Fcart%3Fid%3D1' })
  t.equal(form.outcome, 200)
  t.match(form.body, 'Shop &#60;1&#62;')
  t.match(form.headers, {
    'content-security-policy': /default-src 'none'.*frame-ancestors 'none'/,
    'cache-control': 'no-store',
    'content-type': /^text\/html/,
  })
  const back = await browser.login(socket)
  t.equal(back.outcome, 303)
  t.equal(back.headers['location'], '/cart?id=1')
  t.equal((await browser.ask(socket)).outcome, 'ann')
  t.equal((await browser.ask(socket, {}, { accept: 'application/json' })).outcome, 'ann')
})

t.test('a program is told, and not sent anywhere', async t => {
  const world = new World()
  const browser = new Browser(world.member({ form: { verify } }))
  const json = { accept: 'application/json' }
  t.equal((await browser.ask(connection(world.clock), {}, json)).outcome, 401)
  const post = await browser.ask(connection(world.clock), { method: 'POST' }, page)
  t.equal(post.outcome, 401)
})

t.test('a log-in by form is known', async t => {
  const world = new World()
  const a = world.member({ form: { verify } })
  const b = world.member({ form: { verify } })
  const lineage = randomBytes(32)
  const originalAt = world.clock.now()
  const browser = new Browser(a)
  await browser.login(connection(world.clock, { lineage, originalAt }))
  const resumed = () => connection(world.clock, { lineage, originalAt, resumed: 'peer' })
  const silent = new Browser(b)
  await t.test('on a full handshake elsewhere, by its cookie', async t => {
    const fresh = connection(world.clock)
    t.equal((await browser.ask(fresh, {}, {}, b)).outcome, 'ann')
    t.equal((await silent.ask(fresh)).outcome, 401, 'and by nothing else')
  })
  await t.test('on the resumed session by the cookie, and not without', async t => {
    t.equal((await browser.ask(resumed(), {}, {}, b)).outcome, 'ann')
    t.equal((await silent.ask(resumed())).outcome, 401)
    t.equal(b.subjectOf(lineage), 'ann', 'whom a revocation finds')
  })
  await t.test('and after a log-out under no lineage of it', async t => {
    const second = { lineage: randomBytes(32), originalAt }
    const socket = connection(world.clock, second)
    t.equal((await browser.ask(socket, {}, {}, b)).outcome, 'ann')
    const cookie = new Map(browser.cookies)
    const out = await browser.ask(
      socket,
      { method: 'POST', url: '/logout' },
      { 'sec-fetch-site': 'same-origin' },
      b,
    )
    t.equal(out.outcome, 303)
    t.notOk(browser.cookies.has('__Host-handfast'))
    t.equal((await silent.ask(resumed())).outcome, 401, 'that of the log-in')
    t.equal((await silent.ask(socket)).outcome, 401)
    const thief = new Browser(a)
    for (const [name, value] of cookie) thief.cookies.set(name, value)
    const kept = await thief.ask(connection(world.clock))
    t.equal(kept.outcome, 401, 'nor by a cookie that was kept')
  })
})

t.test('a log-out without the cookie', async t => {
  for (const [rememberBy, after] of [
    ['credentials', 'ann'],
    ['tls-session', 401],
  ] as const) {
    const world = new World()
    const auth = world.member({ form: { verify }, rememberBy })
    const browser = new Browser(auth)
    const socket = connection(world.clock)
    await browser.login(socket)
    t.equal((await browser.ask(connection(world.clock))).outcome, 'ann')
    await auth.logout(request(socket))
    // Whoever else is on the session of a gateway must not log her out.
    const now = await browser.ask(connection(world.clock))
    t.equal(now.outcome, after, `ends what the cookie stands for, or not: ${rememberBy}`)
  }
})

t.test('where a TLS session tells the user, it does without the cookie', async t => {
  const world = new World()
  const options = { form: { verify }, rememberBy: 'tls-session' } as const
  const auth = world.member(options)
  const b = world.member(options)
  const browser = new Browser(auth)
  const silent = new Browser(b)
  const lineage = randomBytes(32)
  const originalAt = world.clock.now()
  await browser.login(connection(world.clock, { lineage, originalAt }))
  const resumed = () => connection(world.clock, { lineage, originalAt, resumed: 'peer' })
  t.equal((await silent.ask(resumed())).outcome, 'ann')
  const via = await silent.ask(resumed(), {}, { via: '1.1 gateway' })
  t.equal(via.outcome, 401, 'but not for a gateway that says so')
  await browser.ask(
    connection(world.clock),
    { method: 'POST', url: '/logout' },
    { 'sec-fetch-site': 'same-origin' },
  )
  t.equal((await silent.ask(resumed())).outcome, 401)
  const second = new Browser(auth)
  await second.login(resumed(), {}, { via: '1.1 gateway' })
  t.equal((await silent.ask(resumed())).outcome, 401, 'nor for whom one logged in')
  const bob = world.member({ ...options, form: { verify: () => ({ subject: 'bob' }) } })
  const third = connection(world.clock)
  await new Browser(auth).login(third)
  t.equal((await silent.ask(third)).outcome, 'ann')
  await new Browser(bob).login(third)
  t.equal((await silent.ask(third)).outcome, 401, 'nor after a second user')
})

t.test('each log-in draws a new id and ends the one before', async t => {
  const world = new World()
  const browser = new Browser(world.member({ form: { verify } }))
  const socket = connection(world.clock)
  await browser.login(socket)
  const first = browser.cookies.get('__Host-handfast')
  await browser.login(socket)
  const second = browser.cookies.get('__Host-handfast')
  t.not(first, second)
  const old = new Browser(world.member({ form: { verify } }))
  old.cookies.set('__Host-handfast', first as string)
  t.equal((await old.ask(connection(world.clock))).outcome, 401)
  t.equal((await browser.ask(connection(world.clock))).outcome, 'ann')
})

t.test('a form is not taken', async t => {
  const world = new World()
  const auth = world.member({ form: { verify } })
  const taken = async (
    fields: Record<string, string>,
    headers: Record<string, string> = {},
  ) => {
    const browser = new Browser(auth)
    const { outcome } = await browser.login(connection(world.clock), fields, headers)
    t.notOk(browser.cookies.has('__Host-handfast') && outcome !== 303)
    return outcome
  }
  t.equal(await taken({}), 303)
  t.equal(await taken({ password: 'wrong' }), 401)
  t.equal(await taken({ username: '' }), 401)
  t.equal(await taken({ token: '' }), 403, 'without its token')
  t.equal(await taken({ token: 'zzzzzzzz.AAAA' }), 403)
  t.equal(await taken({}, { cookie: '' }), 403, 'without the cookie of its token')
  t.equal(await taken({}, { origin: 'https://evil.example' }), 403)
  t.equal(await taken({}, { 'sec-fetch-site': 'cross-site' }), 403)
  t.equal(await taken({}, { 'sec-fetch-site': 'same-site' }), 403)
  t.equal(await taken({ more: 'x'.repeat(9_000) }), 413)
  t.equal(await taken({}, { 'content-type': 'text/plain' }), 400)
  await t.test("with somebody else's token", async t => {
    const mine = new Browser(auth)
    const form = await mine.ask(connection(world.clock), { url: '/login' })
    const token = /name="token" value="([^"]*)"/.exec(form.body)?.[1] as string
    t.equal(await taken({ token }), 403)
  })
  await t.test('after an hour', async t => {
    const browser = new Browser(auth)
    const form = await browser.ask(connection(world.clock), { url: '/login' })
    const token = /name="token" value="([^"]*)"/.exec(form.body)?.[1] as string
    world.clock.advance(3_600_000)
    const fields = { username: 'ann', password, to: '/', token }
    const late = await browser.post(connection(world.clock), fields)
    t.equal(late.outcome, 403)
    t.match(late.body, 'name="token"', 'a fresh form is shown')
  })
  await t.test('when it does not come to its end', async t => {
    const browser = new Browser(auth)
    const body = new Readable({ read() {} })
    const type = { 'content-type': 'application/x-www-form-urlencoded' }
    const given = { method: 'POST', url: '/login', body }
    const waiting = browser.ask(connection(world.clock), given, type)
    await new Promise(setImmediate)
    world.clock.advance(10_000)
    t.equal((await waiting).outcome, 400)
    const cut = new Readable({ read() {} })
    const broken = browser.ask(connection(world.clock), { ...given, body: cut }, type)
    await new Promise(setImmediate)
    cut.destroy(new Error('cut'))
    t.equal((await broken).outcome, 400)
  })
  await t.test('when a field comes twice', async t => {
    const body = Readable.from([Buffer.from('username=a&username=b')])
    const type = { 'content-type': 'application/x-www-form-urlencoded' }
    const given = { method: 'POST', url: '/login', body }
    const twice = await new Browser(auth).ask(connection(world.clock), given, type)
    t.equal(twice.outcome, 400)
  })
})

t.test('fields that a body parser has read already are taken too', async t => {
  const world = new World()
  const browser = new Browser(world.member({ form: { verify } }))
  const socket = connection(world.clock)
  const form = await browser.ask(socket, { url: '/login' })
  const token = /name="token" value="([^"]*)"/.exec(form.body)?.[1] as string
  const post = (fields: Record<string, unknown>) =>
    browser.ask(socket, { method: 'POST', url: '/login', fields })
  const odd = { username: ['ann'], password: { x: 1 }, token, to: '/' }
  t.equal((await post(odd)).outcome, 401)
  t.equal((await post({ username: 'ann', password, token, to: '/' })).outcome, 303)
})

t.test('the two paths take no other methods', async t => {
  const world = new World()
  const browser = new Browser(world.member({ form: { verify } }))
  const ask = async (method: string, url: string) =>
    await browser.ask(connection(world.clock), { method, url })
  t.equal((await ask('GET', '/logout')).outcome, 405, 'a link must not log out')
  t.equal((await ask('PUT', '/login')).outcome, 405)
  const foreign = await browser.ask(
    connection(world.clock),
    { method: 'POST', url: '/logout' },
    { 'sec-fetch-site': 'cross-site' },
  )
  t.equal(foreign.outcome, 403, 'nor must a foreign page')
})

t.test('a page of their own gets what it needs', async t => {
  const world = new World()
  const auth = world.member({
    form: { verify, page: fields => JSON.stringify(fields), path: '/in' },
  })
  const { body } = await new Browser(auth).ask(connection(world.clock), {
    url: '/in?to=//evil',
  })
  t.match(JSON.parse(body), {
    action: '/in',
    to: '/',
    realm: 'restricted',
    failed: false,
  })
})

t.test('failed log-ins by form are limited like others', async t => {
  const world = new World()
  const browser = new Browser(world.member({ form: { verify } }))
  const socket = connection(world.clock)
  for (let i = 0; i < 10; i++) {
    t.equal((await browser.login(socket, { password: 'wrong' })).outcome, 401)
  }
  const stopped = await browser.login(socket)
  t.equal(stopped.outcome, 429)
  t.match(stopped.headers['retry-after'], /^\d+$/)
})

t.test('nobody is sent to another host', async t => {
  const bad = [
    ...['//evil.example', '/\\evil.example', 'https://evil.example', 'evil.example'],
    ...['/\t/evil.example', '/\n/evil.example', '\\\\evil', 'javascript:alert(1)', ''],
    ...['/.//evil.example', '/a/..//evil.example', '/x\r\nset-cookie: a=b', '/ü'],
    ...['/%2e//evil.example', `/${'x'.repeat(3_000)}`, ' //evil.example', '/./\\evil'],
  ]
  for (const to of bad) t.equal(ownPath(to), '/', JSON.stringify(to).slice(0, 40))
  t.equal(ownPath('/cart?id=1&x=//y'), '/cart?id=1&x=//y')
  t.equal(ownPath('/a/../b'), '/b')
  t.equal(ownPath('/a@b:c//d'), '/a@b:c//d')
  const world = new World()
  const browser = new Browser(world.member({ form: { verify } }))
  const socket = connection(world.clock)
  const back = await browser.login(socket, { to: '//evil.example' })
  t.equal(back.headers['location'], '/')
})

t.test('no password and no cookie is in the table or the log', async t => {
  const world = new World()
  const browser = new Browser(world.member({ form: { verify } }))
  const socket = connection(world.clock)
  await browser.login(socket, { password: 'wrong horse' })
  await browser.login(socket)
  await browser.ask(socket)
  const cookie = browser.cookies.get('__Host-handfast') as string
  const id = Buffer.from(cookie.split('.')[0] as string, 'base64url').toString('latin1')
  const all = world.dump() + world.log.lines.join('\n')
  t.ok(all.includes('ann'))
  for (const text of [password, 'wrong horse', cookie, cookie.slice(0, 43), id]) {
    t.notOk(all.includes(text))
  }
})
