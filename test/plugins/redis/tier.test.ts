import t from 'tap'
import { tables } from '../../../lib/record/key.ts'
import { noRedis, RedisServer } from '../../fixtures/redis/server.ts'
import { recordOf, tierHost } from '../../fixtures/redis/tiers.ts'
import { until } from '../../fixtures/until.ts'

const { session, revocation, state } = tables
const budget = 30_000
const skip = noRedis

t.test('hosts share through Redis alone', { skip }, async t => {
  const server = await RedisServer.start(t)
  const [a, b] = [tierHost(t, server.url), tierHost(t, server.url)]
  await Promise.all([a.tier.watch(), b.tier.watch()])
  t.equal(a.tier.isCurrent() && b.tier.isCurrent(), true)

  const made = recordOf(session, 'id-1', 'a session')
  t.equal(await a.tier.put(made, 'one', budget), true)
  t.match(await b.tier.get(session, made.key, budget), { value: made.value })
  t.equal(await b.tier.get(session, Buffer.from('id-2'), budget), undefined)

  const revoked = recordOf(revocation, 'ann', 'gone')
  t.equal(await a.tier.put(revoked, 'repositories', budget), true)
  await until(() => b.replica.read(revocation, revoked.key) !== undefined)
  t.same(b.replica.read(revocation, revoked.key), revoked)
  t.match(await b.tier.get(revocation, revoked.key, budget), { value: revoked.value })

  const long = recordOf(state, 'cart', 'x'.repeat(60_000))
  await a.tier.put(long, 'one', budget)
  await until(() => b.replica.read(state, long.key) !== undefined)
  t.same(b.replica.read(state, long.key), long)

  const late = tierHost(t, server.url)
  await late.tier.watch()
  t.same(late.replica.read(revocation, revoked.key), revoked)
  t.same(late.replica.read(state, long.key), long)
  t.equal(late.tier.isCurrent(), true)
  t.equal(late.losses(), 0)
})

t.test('the newest write stays, in whatever order they come', { skip }, async t => {
  const server = await RedisServer.start(t)
  const [a, b] = [tierHost(t, server.url), tierHost(t, server.url)]
  await Promise.all([a.tier.watch(), b.tier.watch()])
  for (const table of [session, state]) {
    const [older, newer] = [recordOf(table, 'k', 'older'), recordOf(table, 'k', 'newer')]
    await a.tier.put(newer, 'one', budget)
    t.equal(await b.tier.put(older, 'one', budget), true)
    t.match(await a.tier.get(table, newer.key, budget), { value: newer.value })
    t.same(b.replica.read(table, newer.key), newer, 'who comes late is told')

    const deleted = recordOf(table, 'k', '', { tombstone: true })
    await b.tier.put(deleted, 'one', budget)
    await a.tier.put(newer, 'one', budget)
    t.match(await a.tier.get(table, newer.key, budget), { tombstone: true })

    // One version: the rule of the farm decides, whoever comes first.
    const { version } = recordOf(table, 'k', '')
    const [x, y] = ['x', 'y'].map(value => recordOf(table, 'twice', value, { version }))
    for (const [first, second] of [
      [x, y],
      [y, x],
    ]) {
      const key = Buffer.from(`twice ${first?.value}`)
      await a.tier.put({ ...(first as typeof older), key }, 'one', budget)
      await a.tier.put({ ...(second as typeof older), key }, 'one', budget)
      t.match(await a.tier.get(table, key, budget), { value: Buffer.from('y') })
    }
  }
})

t.test(
  'what has ended is gone, and no record ends before its deletion',
  {
    skip,
  },
  async t => {
    const server = await RedisServer.start(t)
    const { tier } = tierHost(t, server.url)
    await tier.watch()
    const soon = { expiresAt: Date.now() + 60_000 }
    await tier.put(recordOf(session, 'a', 'x', soon), 'one', budget)
    const [key] = (await server.say('KEYS', 'handfast:*')) as string[]
    t.ok(Number(await server.say('PTTL', key as string)) <= 60_000)
    await tier.put(
      recordOf(session, 'a', '', { ...soon, tombstone: true }),
      'one',
      budget,
    )
    t.ok(Number(await server.say('PTTL', key as string)) > 300_000)

    const past = { expiresAt: Date.now() - 400_000 }
    for (let n = 0; n < 40; n += 1)
      await tier.put(recordOf(state, `${n}`, 'x', past), 'one', budget)
    let left = 0
    for (const name of (await server.say('KEYS', '*:records')) as string[])
      left += Number(await server.say('HLEN', name))
    t.equal(left, 0)
    for (const log of (await server.say('KEYS', '*:log')) as string[])
      t.equal(await server.say('PTTL', log), -1)
  },
)

t.test('two farms in one Redis do not meet', { skip }, async t => {
  const server = await RedisServer.start(t)
  const [one, two] = [tierHost(t, server.url), tierHost(t, server.url, { secret: 'two' })]
  await Promise.all([one.tier.watch(), two.tier.watch()])
  for (const table of [session, revocation]) {
    const record = recordOf(table, 'ann', 'of one')
    await one.tier.put(record, 'one', budget)
    t.equal(await two.tier.get(table, record.key, budget), undefined)
    await two.tier.put({ ...record, value: Buffer.from('of two') }, 'one', budget)
    t.match(await one.tier.get(table, record.key, budget), { value: record.value })
  }
  const later = recordOf(revocation, 'bob', 'of two')
  await two.tier.put(later, 'one', budget)
  await one.tier.put(recordOf(revocation, 'eve', 'of one'), 'one', budget)
  t.equal(one.replica.told.filter(({ key }) => key.equals(later.key)).length, 0)
  t.match([one.tier.stats(), two.tier.stats()], [{ foreign: 0 }, { foreign: 0 }])
})

