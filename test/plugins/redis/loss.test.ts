import t from 'tap'
import { tables } from '../../../lib/record/key.ts'
import { slotOf } from '../../../plugins/redis/slot.ts'
import { deafRelay } from '../../fixtures/redis/deaf-relay.ts'
import {
  noRedis,
  RedisServer,
  redisCluster,
  redisSentinel,
} from '../../fixtures/redis/server.ts'
import { silentRelay } from '../../fixtures/redis/silent-relay.ts'
import { recordOf, type TierHost, tierHost } from '../../fixtures/redis/tiers.ts'
import type { TeardownScope } from '../../fixtures/tls/servers.ts'
import { until } from '../../fixtures/until.ts'

const { session, revocation } = tables
const budget = 30_000
const skip = noRedis
/** As in docs/redis.md. */
const redisRights =
  '~handfast:* -@all +get +set +hget +hset +hdel +hmget +hscan +zadd +zrem +zrangebyscore +del ' +
  '+xadd +xread +xrange +xrevrange +evalsha +eval +time +wait +select'

/** A host that comes now hears of it from Redis. */
async function isKept(
  t: TeardownScope,
  url: string,
  names: readonly string[],
): Promise<boolean> {
  const late = tierHost(t, url)
  await late.tier.watch()
  const all = names.every(name => knows(late, name))
  await late.tier.close()
  return all
}

function knows({ replica }: TierHost, name: string): boolean {
  return replica.read(revocation, Buffer.from(name)) !== undefined
}

t.test('no revocation is forgotten when Redis forgets all', { skip }, async t => {
  const server = await RedisServer.start(t)
  const [a, b] = [tierHost(t, server.url), tierHost(t, server.url)]
  await Promise.all([a.tier.watch(), b.tier.watch()])
  const names = Array.from({ length: 30 }, (_, n) => `user ${n}`)
  for (const name of names) {
    const record = recordOf(revocation, name, 'gone')
    a.replica.apply(record)
    await a.tier.put(record, 'one', budget)
  }
  await until(() => names.every(name => knows(b, name)))

  await server.say('FLUSHALL')
  await until(() => isKept(t, server.url, names))
  await server.stop()
  await server.start()
  await until(() => isKept(t, server.url, names))

  // Written by another one in the same moment: the log begins anew at once.
  await server.say('FLUSHALL')
  await b.tier.put(recordOf(revocation, 'the next', 'gone'), 'one', budget)
  await until(() => isKept(t, server.url, [...names, 'the next']))
  await until(() => knows(a, 'the next') && a.tier.isCurrent() && b.tier.isCurrent())
})

for (const [what, forget] of [
  ['FLUSHALL forgets', (server: RedisServer) => server.say('FLUSHALL')],
  [
    'a restart forgets',
    async (server: RedisServer) => {
      await server.stop()
      await server.start()
    },
  ],
] as const) {
  t.test(`a first write that ${what} unheard is written again`, { skip }, async t => {
    const server = await RedisServer.start(t)
    const relay = await deafRelay(t, server.port)
    const a = tierHost(t, `redis://127.0.0.1:${relay.port}`)
    await a.tier.watch()
    relay.deafen()
    const record = recordOf(revocation, 'ann', 'gone')
    a.replica.apply(record)
    t.equal(await a.tier.put(record, 'one', budget), true)
    await forget(server)
    relay.hear()
    await until(() => isKept(t, server.url, ['ann']))
  })
}

t.test(
  'writes that a server lost which goes on from an older state are written again',
  { skip },
  async t => {
    const server = await RedisServer.start(t)
    const relay = await deafRelay(t, server.port)
    const a = tierHost(t, `redis://127.0.0.1:${relay.port}`)
    const b = tierHost(t, server.url)
    await Promise.all([a.tier.watch(), b.tier.watch()])
    const write = async ({ tier, replica }: TierHost, name: string) => {
      const record = recordOf(revocation, name, 'gone')
      replica.apply(record)
      t.equal(await tier.put(record, 'one', budget), true)
    }
    const names = Array.from({ length: 30 }, (_, n) => `user ${n}`)
    for (const name of names) await write(b, name)
    await until(() => names.every(name => knows(b, name) && knows(a, name)))
    await b.tier.close()
    await server.say('SAVE')
    // As a replica that takes over without the last writes: its log ends where this host is.
    relay.deafen()
    const last = Array.from({ length: 30 }, (_, n) => `last ${n}`)
    for (const name of last) await write(a, name)
    await server.stop()
    await server.start()
    const late = tierHost(t, server.url)
    await late.tier.watch()
    t.notOk(
      last.some(name => knows(late, name)),
      'they are lost',
    )
    t.ok(names.every(name => knows(late, name)))
    relay.hear()
    await until(() => last.every(name => knows(late, name)))
    await until(() => a.tier.isCurrent() && late.tier.isCurrent())
  },
)

