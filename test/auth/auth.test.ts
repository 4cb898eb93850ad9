import { randomBytes } from 'node:crypto'
import t from 'tap'
import type { AuthOptions } from '../../lib/auth/options.ts'
import type { Found } from '../../lib/cache/cache.ts'
import { HandfastError } from '../../lib/errors.ts'
import { tables } from '../../lib/record/key.ts'
import type { CacheRecord } from '../../lib/record/record.ts'
import { ann, annsPassword, bob, loggedIn, verify } from '../fixtures/auth-logged-in.ts'
import { basic, connection, request, shortly, World } from '../fixtures/auth-world.ts'

const hour = 3_600_000

t.test('a log-in on one member is known on another for the resumed session', async t => {
  const { a, b, onA, resumed, first, lineage } = await loggedIn()
  t.equal(shortly(first), 'ann')
  t.equal(shortly(await a.authenticate(request(onA))), 'ann', 'same connection')
  const second = await b.authenticate(request(resumed()))
  t.same(second, first, 'the whole identity')
  t.equal(a.subjectOf(lineage), 'ann')
  t.equal(b.subjectOf(lineage), 'ann')
  t.equal(b.subjectOf(randomBytes(32)), undefined)
})

t.test('it is asked for where it has not been sent, once per connection', async t => {
  const world = new World()
  world.lazy = true
  const a = world.member({ basic: verify })
  const b = world.member({ basic: verify })
  const lineage = randomBytes(32)
  await a.authenticate(request(connection(world.clock, { lineage }), ann))
  const before = world.fetches
  t.equal(before, 0, 'a new lineage can not be known elsewhere')
  const resumed = connection(world.clock, { lineage, resumed: 'peer' })
  t.equal(shortly(await b.authenticate(request(resumed))), 'ann')
  const stranger = connection(world.clock, { resumed: 'peer' })
  for (let i = 0; i < 20; i++) await b.authenticate(request(stranger))
  t.equal(world.fetches, before + 2)
})

t.test('nobody is known', async t => {
  await t.test('on a full handshake', async t => {
    const { world, b } = await loggedIn()
    const fresh = connection(world.clock)
    t.equal(shortly(await b.authenticate(request(fresh))), 401)
  })
  await t.test('under another server name', async t => {
    const { b, resumed } = await loggedIn()
    const socket = resumed({ serverName: 'admin.example' })
    t.equal(shortly(await b.authenticate(request(socket))), 401)
  })
  await t.test('in another realm', async t => {
    const { world, resumed } = await loggedIn()
    const other = world.member({ basic: verify, realm: 'admin' })
    t.equal(shortly(await other.authenticate(request(resumed()))), 401)
    t.equal(shortly(await other.authenticate(request(resumed(), bob))), 'bob')
    const again = world.member({ basic: verify, realm: 'admin' })
    t.equal(shortly(await again.authenticate(request(resumed()))), 'bob')
  })
  await t.test('to a farm with another secret', async t => {
    const { world, resumed } = await loggedIn()
    const stranger = world.member({ basic: verify }, { key: randomBytes(32) })
    world.at(-1).cache.apply(world.records(0)[0] as CacheRecord)
    t.equal(shortly(await stranger.authenticate(request(resumed()))), 401)
  })
  await t.test('by a record that somebody without the secret has planted', async t => {
    const { world, b, lineage } = await loggedIn()
    const { cache } = world.at(1)
    const victim = randomBytes(32)
    const stolen = (cache.getLocal(tables.auth, lineage) as Found).value
    await cache.add(tables.auth, victim, stolen, { ttl: hour })
    const socket = connection(world.clock, { lineage: victim, resumed: 'local' })
    t.equal(shortly(await b.authenticate(request(socket))), 401)
    await cache.add(tables.auth, victim, randomBytes(90), { ttl: hour })
    t.equal(shortly(await b.authenticate(request(socket))), 401)
  })
  await t.test('when the log-in has run out', async t => {
    const { world, b, resumed } = await loggedIn({ ttl: hour })
    world.clock.advance(hour - 1)
    t.equal(shortly(await b.authenticate(request(resumed()))), 'ann')
    world.clock.advance(1)
    t.equal(shortly(await b.authenticate(request(resumed()))), 401)
  })
  await t.test('when the lineage has ended, however long the log-in', async t => {
    const { world, a, first } = await loggedIn({ ttl: 48 * hour })
    t.match(first, { identity: { expiresAt: world.clock.now() + 24 * hour } })
    const late = connection(world.clock, { originalAt: world.clock.now() - 23 * hour })
    t.match(await a.authenticate(request(late, ann)), {
      identity: { expiresAt: world.clock.now() + hour },
    })
  })
  await t.test('by a method that is not in use any more', async t => {
    const { world, resumed } = await loggedIn()
    const member = world.member({ certificate: true })
    t.equal(shortly(await member.authenticate(request(resumed()))), 403)
  })
})

