import { randomBytes } from 'node:crypto'
import t from 'tap'
import type { AuthOptions } from '../../lib/auth/options.ts'
import type { Found } from '../../lib/cache/cache.ts'
import { tables } from '../../lib/record/key.ts'
import type { CacheRecord } from '../../lib/record/record.ts'
import { ann, bob, loggedIn, verify } from '../fixtures/auth/logged-in.ts'
import { basic, connection, request, shortly, World } from '../fixtures/auth/world.ts'

/* What holds where the TLS session alone tells the user: `rememberBy: 'tls-session'`. */

const hour = 3_600_000
const rememberBy = 'tls-session'
const bySession: AuthOptions = { rememberBy, basic: verify }

t.test('a log-in on one member is known on another for the resumed session', async t => {
  const { a, b, onA, resumed, first, lineage } = await loggedIn({ rememberBy })
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
  const a = world.member(bySession)
  const b = world.member(bySession)
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
    const { world, b } = await loggedIn({ rememberBy })
    const fresh = connection(world.clock)
    t.equal(shortly(await b.authenticate(request(fresh))), 401)
  })
  await t.test('under another server name', async t => {
    const { b, resumed } = await loggedIn({ rememberBy })
    const socket = resumed({ serverName: 'admin.example' })
    t.equal(shortly(await b.authenticate(request(socket))), 401)
  })
  await t.test('in another realm', async t => {
    const { world, resumed } = await loggedIn({ rememberBy })
    const other = world.member({ ...bySession, realm: 'admin' })
    t.equal(shortly(await other.authenticate(request(resumed()))), 401)
    t.equal(shortly(await other.authenticate(request(resumed(), bob))), 'bob')
    const again = world.member({ ...bySession, realm: 'admin' })
    t.equal(shortly(await again.authenticate(request(resumed()))), 'bob')
  })
  await t.test('to a farm with another secret', async t => {
    const { world, resumed } = await loggedIn({ rememberBy })
    const stranger = world.member(bySession, { key: randomBytes(32) })
    for (const record of world.records(0)) world.at(-1).cache.apply(record)
    t.equal(shortly(await stranger.authenticate(request(resumed()))), 401)
  })
  await t.test('by a record that somebody without the secret has planted', async t => {
    const { world, b, lineage } = await loggedIn({ rememberBy })
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
    const { world, b, resumed } = await loggedIn({ rememberBy, ttl: hour })
    world.clock.advance(hour - 1)
    t.equal(shortly(await b.authenticate(request(resumed()))), 'ann')
    world.clock.advance(1)
    t.equal(shortly(await b.authenticate(request(resumed()))), 401)
  })
  await t.test('when the lineage has ended, however long the log-in', async t => {
    const { world, a, first } = await loggedIn({ rememberBy, ttl: 48 * hour })
    t.match(first, { identity: { expiresAt: world.clock.now() + 24 * hour } })
    const late = connection(world.clock, { originalAt: world.clock.now() - 23 * hour })
    t.match(await a.authenticate(request(late, ann)), {
      identity: { expiresAt: world.clock.now() + hour },
    })
  })
  await t.test('by a method that is not in use any more', async t => {
    const { world, resumed } = await loggedIn({ rememberBy })
    const member = world.member({ rememberBy, certificate: true })
    t.equal(shortly(await member.authenticate(request(resumed()))), 403)
  })
})

t.test('credentials in the request win over what is remembered', async t => {
  const { b, resumed } = await loggedIn({ rememberBy })
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
  const member = world.member(bySession)
  const socket = connection(world.clock)
  const via = { via: '1.1 cdn' }
  t.equal(shortly(await member.authenticate(request(socket, { ...ann, ...via }))), 'ann')
  t.equal(shortly(await member.authenticate(request(socket, via))), 401)
  t.equal(shortly(await member.authenticate(request(socket))), 401)
  const direct = connection(world.clock)
  await member.authenticate(request(direct, ann))
  t.equal(shortly(await member.authenticate(request(direct, via))), 401)
})

