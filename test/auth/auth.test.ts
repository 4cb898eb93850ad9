import { randomBytes } from 'node:crypto'
import t from 'tap'
import type { AuthOptions } from '../../lib/auth/options.ts'
import type { Found } from '../../lib/cache/cache.ts'
import { HandfastError } from '../../lib/errors.ts'
import { tables } from '../../lib/record/key.ts'
import type { CacheRecord } from '../../lib/record/record.ts'
import { ann, annsPassword, bob, loggedIn, verify } from '../fixtures/auth/logged-in.ts'
import { basic, connection, request, shortly, World } from '../fixtures/auth/world.ts'

const hour = 3_600_000

t.test('a password is checked once for the farm, while it comes again', async t => {
  const { a, b, onA, resumed, first, lineage, asked } = await loggedIn()
  t.equal(shortly(first), 'ann')
  t.equal(shortly(await a.authenticate(request(onA, ann))), 'ann', 'same connection')
  t.same(await b.authenticate(request(resumed(), ann)), first, 'the whole identity')
  t.equal(shortly(await a.authenticate(request(resumed(), ann))), 'ann')
  t.equal(asked(), 1)
  t.equal(a.subjectOf(lineage), 'ann')
  t.equal(b.subjectOf(lineage), 'ann')
  t.equal(b.subjectOf(randomBytes(32)), undefined)
})

t.test('a TLS session alone is nobody', async t => {
  const { a, b, onA, resumed, asked } = await loggedIn()
  t.equal(shortly(await a.authenticate(request(onA))), 401, 'on the very connection')
  t.equal(shortly(await a.authenticate(request(resumed()))), 401)
  t.equal(shortly(await b.authenticate(request(resumed()))), 401)
  t.equal(shortly(await b.authenticate(request(resumed(), ann))), 'ann')
  for (const said of [{ via: '1.1 x' }, { 'x-forwarded-for': '192.0.2.9' }, {}]) {
    t.equal(shortly(await b.authenticate(request(resumed(), said))), 401)
    t.equal(shortly(await b.authenticate(request(resumed(), { ...said, ...ann }))), 'ann')
  }
  t.equal(asked(), 1, 'nor does it matter what a gateway says')
})

t.test(
  'a gateway with many users on one session: each is who they show to be',
  async t => {
    const { a, b, onA, resumed, asked } = await loggedIn()
    const onB = resumed()
    for (let round = 0; round < 3; round++) {
      for (const [auth, socket] of [
        [a, onA],
        [b, onB],
      ] as const) {
        const all = await Promise.all(
          [ann, bob, {}, basic('ann', 'battery staple'), basic('bob', annsPassword)].map(
            headers => auth.authenticate(request(socket, headers)),
          ),
        )
        t.same(all.map(shortly).slice(0, 3), ['ann', 'bob', 401])
        for (const wrong of all.slice(3).map(shortly))
          t.ok([401, 429].includes(wrong as number))
      }
    }
    t.ok(asked() > 2)
  },
)

t.test('who guesses on a session of others learns nothing from the memory', async t => {
  const { b, resumed, asked, onA, a } = await loggedIn()
  const guess = async (socket: object, password: string) =>
    shortly(await b.authenticate(request(socket, basic('ann', password))))
  await t.test('on one connection', async t => {
    const socket = resumed()
    t.equal(shortly(await b.authenticate(request(socket, ann))), 'ann')
    for (let i = 0; i < 10; i++) t.equal(await guess(socket, `wrong ${i}`), 401)
    t.equal(await guess(socket, annsPassword), 429, 'the right one is not told apart')
    t.equal(await guess(socket, 'wrong'), 429)
  })
  await t.test('on a new one for each guess', async t => {
    t.equal(await guess(resumed(), annsPassword), 429)
    t.equal(await guess(resumed(), 'wrong'), 429)
  })
  t.equal(shortly(await a.authenticate(request(onA, ann))), 'ann', 'who was in stays in')
  t.equal(asked(), 11)
  await t.test('nor once the address is stopped for guesses at others', async t => {
    const { b, resumed } = await loggedIn({ attempts: { perAddress: 20 } })
    const at = async (user: string, password: string) =>
      shortly(await b.authenticate(request(resumed(), basic(user, password))))
    for (let i = 0; i < 20; i++) t.equal(await at(`user${i}`, 'wrong'), 401)
    t.equal(await at('ann', annsPassword), 'ann', 'who is known is not kept out')
    for (let i = 0; i < 10; i++) t.equal(await at('ann', `wrong ${i}`), 429)
    t.equal(await at('ann', annsPassword), 429)
  })
})