t.test('the same credentials are checked once per connection', async t => {
  const world = new World()
  let asked = 0
  const member = world.member({
    basic: async (user, password) => {
      asked += 1
      await new Promise(setImmediate)
      return verify(user, password)
    },
  })
  const socket = connection(world.clock)
  const together = Array.from({ length: 10 }, () =>
    member.authenticate(request(socket, ann)),
  )
  t.same((await Promise.all(together)).map(shortly), Array(10).fill('ann'))
  await member.authenticate(request(socket, ann))
  t.equal(asked, 1)
  t.equal(shortly(await member.authenticate(request(socket, basic('ann', 'x')))), 401)
  t.equal(asked, 2, 'others are checked, whoever is logged in')
})

t.test('credentials in the request win over what is remembered', async t => {
  const { b, resumed } = await loggedIn()
  const socket = resumed()
  t.equal(shortly(await b.authenticate(request(socket, basic('ann', 'wrong')))), 401)
  t.equal(shortly(await b.authenticate(request(socket))), 'ann')
  t.equal(shortly(await b.authenticate(request(socket, bob))), 'bob')
  await t.test('and a connection of several users speaks for none of them', async t => {
    t.equal(shortly(await b.authenticate(request(socket))), 401)
    t.equal(shortly(await b.authenticate(request(socket, ann))), 'ann')
    t.equal(shortly(await b.authenticate(request(socket))), 401)
    t.equal(shortly(await b.authenticate(request(resumed()))), 401)
  })
})

t.test('on a connection through a proxy that ends TLS nothing is remembered', async t => {
  const world = new World()
  const member = world.member({ basic: verify })
  const socket = connection(world.clock)
  const via = { via: '1.1 cdn' }
  t.equal(shortly(await member.authenticate(request(socket, { ...ann, ...via }))), 'ann')
  t.equal(shortly(await member.authenticate(request(socket, via))), 401)
  t.equal(shortly(await member.authenticate(request(socket))), 401)
  const direct = connection(world.clock)
  await member.authenticate(request(direct, ann))
  t.equal(shortly(await member.authenticate(request(direct, via))), 401)
})

t.test('a connection that no attached server made remembers nothing', async t => {
  const world = new World()
  const member = world.member({ basic: verify })
  const socket = { remoteAddress: '192.0.2.1' }
  t.equal(shortly(await member.authenticate(request(socket, ann))), 'ann')
  t.equal(shortly(await member.authenticate(request(socket))), 401)
})

t.test('a client without a session is known on its connection only', async t => {
  const world = new World()
  const member = world.member({ basic: verify })
  const socket = connection(world.clock, { lineage: undefined })
  await member.authenticate(request(socket, ann))
  t.equal(shortly(await member.authenticate(request(socket))), 'ann')
  t.equal(world.dump(), '')
  const other = connection(world.clock, { lineage: undefined })
  t.equal(shortly(await member.authenticate(request(other))), 401)
  t.equal(await member.logout(request(socket)), true)
  t.equal(shortly(await member.authenticate(request(socket))), 401)
})

t.test('a session that comes after the first request takes the log-in along', async t => {
  const world = new World()
  const member = world.member({ basic: verify })
  const late: { lineage?: Buffer } = {}
  const socket = connection(world.clock, {
    get lineage() {
      return late.lineage
    },
  })
  await member.authenticate(request(socket, ann))
  t.equal(world.dump(), '')
  late.lineage = randomBytes(32)
  t.equal(shortly(await member.authenticate(request(socket))), 'ann')
  t.equal(member.subjectOf(late.lineage), 'ann')
})