t.test('a host that hears what it writes does not write it again', { skip }, async t => {
  const server = await RedisServer.start(t)
  const { tier, replica, losses } = tierHost(t, server.url)
  await tier.watch()
  const before = losses()
  const records = Array.from({ length: 500 }, (_, n) => {
    const long = n % 10 === 0 ? 'x'.repeat(3_000) : 'gone'
    return recordOf(revocation, `user ${n % 300}`, long)
  })
  await Promise.all(records.map(record => tier.put(record, 'repositories', budget)))
  // What is read from then on shows them all.
  for (const name of ['one more', 'and one']) {
    const record = recordOf(revocation, name, 'gone')
    await tier.put(record, 'one', budget)
    await until(() => replica.read(revocation, record.key) !== undefined)
  }
  t.equal(losses(), before)
})

t.test(
  'changes that were cut off the log are read from the records',
  { skip },
  async t => {
    const server = await RedisServer.start(t)
    const relay = await silentRelay(t, server.port)
    const [a, b] = [
      tierHost(t, server.url),
      tierHost(t, { url: `redis://127.0.0.1:${relay.port}`, commandTimeout: 300 }),
    ]
    await Promise.all([a.tier.watch(), b.tier.watch()])
    await a.tier.put(recordOf(revocation, 'first', 'gone'), 'one', budget)
    await until(() => knows(b, 'first'))
    const before = b.losses()
    relay.cut()
    await until(() => !b.tier.isCurrent())
    await a.tier.put(recordOf(revocation, 'meanwhile', 'gone'), 'one', budget)
    for (let n = 0; n < 200; n += 1) {
      await a.tier.put(recordOf(revocation, `one of many ${n}`, 'gone'), 'one', budget)
    }
    for (const log of (await server.say('KEYS', '*:log')) as string[])
      await server.say('XTRIM', log, 'MAXLEN', '2')
    relay.mend()
    // It may be current as of a moment before they were written.
    await until(() => knows(b, 'meanwhile') && knows(b, 'one of many 7'))
    await until(() => b.tier.isCurrent())
    t.equal(b.losses(), before, 'nothing was lost')
  },
)

t.test(
  'a Redis that says nothing costs a lookup its budget, and is found again',
  {
    skip,
  },
  async t => {
    const server = await RedisServer.start(t)
    const relay = await silentRelay(t, server.port)
    const { tier } = tierHost(t, {
      url: `redis://127.0.0.1:${relay.port}`,
      commandTimeout: 400,
    })
    await tier.watch()
    const made = recordOf(session, 'id', 'a session')
    await tier.put(made, 'one', budget)
    relay.cut()
    const began = performance.now()
    const asked = Array.from({ length: 50 }, () =>
      tier.get(session, made.key, 50).catch(({ name }) => name),
    )
    t.strictSame(new Set(await Promise.all(asked)), new Set(['RedisUnreachable']))
    t.ok(performance.now() - began < 10_000)
    await until(() => !tier.isCurrent())
    relay.mend()
    await until(async () => (await tier.get(session, made.key, budget)) !== undefined)
    await until(() => tier.isCurrent())
  },
)

t.test(
  'a host that starts while Redis is away serves, and joins later',
  { skip },
  async t => {
    const server = await RedisServer.start(t)
    const keeper = tierHost(t, server.url)
    await keeper.tier.watch()
    const record = recordOf(revocation, 'ann', 'gone')
    keeper.replica.apply(record)
    await keeper.tier.put(record, 'one', budget)
    await server.stop()
    const late = tierHost(t, { url: server.url, connectTimeout: 200 })
    await late.tier.watch()
    t.equal(late.tier.isCurrent(), false)
    await server.start()
    await until(() => late.tier.isCurrent() && knows(late, 'ann'))
  },
)

t.test(
  'a replica that takes over is followed, and told what it lacks',
  { skip },
  async t => {
    const { master, replica, url } = await redisSentinel(t)
    const [a, b] = [
      tierHost(t, { url, commandTimeout: 500, replicas: 1 }),
      tierHost(t, { url, commandTimeout: 500, replicas: 1 }),
    ]
    await Promise.all([a.tier.watch(), b.tier.watch()])
    const write = async (name: string): Promise<boolean> => {
      const record = recordOf(revocation, name, 'gone')
      a.replica.apply(record)
      return await a.tier.put(record, 'repositories', budget)
    }
    t.equal(await write('acknowledged'), true)
    // What the master alone has is what its successor will lack.
    replica.signal('SIGSTOP')
    t.equal(await write('not acknowledged'), false)
    await until(() => knows(b, 'not acknowledged'))
    await master.stop()
    replica.signal('SIGCONT')
    await until(() => isKept(t, url, ['acknowledged', 'not acknowledged']))
    await until(() => a.tier.isCurrent() && b.tier.isCurrent())
  },
)

