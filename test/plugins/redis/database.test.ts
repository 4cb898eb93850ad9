import { inspect } from 'node:util'
import t from 'tap'
import { generateSecret } from '../../../lib/farm/secret.ts'
import type { Database } from '../../../lib/state/database.ts'
import { createState } from '../../../lib/state/state.ts'
import {
  type RedisDatabaseOptions,
  redisDatabase,
} from '../../../plugins/redis/database.ts'
import { freePort } from '../../fixtures/free-port.ts'
import { MemoryLog } from '../../fixtures/proxy/servers.ts'
import { noRedis, RedisServer, redisCluster } from '../../fixtures/redis/server.ts'
import { Watched } from '../../fixtures/state/watched.ts'
import { until } from '../../fixtures/until.ts'
import { databaseContract } from '../../state/database-contract.ts'

const value = Buffer.from('a value')
const durable = [
  ['appendonly', 'yes'],
  ['appendfsync', 'always'],
]

t.test('application state in Redis', { skip: noRedis }, async t => {
  const server = await RedisServer.start(t, { config: durable })
  const { url } = server
  // The clients keep no process alive, and here nothing else does while Redis is gone.
  const alive = setInterval(() => {}, 1_000)
  t.teardown(() => clearInterval(alive))
  const make = (options: RedisDatabaseOptions = {}) =>
    redisDatabase({ url, connectTimeout: 30_000, commandTimeout: 30_000, ...options })
  /** For who waits in vain. */
  const soon = { connectTimeout: 10_000, commandTimeout: 3_000 }
  const opened = async (options: RedisDatabaseOptions = {}): Promise<Database> => {
    const database = make(options)
    t.teardown(() => database.close())
    await database.open()
    return database
  }

  await t.test('it keeps what databases promise', t =>
    databaseContract(t, { make, isShared: true }),
  )

  await t.test('what was deleted leaves a trace, and not for long', async t => {
    const database = await opened({ prefix: 'traces' })
    await database.compareAndSet('carts', 'ann', undefined, value, undefined)
    await database.delete('carts', 'ann')
    const left = Number(await server.say('PTTL', 'traces:state:carts/ann'))
    t.ok(left > 0 && left <= 600_000)
    t.equal(await server.say('STRLEN', 'traces:state:carts/ann'), 16)
  })

  await t.test('versions grow when the clock of Redis goes back', async t => {
    const database = await opened({ prefix: 'clocks' })
    const first = await database.compareAndSet(
      'carts',
      'ann',
      undefined,
      value,
      undefined,
    )
    const later = Buffer.alloc(16)
    later.writeBigUInt64BE((first ?? 0n) + 3_600_000_000n)
    // As one whose clock was an hour ahead had written it.
    const raw = later.toString('latin1')
    await server.say(
      'EVAL',
      `redis.call('SETRANGE', KEYS[1], 0, ARGV[1])`,
      '1',
      'clocks:state:carts/ann',
      raw,
    )
    const version = (await database.get('carts', 'ann'))?.version
    t.ok(version !== undefined && version > (first ?? 0n))
    const next = await database.compareAndSet('carts', 'ann', version, value, undefined)
    t.equal(next, (version ?? 0n) + 1n)
  })

  await t.test('entries that a later release wrote are refused', async t => {
    await (await opened({ prefix: 'later' })).close()
    await server.say('HSET', 'later:state:meta', 'schema', '9')
    await t.rejects(make({ prefix: 'later' }).open(), { code: 'ERR_HANDFAST_SCHEMA' })
  })

  await t.test('a password that Redis refuses is a fault of the options', async t => {
    const wrong = make({ username: 'clerk', password: 'wrong-sesame' })
    const fault = await wrong.open().catch(error => error)
    t.match(fault, { code: 'ERR_HANDFAST_CONFIG', message: /WRONGPASS/ })
    t.notMatch(inspect(fault, { depth: 9 }), 'sesame')
    await wrong.close()
  })

  await t.test('one that comes up after the server is waited for', async t => {
    const port = await freePort()
    const config = [['appendonly', 'yes']]
    const log = new MemoryLog()
    const database = make({ url: `redis://127.0.0.1:${port}`, connectTimeout: 1_000 })
    const opening = createState({
      database,
      secret: generateSecret(),
      log,
      openBudget: 600_000,
      readBudget: 60_000,
      writeBudget: 60_000,
    })
    await until(() => log.lines.length > 0)
    await RedisServer.start(t, { config, port })
    const state = await opening
    await state.table('sessions').set('ann', 1)
    t.equal((await state.table('sessions').get('ann', { fresh: true }))?.value, 1)
    await state.close()
  })

  await t.test('a server that keeps nothing is refused', async t => {
    const forgetful = await RedisServer.start(t)
    await t.rejects(make({ url: forgetful.url }).open(), {
      code: 'ERR_HANDFAST_CONFIG',
      message: /appendonly is no/,
    })
    const forgotten = await opened({ url: forgetful.url, dangerAcceptLoss: true })
    // Later it would wait for a server that is gone.
    await forgotten.close()
    await forgetful.say('CONFIG', 'SET', 'appendonly', 'yes')
    await forgetful.say('CONFIG', 'SET', 'maxmemory', '100mb')
    await forgetful.say('CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lru')
    await t.rejects(make({ url: forgetful.url }).open(), { message: /allkeys-lru/ })
  })

  await t.test(
    'a write that not enough replicas have is unknown, and no memory is full',
    async t => {
      const database = await opened({ ...soon, replicas: 1, prefix: 'alone' })
      await t.rejects(
        database.compareAndSet('carts', 'ann', undefined, value, undefined),
        {
          code: 'ERR_HANDFAST_OUTCOME_UNKNOWN',
        },
      )
      await server.say('CONFIG', 'SET', 'maxmemory', '1mb')
      const single = await opened({ prefix: 'full' }).catch(error => error)
      t.match(single, { code: 'ERR_HANDFAST_DATABASE_FULL' })
      await server.say('CONFIG', 'SET', 'maxmemory', '0')
    },
  )

  await t.test('after kill -9 of Redis all that was acknowledged is there', async t => {
    const [database, other] = [await opened(soon), await opened(soon)]
    const watcher = new Watched()
    database.watch?.(watcher)
    await until(() => watcher.isHearing)
    const acknowledged = new Map<string, bigint>()
    const writers = Array.from({ length: 5 }, async (_, writer) => {
      for (let i = 0; ; i++) {
        const key = `w${writer}-${i}`
        try {
          const version = await database.compareAndSet(
            'kill',
            key,
            undefined,
            value,
            undefined,
          )
          acknowledged.set(key, version as bigint)
        } catch (error) {
          const { code } = error as { code: string }
          t.match(code, /^ERR_HANDFAST_(DATABASE|OUTCOME_UNKNOWN)$/)
          return
        }
      }
    })
    await until(() => acknowledged.size > 50)
    await server.stop()
    await Promise.all(writers)
    await t.rejects(database.get('kill', 'w0-0'), { code: 'ERR_HANDFAST_DATABASE' })
    await server.start()
    await until(() => watcher.deafened > 0 && watcher.isHearing)
    for (const [key, version] of acknowledged) {
      t.equal((await database.get('kill', key))?.version, version, key)
    }
    // Whoever could not tell something meanwhile tells that it may have been anything.
    const { deafened } = watcher
    const version = await other.compareAndSet('carts', 'eve', undefined, value, undefined)
    await until(
      () => watcher.floors.get('carts eve') === version || watcher.deafened > deafened,
    )
  })

  await t.test('a cluster keeps it, too', async t => {
    const nodes = await redisCluster(t)
    const options = { url: nodes[0]?.url ?? '', dangerAcceptLoss: true }
    await databaseContract(t, { make: () => make(options), isShared: true })
  })
})