t.test('a foreign page can not use a log-in, but can link to us', async t => {
  const { b, resumed } = await loggedIn()
  const foreign = { 'sec-fetch-site': 'cross-site' }
  t.equal(shortly(await b.authenticate(request(resumed(), foreign))), 403)
  const link = { 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' }
  t.equal(
    shortly(await b.authenticate(request(resumed(), { ...foreign, ...link }))),
    'ann',
  )
  const post = request(resumed(), { origin: 'https://evil.example' }, { method: 'POST' })
  t.equal(shortly(await b.authenticate(post)), 403)
  t.equal(
    shortly(await b.authenticate(request(resumed(), { ...foreign, ...ann }))),
    'ann',
  )
})

t.test('where nobody need be logged in', async t => {
  const { b, resumed, world } = await loggedIn({ required: false })
  t.equal(shortly(await b.authenticate(request(connection(world.clock)))), 'nobody')
  t.equal(shortly(await b.authenticate(request(resumed()))), 'ann')
  const wrong = request(connection(world.clock), basic('ann', 'wrong'))
  t.equal(shortly(await b.authenticate(wrong)), 401, 'who tries and fails is told')
})

t.test('what can not be checked lets nobody in', async t => {
  const world = new World()
  const failing: [string, () => never | Promise<never>, number][] = [
    [
      'throws',
      () => {
        throw new Error(`no ${annsPassword}`)
      },
      503,
    ],
    ['rejects', () => Promise.reject(new Error(`no ${annsPassword}`)), 503],
    ['answers nonsense', (() => 'yes') as unknown as () => never, 401],
    ['answers a bad name', (() => ({ subject: 'a\nb' })) as unknown as () => never, 401],
  ]
  for (const [name, callback, status] of failing) {
    const member = world.member({ basic: callback })
    const decision = await member.authenticate(request(connection(world.clock), ann))
    t.equal(shortly(decision), status, name)
  }
  const slow = world.member({ basic: () => new Promise(() => {}) })
  const waiting = slow.authenticate(request(connection(world.clock), ann))
  await new Promise(setImmediate)
  world.clock.advance(10_000)
  t.equal(shortly(await waiting), 503, 'never answers')
  const closed = world.member({ basic: verify })
  world.at(-1).cache.close()
  const decision = await closed.authenticate(request(connection(world.clock), ann))
  t.equal(shortly(decision), 503, 'the cache is closed')
  t.notMatch(world.log.lines.join('\n'), annsPassword)
})

t.test('claims come back as they were given, or not at all', async t => {
  const world = new World()
  const claims = { role: 'admin', deep: { list: [1, 'two', null] }, ['__proto__']: 'x' }
  const a = world.member({ basic: () => ({ subject: 'Ann Lee', claims }) })
  const b = world.member({ basic: verify })
  const lineage = randomBytes(32)
  const first = await a.authenticate(request(connection(world.clock, { lineage }), ann))
  t.match(first, { identity: { subject: 'Ann Lee', claims } })
  const resumed = connection(world.clock, { lineage, resumed: 'peer' })
  t.same(await b.authenticate(request(resumed)), first)
  const huge = world.member({ basic: () => ({ claims: { x: 'y'.repeat(9_000) } }) })
  t.equal(shortly(await huge.authenticate(request(connection(world.clock), ann))), 401)
})

t.test('bad options are refused by name', async t => {
  const world = new World()
  const bad: [AuthOptions, RegExp][] = [
    [{}, /at least one of/],
    [{ basic: verify, realm: 'a"b' }, /realm/],
    [{ basic: verify, ttl: 0 }, /ttl/],
    [{ basic: verify, ttl: Number.NaN }, /ttl/],
    [{ basic: verify, attempts: { perUser: 0 } }, /attempts.perUser/],
    [{ basic: verify, attempts: { window: 1 } }, /attempts.window/],
    [{ basic: verify, trustedOrigins: ['https://a.example/'] }, /trustedOrigins/],
    [{ basic: {} as never }, /basic must have/],
    [{ form: { verify, path: '//evil' } }, /form.path/],
    [{ form: { verify, path: '/x', logoutPath: '/x' } }, /the same/],
    [{ form: { verify, path: '/x' }, logoutPath: '/x' }, /the same/],
    [{ form: { verify, logoutPath: '/a' }, logoutPath: '/a' }, /two names for one path/],
    [{ basic: verify, logoutPath: 'out' }, /logoutPath must be a path/],
    [{ basic: verify, logoutPath: '//evil' }, /logoutPath must be a path/],
    [{ form: { verify, cookie: 'session' } }, /__Host-/],
    [{ basic: { htpasswd: '/nonexistent/htpasswd' } }, /can't be read: Error ENOENT/],
    [{ forward: { url: 'ftp://x' } }, /auth.forward: url/],
    [{ forward: { url: 'http://x', timeout: 0 } }, /auth.forward: timeout/],
  ]
  for (const [options, message] of bad) {
    t.throws(() => world.member(options), { code: 'ERR_HANDFAST_CONFIG', message })
    t.throws(() => world.member(options), HandfastError)
  }
})

t.test('no password is in the table or the log', async t => {
  const { world, b, resumed } = await loggedIn()
  await b.authenticate(request(resumed(), basic('ann', `${annsPassword}!`)))
  await b.authenticate(request(resumed(), ann))
  const header = ann.authorization.slice('Basic '.length)
  t.ok(world.log.lines.length > 0 && world.dump().includes('ann'), 'there is something')
  for (const text of [annsPassword, header]) {
    t.notOk(world.dump().includes(text))
    t.notOk(world.log.lines.join('\n').includes(text))
  }
})