t.test('it is asked for where it has not been sent, and not without bound', async t => {
  const world = new World()
  world.lazy = true
  const a = world.member({ basic: verify })
  const b = world.member({
    basic: verify,
    attempts: { perUser: 1_000, perAddress: 1_000 },
  })
  const lineage = randomBytes(32)
  await a.authenticate(request(connection(world.clock, { lineage }), ann))
  t.equal(world.fetches, 0, 'a new lineage can not be known elsewhere')
  const resumed = connection(world.clock, { lineage, resumed: 'peer' })
  t.equal(shortly(await b.authenticate(request(resumed, ann))), 'ann')
  const before = world.fetches
  const stranger = connection(world.clock, { resumed: 'peer' })
  for (let i = 0; i < 200; i++) {
    await b.authenticate(request(stranger, basic('ann', `wrong ${i}`)))
  }
  t.ok(world.fetches > before && world.fetches <= before + 32, `${world.fetches}`)
})

t.test('nothing is remembered', async t => {
  const again = async (
    options: Partial<AuthOptions>,
    facts: object = {},
    change: (world: World) => void = () => {},
  ) => {
    const { world, b, resumed, asked } = await loggedIn(options)
    change(world)
    t.equal(shortly(await b.authenticate(request(resumed(facts), ann))), 'ann')
    return asked() - 1
  }
  t.equal(await again({}), 0, 'it is, else')
  t.equal(await again({}, { lineage: randomBytes(32) }), 1, 'for another session')
  t.equal(await again({}, { serverName: 'admin.example' }), 1, 'under another name')
  const late = (world: World) => world.clock.advance(hour)
  t.equal(await again({ ttl: hour }, {}, late), 1, 'when it has run out')
  await t.test('in another realm', async t => {
    const { world, resumed } = await loggedIn()
    let asked = 0
    const counting = (user: string, password: string) => {
      asked += 1
      return verify(user, password)
    }
    const other = world.member({ basic: counting, realm: 'admin' })
    t.equal(shortly(await other.authenticate(request(resumed(), ann))), 'ann')
    t.equal(asked, 1)
    const third = world.member({ basic: counting, realm: 'admin' })
    t.equal(shortly(await third.authenticate(request(resumed(), ann))), 'ann')
    t.equal(asked, 1, 'but for the realm')
  })
  await t.test('by a farm with another secret', async t => {
    const { world, resumed } = await loggedIn()
    const stranger = world.member({ basic: () => false }, { key: randomBytes(32) })
    for (const record of world.records(0)) world.at(-1).cache.apply(record)
    t.equal(shortly(await stranger.authenticate(request(resumed(), ann))), 401)
  })
  await t.test('by a record that somebody without the secret has planted', async t => {
    const { world, b, lineage } = await loggedIn()
    const { cache } = world.at(1)
    const [record] = world.records(1).filter(({ key }) => key.length === 48)
    const { key, value } = record as CacheRecord
    t.ok(key.subarray(0, 32).equals(lineage))
    const victim = randomBytes(32)
    const socket = connection(world.clock, { lineage: victim, resumed: 'local' })
    const planted = Buffer.concat([victim, key.subarray(32)])
    await cache.add(tables.auth, planted, value, { ttl: hour })
    const failing = world.member({ basic: () => false })
    await world.at(-1).cache.add(tables.auth, planted, value, { ttl: hour })
    t.equal(shortly(await failing.authenticate(request(socket, ann))), 401)
    const shown = (cache.getLocal(tables.auth, lineage) as Found).value
    await world.at(-1).cache.add(tables.auth, planted, shown, { ttl: hour })
    t.equal(shortly(await failing.authenticate(request(socket, ann))), 401)
    t.equal(shortly(await b.authenticate(request(socket))), 401)
  })
  await t.test('beyond the end of the lineage, however long the log-in', async t => {
    const { world, a, first } = await loggedIn({ ttl: 48 * hour })
    t.match(first, { identity: { expiresAt: world.clock.now() + 24 * hour } })
    const late = connection(world.clock, { originalAt: world.clock.now() - 23 * hour })
    t.match(await a.authenticate(request(late, ann)), {
      identity: { expiresAt: world.clock.now() + hour },
    })
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

t.test('a connection that no attached server made remembers nothing', async t => {
  const world = new World()
  const member = world.member({ basic: verify })
  const socket = { remoteAddress: '192.0.2.1' }
  t.equal(shortly(await member.authenticate(request(socket, ann))), 'ann')
  t.equal(shortly(await member.authenticate(request(socket))), 401)
  t.equal(world.records(0).length, 0)
})

t.test('a client without a session is remembered on its connection only', async t => {
  const { world, a, asked } = await loggedIn()
  const before = world.dump()
  const socket = connection(world.clock, { lineage: undefined })
  await a.authenticate(request(socket, ann))
  t.equal(shortly(await a.authenticate(request(socket, ann))), 'ann')
  t.equal(asked(), 2)
  t.equal(shortly(await a.authenticate(request(socket))), 401)
  t.equal(world.dump(), before)
  const other = connection(world.clock, { lineage: undefined })
  t.equal(shortly(await a.authenticate(request(other, ann))), 'ann')
  t.equal(asked(), 3)
  t.equal(await a.logout(request(socket, ann)), true)
  t.equal(shortly(await a.authenticate(request(socket, ann))), 401, 'asked once more')
  t.equal(shortly(await a.authenticate(request(socket, ann))), 'ann')
  t.equal(asked(), 4)
})

t.test('a session that comes after the first request takes the log-in along', async t => {
  const { world, a, b, asked } = await loggedIn()
  const late: { lineage?: Buffer } = {}
  const socket = connection(world.clock, {
    get lineage() {
      return late.lineage
    },
  })
  await a.authenticate(request(socket, ann))
  late.lineage = randomBytes(32)
  t.equal(shortly(await a.authenticate(request(socket, ann))), 'ann')
  const resumed = connection(world.clock, { lineage: late.lineage, resumed: 'peer' })
  t.equal(shortly(await b.authenticate(request(resumed, ann))), 'ann')
  t.equal(asked(), 2, 'once for each of the two sessions')
})

t.test('a foreign page can not use a password that the browser keeps', async t => {
  const { a, b, resumed, world } = await loggedIn({
    trustedOrigins: ['https://app.example'],
  })
  const foreign = { 'sec-fetch-site': 'cross-site' }
  const link = { ...foreign, 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' }
  const evil = { origin: 'https://evil.example' }
  const at = async (headers: Record<string, string>, method = 'GET', user = ann) =>
    shortly(await b.authenticate(request(resumed(), { ...headers, ...user }, { method })))
  t.equal(await at({}), 'ann', 'no browser')
  t.equal(await at({ 'sec-fetch-site': 'same-origin' }, 'POST'), 'ann')
  t.equal(await at(link), 'ann', 'a foreign page may link to us')
  t.equal(await at(link, 'POST'), 403)
  t.equal(await at(foreign), 403)
  t.equal(await at({ ...foreign, 'sec-fetch-mode': 'no-cors' }), 403, 'an image')
  t.equal(await at({ 'sec-fetch-site': 'same-site' }, 'POST'), 403, 'a sibling')
  t.equal(await at(evil, 'POST'), 403, 'an older browser')
  t.equal(await at({ origin: 'null' }, 'POST'), 403)
  t.equal(await at({ ...foreign, origin: 'https://app.example' }, 'POST'), 'ann')
  t.equal(await at(evil, 'POST', bob), 403, 'nor one that was not shown before')
  t.equal(await at(evil, 'POST', basic('ann', 'wrong')), 403, 'and no guess')
  t.equal(shortly(await a.authenticate(request(resumed(), foreign))), 403, 'without')
  const open = world.member({ basic: verify, required: false })
  const posted = request(resumed(), { ...evil, ...ann }, { method: 'POST' })
  t.equal(shortly(await open.authenticate(posted)), 'nobody', 'where nobody need be')
})

t.test('where nobody need be logged in', async t => {
  const { b, resumed, world } = await loggedIn({ required: false })
  t.equal(shortly(await b.authenticate(request(connection(world.clock)))), 'nobody')
  t.equal(shortly(await b.authenticate(request(resumed()))), 'nobody')
  t.equal(shortly(await b.authenticate(request(resumed(), ann))), 'ann')
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
  await world.at(-1).cache.close()
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
  t.same(await b.authenticate(request(resumed, ann)), first)
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
    [{ basic: verify, rememberBy: 'cookie' as never }, /rememberBy/],
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

t.test('an IPv4 client whose log-in failed is called so in the log', async t => {
  const { world, b } = await loggedIn()
  const socket = connection(world.clock, { address: '::ffff:192.0.2.7' })
  t.equal(shortly(await b.authenticate(request(socket, basic('ann', 'a guess')))), 401)
  const told = world.log.lines.filter(line => line.includes('log-in failed'))
  t.equal(told.length, 1)
  t.match(told[0], '"192.0.2.7"')
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