t.test('the server learns nothing but how many records there are', { skip }, async t => {
  const server = await RedisServer.start(t)
  const { tier } = tierHost(t, server.url)
  await tier.watch()
  for (const table of [session, revocation, state])
    await tier.put(recordOf(table, 'secret-key', 'secret-value'), 'one', budget)
  for (const key of (await server.say('KEYS', '*')) as string[]) {
    t.notMatch(key, 'secret-key')
    t.notMatch(String(await server.say('DUMP', key)), /secret-(?:key|value)/)
  }
})

t.test(
  'what others put in its place is a miss, counted, and overwritten',
  {
    skip,
  },
  async t => {
    const server = await RedisServer.start(t)
    const { tier } = tierHost(t, server.url)
    await tier.watch()
    const record = recordOf(session, 'id', 'a session')
    await tier.put(record, 'one', budget)
    const [key = ''] = (await server.say('KEYS', 'handfast:*')) as string[]
    const flipped = async () => {
      const length = Number(await server.say('STRLEN', key))
      await server.say('SETRANGE', key, String(length - 1), '\x01')
    }
    const harms = [
      () => server.say('SET', key, 'garbage'),
      () => server.say('SET', key, '\x01\x00~~~~~~~~~~~~~~~~~~~~~~~~'),
      () => server.say('SET', key, 'x'.repeat(1_000_000)),
      flipped,
      async () => {
        await server.say('DEL', key)
        await server.say('RPUSH', key, 'a list')
      },
    ]
    for (const [at, harm] of harms.entries()) {
      await harm()
      const got = await tier.get(session, record.key, budget).catch(({ code }) => code)
      t.ok(got === undefined || got === 'WRONGTYPE', String(got))
      await tier.put(record, 'one', budget)
      t.match(
        await tier.get(session, record.key, budget),
        { value: record.value },
        `${at}`,
      )
    }
    t.ok((tier.stats()['foreign'] ?? 0) >= 4)
  },
)

t.test('keys of the wrong type, or cut off, are made anew', { skip }, async t => {
  const server = await RedisServer.start(t)
  const [a, b] = [tierHost(t, server.url), tierHost(t, server.url)]
  await Promise.all([a.tier.watch(), b.tier.watch()])
  const first = recordOf(revocation, 'ann', 'gone')
  await a.tier.put(first, 'one', budget)
  await until(() => b.replica.read(revocation, first.key) !== undefined)
  for (const kind of ['records', 'ends', 'log']) {
    const [key = ''] = (await server.say('KEYS', `*:${kind}`)) as string[]
    await server.say('SET', key, 'garbage')
    const next = recordOf(revocation, 'ann', `gone, ${kind}`)
    await a.tier.put(next, 'one', budget)
    await until(
      () => b.replica.read(revocation, next.key)?.value.equals(next.value) === true,
    )
    t.pass(kind)
  }
  await until(() => a.tier.isCurrent() && b.tier.isCurrent())
})

t.test(
  'entries of others in the log keep nobody from what follows',
  { skip },
  async t => {
    const server = await RedisServer.start(t)
    const [a, b] = [tierHost(t, server.url), tierHost(t, server.url)]
    await Promise.all([a.tier.watch(), b.tier.watch()])
    const first = recordOf(revocation, 'ann', 'gone')
    await a.tier.put(first, 'one', budget)
    await until(() => b.replica.read(revocation, first.key) !== undefined)
    const [log = ''] = (await server.say('KEYS', '*:log')) as string[]
    await server.say('XADD', log, '*', 'not', 'ours', 'at', 'all')
    await server.say('XADD', log, '*', 'one', 'field')
    const next = recordOf(revocation, 'ann', 'gone again')
    await a.tier.put(next, 'one', budget)
    await until(
      () => b.replica.read(revocation, next.key)?.value.equals(next.value) === true,
    )
    await until(() => a.tier.isCurrent() && b.tier.isCurrent())
    t.pass('heard, and current again')
  },
)

t.test(
  'an old record that is played back undoes no revocation and no deletion',
  {
    skip,
  },
  async t => {
    const server = await RedisServer.start(t)
    const [a, b] = [tierHost(t, server.url), tierHost(t, server.url)]
    await Promise.all([a.tier.watch(), b.tier.watch()])
    const login = recordOf(state, 'ann', 'logged in')
    await a.tier.put(login, 'one', budget)
    await until(() => b.replica.read(state, login.key) !== undefined)
    const [records = ''] = (await server.say('KEYS', '*:records')) as string[]
    const before = b.sealer.seal(login)
    const name = b.sealer.name(state, login.key)
    await a.tier.put(recordOf(state, 'ann', '', { tombstone: true }), 'one', budget)
    await until(() => b.replica.read(state, login.key)?.tombstone === true)
    const told = b.replica.told.length
    const log = records.replace(/records$/, 'log')
    const [[last = '']] = (await server.say(
      'XREVRANGE',
      log,
      '+',
      '-',
      'COUNT',
      '1',
    )) as [[string]]
    const [generation, number] = last.split('-')
    await server.sayBytes('HSET', records, name, before)
    await server.sayBytes(
      'XADD',
      log,
      `${generation}-${Number(number) + 1}`,
      'n',
      name,
      'v',
      before,
    )
    await until(() => b.replica.told.length > told)
    t.equal(b.replica.read(state, login.key)?.tombstone, true)
    // And it is put right by the next write.
    await a.tier.put(recordOf(state, 'ann', '', { tombstone: true }), 'one', budget)
    t.match(await b.tier.get(state, login.key, budget), { tombstone: true })
  },
)
