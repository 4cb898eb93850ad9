import { parseArgs } from 'node:util'
import { RedisStore } from 'connect-redis'
import session from 'express-session'
import { createClient } from 'redis'
import { generateSecret } from '../../lib/farm/secret.ts'
import { createFarm } from '../../lib/member/create-farm.ts'
import { createState, type Database, memoryDatabase } from '../../lib/state/index.ts'
import { noRedis, RedisServer } from '../../test/fixtures/redis/server.ts'

/**
 * What a read of a session costs this process: of processor time over many, one after the other, and
 * of time for a single one. Values are sessions of some 400 bytes, 1000 of them.
 */
const { values } = parseArgs({ options: { rounds: { type: 'string', default: '9' } } })
const rounds = Number(values.rounds)
const sessions = 1_000

const teardowns: (() => unknown)[] = []
const secret = generateSecret()
const farm = await createFarm({ secret })
const state = await createState({ farm, database: elsewhere(), sealed: true })
const store = state.sessionStore(session) as unknown as Store
const table = state.table('sessions')
for (let number = 0; number < sessions; number += 1) {
  await store.set(`session ${number}`, aSession(number))
}

interface Store {
  get(sid: string): Promise<unknown>
  set(sid: string, session: object): Promise<unknown>
}

const own = (sid: string) => table.get(sid)
await p50Of(own, 20_000)
const p50 = await p50Of(own, 200_000)
// Each caller has a value of his own: below this nobody comes, nor does connect-redis.
const text = JSON.stringify(aSession(0))
const parse = await p50Of(async () => JSON.parse(text), 20_000)
console.log(
  `get from the data cache of a farm: p50 ${p50.toFixed(2)} us, ` +
    `of which JSON.parse alone ${parse.toFixed(2)} us`,
)
say('p50 of a get from the data cache, us', p50, 5)

if (noRedis === false) await besideRedis()
else console.log(`connect-redis was not measured: ${noRedis}`)
await state.close()
await farm.close()
for (const teardown of teardowns.reverse()) await teardown()

async function besideRedis(): Promise<void> {
  const scope = { teardown: (fn: () => unknown) => void teardowns.push(fn) }
  const server = await RedisServer.start(scope)
  const client = createClient({ url: server.url })
  await client.connect()
  teardowns.push(() => client.destroy())
  const redis = new RedisStore({ client }) as unknown as Store
  for (let number = 0; number < sessions; number += 1) {
    await redis.set(`session ${number}`, aSession(number))
  }
  const theirs = (sid: string) => redis.get(sid)
  const ratios: number[] = []
  for (let round = 0; round <= rounds; round += 1) {
    const [ours, others] = [await p50Of(own, 20_000), await p50Of(theirs, 3_000)]
    // The first warms up.
    if (round > 0) ratios.push(ours / others)
    const cpu = [await cpuOf(store, 20_000), await cpuOf(redis, 3_000)]
    const [our, other] = cpu.map(us => us.toFixed(1))
    console.log(
      `p50 ${ours.toFixed(1)} us, connect-redis ${others.toFixed(1)} us; ` +
        `CPU of a session read ${our} us, connect-redis ${other} us`,
    )
  }
  ratios.sort((one, other) => one - other)
  const ratio = ratios[ratios.length >> 1] ?? 0
  say('p50 of a get, of that of connect-redis over loopback', ratio, 0.05)
}

async function p50Of(
  read: (sid: string) => Promise<unknown>,
  reads: number,
): Promise<number> {
  const times = new Float64Array(reads)
  for (let number = 0; number < reads; number += 1) {
    const sid = `session ${number % sessions}`
    const start = performance.now()
    await read(sid)
    times[number] = (performance.now() - start) * 1_000
  }
  return times.sort()[reads >> 1] ?? 0
}

/** Microseconds of this process for each read. */
async function cpuOf(of: Store, reads: number): Promise<number> {
  const before = process.cpuUsage()
  for (let read = 0; read < reads; read += 1) await of.get(`session ${read % sessions}`)
  const { user, system } = process.cpuUsage(before)
  return (user + system) / reads
}

function aSession(number: number): object {
  return {
    cookie: { originalMaxAge: 3_600_000, expires: new Date(Date.now() + 3_600_000) },
    user: { id: number, name: `user ${number}`, roles: ['customer', 'reviewer'] },
    items: Array.from({ length: 5 }, (_, item) => ({ id: item, count: 1, price: 9.95 })),
  }
}

/** A database in memory that says that others may write to it, so that the farm caches. */
function elsewhere(): Database {
  const place = memoryDatabase()
  return {
    name: 'elsewhere',
    reach: 'network',
    open: () => place.open(),
    get: (...args) => place.get(...args),
    compareAndSet: (...args) => place.compareAndSet(...args),
    delete: (...args) => place.delete(...args),
    expire: (...args) => place.expire(...args),
    scan: (...args) => place.scan(...args),
    close: () => place.close(),
  }
}

function say(text: string, value: number, limit: number): void {
  const word = value <= limit ? 'met' : 'missed'
  console.log(`goal: ${text}: ${value.toFixed(3)}, limit ${limit}: ${word}`)
}