t.test('a client without a session is known on its connection only', async t => {
  const world = new World()
  const member = world.member(bySession)
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
  const member = world.member(bySession)
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
  const { b, resumed } = await loggedIn({ rememberBy })
  const foreign = { 'sec-fetch-site': 'cross-site' }
  t.equal(shortly(await b.authenticate(request(resumed(), foreign))), 403)
  const link = { 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' }
  t.equal(
    shortly(await b.authenticate(request(resumed(), { ...foreign, ...link }))),
    'ann',
  )
  const post = request(resumed(), { origin: 'https://evil.example' }, { method: 'POST' })
  t.equal(shortly(await b.authenticate(post)), 403)
})

t.test('log-out', async t => {
  await t.test('is seen on every member at the next request', async t => {
    const { a, b, onA, resumed, lineage } = await loggedIn({ rememberBy })
    const onB = resumed()
    t.equal(shortly(await b.authenticate(request(onB))), 'ann')
    t.equal(await a.logout(request(onA)), true)
    t.equal(shortly(await a.authenticate(request(onA))), 401)
    t.equal(shortly(await b.authenticate(request(onB))), 401)
    t.equal(shortly(await b.authenticate(request(resumed()))), 401)
    t.equal(a.subjectOf(lineage), undefined)
  })
  await t.test('is not undone by a record that comes late', async t => {
    const { world, a, b, onA, resumed } = await loggedIn({ rememberBy })
    const record = world.records(1).find(({ key }) => key.length === 32) as CacheRecord
    await a.logout(request(onA))
    t.equal(world.at(1).cache.apply(record), false)
    t.equal(shortly(await b.authenticate(request(resumed()))), 401)
  })
  await t.test('is not undone by a log-in that was being checked', async t => {
    const world = new World()
    let answer: (yes: boolean) => void = () => {}
    const slow = () => new Promise<boolean>(resolve => (answer = resolve))
    const member = world.member({ rememberBy, basic: slow })
    const socket = connection(world.clock)
    const checking = member.authenticate(request(socket, ann))
    await new Promise(setImmediate)
    await member.logout(request(socket))
    answer(true)
    await checking
    t.equal(shortly(await member.authenticate(request(socket))), 401)
  })
  await t.test('asks a client once that sends its password by itself', async t => {
    const { a, b, onA, resumed } = await loggedIn({ rememberBy })
    const onB = resumed()
    await b.authenticate(request(onB, ann))
    await a.logout(request(onA))
    const asked = await a.authenticate(request(onA, ann))
    t.match(asked, {
      answer: { status: 401, headers: { 'www-authenticate': [/^Basic/] } },
    })
    t.equal(shortly(await b.authenticate(request(onB, ann))), 401, 'and there')
    t.equal(shortly(await b.authenticate(request(onB, ann))), 'ann', 'sent on purpose')
    t.equal(shortly(await b.authenticate(request(onB))), 'ann')
    t.equal(shortly(await a.authenticate(request(onA))), 'ann', 'logged in again')
    await a.logout(request(onA))
    t.equal(shortly(await b.authenticate(request(onB, ann))), 401, 'each time anew')
  })
})

t.test('revocation of a user', async t => {
  await t.test('voids what was proved before it, at once', async t => {
    const { world, a, b, onA, resumed } = await loggedIn({ rememberBy })
    const onB = resumed()
    t.equal(shortly(await b.authenticate(request(onB, ann))), 'ann')
    world.revoked.set('ann', world.clock.now())
    world.clock.advance(1)
    t.equal(shortly(await a.authenticate(request(onA))), 401)
    t.equal(shortly(await b.authenticate(request(onB, ann))), 401, 'asked, not believed')
    t.equal(shortly(await b.authenticate(request(onB, ann))), 'ann', 'proved again')
    t.equal(shortly(await a.authenticate(request(onA))), 'ann')
  })
})
