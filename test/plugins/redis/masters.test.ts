import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import t from 'tap'
import { systemClock } from '../../../lib/clock.ts'
import { silentLog } from '../../../lib/log.ts'
import { Masters } from '../../../plugins/redis/masters.ts'
import { redisSetup } from '../../../plugins/redis/options.ts'
import { script } from '../../../plugins/redis/script.ts'
import { slotOf } from '../../../plugins/redis/slot.ts'
import {
  noRedis,
  RedisServer,
  redisCluster,
  redisSentinel,
} from '../../fixtures/redis/server.ts'
import type { TeardownScope } from '../../fixtures/tls/servers.ts'
import { until } from '../../fixtures/until.ts'

const terms = { budget: 20_000, isPatient: true }
const set = script("return redis.call('SET', KEYS[1], ARGV[1])")

async function mastersOf(
  t: TeardownScope,
  url: string,
  more: object = {},
): Promise<Masters> {
  const patient = { connectTimeout: 30_000, commandTimeout: 30_000 }
  const setup = redisSetup({ url, ...patient, ...more })
  const masters = new Masters(setup, systemClock, silentLog)
  t.teardown(() => masters.close())
  await masters.open()
  return masters
}

t.test('the slot of a key is the one of the specification', async t => {
  t.equal(slotOf('123456789'), 0x31c3 % 16_384)
  t.equal(slotOf('{user1000}.following'), slotOf('{user1000}.followers'))
  t.equal(slotOf('foo{}{bar}'), slotOf('foo{}{bar}'))
  t.not(slotOf('foo{}{bar}'), slotOf('bar'))
  t.equal(slotOf('foo{{bar}}zap'), slotOf('{bar'))
})

t.test('a search that is under way ends with what it is for', async t => {
  const met: Socket[] = []
  const silent = createServer(socket => {
    met.push(socket)
    socket.on('error', () => {}).resume()
  })
  silent.listen(0, '127.0.0.1')
  await once(silent, 'listening')
  t.teardown(() => {
    for (const socket of met) socket.destroy()
    silent.close()
  })
  const { port } = silent.address() as AddressInfo
  const hosts = Array.from({ length: 5 }, () => `127.0.0.1:${port}`)
  const setup = redisSetup({ url: `redis://${hosts}`, connectTimeout: 60_000 })
  const masters = new Masters(setup, systemClock, silentLog)
  void masters.open()
  await until(() => met.length === 1)
  masters.close()
  await once(met[0] as Socket, 'close')
  await new Promise(resolve => setImmediate(resolve))
  t.equal(met.length, 1, 'the next address is not tried')
})

t.test('a server that comes back is found', { skip: noRedis }, async t => {
  const server = await RedisServer.start(t)
  const masters = await mastersOf(t, server.url)
  t.equal(await masters.call('a', ['SET', 'a', '1'], terms), 'OK')
  await server.stop()
  await until(() =>
    masters.call('a', ['GET', 'a'], { budget: 1_000 }).then(
      () => false,
      error => error.name === 'RedisUnreachable',
    ),
  )
  const patient = masters.call('a', ['SET', 'a', '2'], terms)
  await server.start()
  t.equal(await patient, 'OK')
})

t.test(
  'the master that Sentinels name is followed, and what a replica had acknowledged is there',
  {
    skip: noRedis,
  },
  async t => {
    const { master, replica, url } = await redisSentinel(t)
    const masters = await mastersOf(t, url, { commandTimeout: 500 })
    const acknowledged: string[] = []
    let stop = false
    t.teardown(() => {
      stop = true
    })
    const writers = Array.from({ length: 4 }, async (_, writer) => {
      for (let n = 0; !stop; n += 1) {
        const key = `k${writer}.${n}`
        try {
          const { isAcknowledged } = await masters.write(set, [key], ['v'], {
            budget: 2_000,
          })
          if (isAcknowledged) acknowledged.push(key)
        } catch {
          await new Promise(resolve => setTimeout(resolve, 20))
        }
      }
    })
    await until(() => acknowledged.length > 200)
    await master.stop()
    await until(async () => String(await replica.say('ROLE')).startsWith('master'))
    await until(async () => (await masters.call('x', ['SET', 'x', '1'], terms)) === 'OK')
    stop = true
    await Promise.all(writers)
    const there = (await replica.say('MGET', ...acknowledged)) as unknown[]
    t.equal(there.filter(value => value === 'v').length, acknowledged.length)
    const after = await masters.write(set, ['y'], ['v'], { budget: 5_000 })
    t.equal(after.isAcknowledged, false, 'nobody is there to acknowledge')
  },
)

t.test(
  'a slot of a cluster moves under load, and no call fails',
  {
    skip: noRedis,
  },
  async t => {
    const [first, second, third] = (await redisCluster(t)) as [
      RedisServer,
      RedisServer,
      RedisServer,
    ]
    const masters = await mastersOf(t, `redis://127.0.0.1:${first.port}`)
    t.equal(masters.isCluster, true)
    const keys = Array.from({ length: 60 }, (_, n) => `{moving}${n}`)
    for (const key of keys) await masters.run(set, [key], ['0'], terms)
    const slot = String(slotOf('{moving}'))
    const servers = [first, second, third]
    const ids = await Promise.all(servers.map(server => server.say('CLUSTER', 'MYID')))
    const owner = servers.findIndex(
      (_, at) => Math.floor((Number(slot) * 3) / 16_384) === at,
    )
    const [from, to] = [owner, (owner + 1) % 3]
    let stop = false
    t.teardown(() => {
      stop = true
    })
    let calls = 0
    const load = (async () => {
      for (let n = 1; !stop; n += 1) {
        const key = keys[n % keys.length] as string
        await masters.run(set, [key], [String(n)], terms)
        t.same(await masters.call(key, ['GET', key], terms), Buffer.from(String(n)))
        await masters.write(set, [key], [String(n)], terms)
        calls += 1
      }
    })()
    const at = (server: number) => servers[server] as RedisServer
    await at(to).say('CLUSTER', 'SETSLOT', slot, 'IMPORTING', String(ids[from]))
    await at(from).say('CLUSTER', 'SETSLOT', slot, 'MIGRATING', String(ids[to]))
    const began = calls
    for (const key of keys) {
      await at(from).say('MIGRATE', '127.0.0.1', String(at(to).port), key, '0', '5000')
      await new Promise(resolve => setTimeout(resolve, 2))
    }
    await until(() => calls > began + 20)
    for (const server of [to, from, 3 - from - to]) {
      await at(server).say('CLUSTER', 'SETSLOT', slot, 'NODE', String(ids[to]))
    }
    const moved = calls
    await until(() => calls > moved + 50)
    stop = true
    await load
    t.equal(await at(to).say('CLUSTER', 'COUNTKEYSINSLOT', slot), keys.length)
  },
)

t.test('a cluster has no second database', { skip: noRedis }, async t => {
  const [server] = await redisCluster(t, 1)
  await t.rejects(mastersOf(t, `${server?.url}/1`), { code: 'ERR_HANDFAST_CONFIG' })
})