t.test(
  'a part whose slot moves to another master is followed there',
  { skip },
  async t => {
    const servers = await redisCluster(t)
    const url = servers[0]?.url ?? ''
    const [a, b] = [tierHost(t, url), tierHost(t, url)]
    await Promise.all([a.tier.watch(), b.tier.watch()])
    await a.tier.put(recordOf(revocation, 'ann', 'before'), 'one', budget)
    await until(() => knows(b, 'ann'))
    const logs = await Promise.all(servers.map(server => server.say('KEYS', '*:log')))
    const from = logs.findIndex(keys => (keys as string[]).length > 0)
    const [source, target] = [servers[from], servers[(from + 1) % 3]]
    if (source === undefined || target === undefined) throw new Error('no part anywhere')
    const [log = ''] = logs[from] as string[]
    const slot = String(slotOf(log))
    const [sourceId, targetId] = await Promise.all(
      [source, target].map(async server => String(await server.say('CLUSTER', 'MYID'))),
    )
    await target.say('CLUSTER', 'SETSLOT', slot, 'IMPORTING', sourceId ?? '')
    await source.say('CLUSTER', 'SETSLOT', slot, 'MIGRATING', targetId ?? '')
    for (const key of (await source.say(
      'CLUSTER',
      'GETKEYSINSLOT',
      slot,
      '9',
    )) as string[]) {
      await source.say('MIGRATE', '127.0.0.1', String(target.port), key, '0', '5000')
    }
    for (const server of [target, source]) {
      await server.say('CLUSTER', 'SETSLOT', slot, 'NODE', targetId ?? '')
    }
    const next = recordOf(revocation, 'ann', 'after')
    t.equal(await a.tier.put(next, 'repositories', budget), true)
    await until(
      () => b.replica.read(revocation, next.key)?.value.equals(next.value) === true,
    )
    await until(() => a.tier.isCurrent() && b.tier.isCurrent())
  },
)

t.test('a user who may not is told so at the start', { skip }, async t => {
  const acl = { user: 'farm', password: 'sesame', rules: '~handfast:* -@all +get +ping' }
  const server = await RedisServer.start(t, { acl })
  const { tier } = tierHost(t, `redis://farm:sesame@127.0.0.1:${server.port}`)
  await t.rejects(tier.watch(), { code: 'ERR_HANDFAST_JOIN', message: /NOPERM/ })
})

t.test(
  'whoever lacks one right is told at the start, and harms nobody',
  { skip },
  async t => {
    const server = await RedisServer.start(t)
    const whole = tierHost(t, server.url)
    await whole.tier.watch()
    const record = recordOf(revocation, 'ann', 'gone')
    await whole.tier.put(record, 'repositories', budget)
    const rights = redisRights.split(' ')
    const needed = rights.filter(
      right => right.startsWith('+') && !/^\+(?:wait|select|eval)$/.test(right),
    )
    t.equal(needed.length, 17)
    for (const lacking of needed) {
      const user = `no-${lacking.slice(1)}`
      const others = rights.filter(right => right !== lacking)
      await server.say('ACL', 'SETUSER', user, 'on', '>sesame', ...others)
      const url = `redis://${user}:sesame@127.0.0.1:${server.port}`
      const { tier } = tierHost(t, url)
      const told = { code: 'ERR_HANDFAST_JOIN', message: /NOPERM.*: see which commands/ }
      await t.rejects(tier.watch(), told, lacking)
      const late = recordOf(revocation, lacking, 'gone')
      await tier.put(late, 'local', budget).catch(() => {})
      await tier.close()
    }
    const late = tierHost(t, server.url)
    await late.tier.watch()
    t.ok(knows(late, 'ann'), 'what was there still is')
    t.same(await server.say('KEYS', '*trial*'), [], 'nothing is left of what was tried')
  },
)

t.test('the rights that the docs name are enough', { skip }, async t => {
  const acl = { user: 'farm', password: 'sesame', rules: redisRights }
  const server = await RedisServer.start(t, { acl })
  const url = `redis://farm:sesame@127.0.0.1:${server.port}`
  const [a, b] = [tierHost(t, url), tierHost(t, url)]
  await Promise.all([a.tier.watch(), b.tier.watch()])
  for (const table of [session, revocation]) {
    const record = recordOf(table, 'ann', 'x'.repeat(5_000))
    t.equal(await a.tier.put(record, 'repositories', budget), true)
    t.match(await b.tier.get(table, record.key, budget), { value: record.value })
  }
  await until(() => knows(b, 'ann'))
})

t.test(
  'where WAIT is not allowed a write is not called acknowledged',
  { skip },
  async t => {
    const acl = { user: 'farm', password: 'sesame', rules: '~handfast:* +@all -wait' }
    const server = await RedisServer.start(t, { acl })
    const url = `redis://farm:sesame@127.0.0.1:${server.port}`
    const { tier } = tierHost(t, { url, replicas: 1 })
    await tier.watch()
    const record = recordOf(revocation, 'ann', 'gone')
    await t.rejects(tier.put(record, 'repositories', budget), { code: 'NOPERM' })
    const byItself = tierHost(t, url)
    await byItself.tier.watch()
    t.equal(await byItself.tier.put(record, 'repositories', budget), true)
  },
)
