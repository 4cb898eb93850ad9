import { once } from 'node:events'
import { createServer, request } from 'node:https'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { generateSecret } from '../../../lib/farm/secret.ts'
import { createFarm } from '../../../lib/member/create-farm.ts'
import type { Farm } from '../../../lib/member/farm.ts'
import type { FarmOptions } from '../../../lib/member/options.ts'
import { type RedisOptions, redis } from '../../../plugins/redis/index.ts'
import { patientFarm, patientLogins } from '../../fixtures/patience.ts'
import {
  noRedis,
  RedisServer,
  redisCluster,
  redisSentinel,
} from '../../fixtures/redis/server.ts'
import { silentRelay } from '../../fixtures/redis/silent-relay.ts'
import { type Visit, visit } from '../../fixtures/tls/client.ts'
import {
  certificateFor,
  type TeardownScope,
  tellingServer,
} from '../../fixtures/tls/servers.ts'
import { until } from '../../fixtures/until.ts'

const skip = noRedis
const versions = ['TLSv1.2', 'TLSv1.3'] as const
/** For what must not fail because the machine has other work. */
const patient = { connectTimeout: 30_000, commandTimeout: 30_000 }
const hasty = { connectTimeout: 1_000, commandTimeout: 500 }

interface Member {
  readonly farm: Farm
  readonly port: number
}

/** A host with no port but that for its clients. */
async function memberOf(
  t: TeardownScope,
  url: string,
  options: FarmOptions,
  times: Pick<RedisOptions, 'connectTimeout' | 'commandTimeout'> = patient,
): Promise<Member> {
  const tier = redis({ url, ...times })
  const farm = await createFarm({ ...patientFarm, tiers: [tier], ...options })
  const server = await tellingServer(await certificateFor('localhost'))
  farm.attach(server)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(async () => {
    server.close()
    server.closeAllConnections()
    await farm.close()
  })
  return { farm, port: (server.address() as AddressInfo).port }
}

type Version = (typeof versions)[number]

function first({ port }: Member, maxVersion: Version): Promise<Visit> {
  return visit({ port, maxVersion })
}

function again({ port }: Member, before: Visit, maxVersion: Version): Promise<Visit> {
  return visit({ port, maxVersion, session: before.sessions[0] as Buffer })
}

/** Tickets are sealed once all hosts have the key. */
async function resumes(a: Member, b: Member, version: Version): Promise<void> {
  await until(async () => (await again(b, await first(a, version), version)).reused)
}

for (const [what, start] of [
  ['a Redis', async (t: TeardownScope) => (await RedisServer.start(t)).url],
  ['a cluster', async (t: TeardownScope) => (await redisCluster(t))[0]?.url ?? ''],
  ['a master of Sentinels', async (t: TeardownScope) => (await redisSentinel(t)).url],
] as const) {
  t.test(`${what} alone is all that hosts share`, { skip }, async t => {
    const url = await start(t)
    const secret = generateSecret()
    const [a, b] = await Promise.all([
      memberOf(t, url, { secret }),
      memberOf(t, url, { secret }),
    ])
    t.equal(a.farm.address, undefined)
    for (const version of versions) {
      await resumes(a, b, version)
      t.pass(`${version} resumes on the other host`)
    }
    const ofAnn = await first(a, 'TLSv1.2')
    const lineage = JSON.parse((await again(b, ofAnn, 'TLSv1.2')).body).lineage as string
    const told = await a.farm.revoke({ lineage: Buffer.from(lineage, 'hex') })
    t.match(told, { everywhere: false, missing: [] }, 'Redis can not know')
    await until(async () => !(await again(b, ofAnn, 'TLSv1.2')).reused)
    t.equal((await again(a, ofAnn, 'TLSv1.2')).reused, false)

    const empty = await memberOf(t, url, { secret })
    for (const version of versions) {
      const made = await first(a, version)
      t.equal((await again(empty, made, version)).reused, true, 'with an empty memory')
    }
    t.equal(
      (await again(empty, ofAnn, 'TLSv1.2')).reused,
      false,
      'revoked before it came',
    )
  })
}

t.test('who has logged in on one host is known on another', { skip }, async t => {
  const { url } = await RedisServer.start(t)
  const secret = generateSecret()
  let proofs = 0
  const verify = async (user: string) => {
    proofs += 1
    return { subject: user }
  }
  const pair = await certificateFor('localhost')
  const ports: number[] = []
  for (let n = 0; n < 2; n += 1) {
    const tiers = [redis({ url, ...patient })]
    const farm = await createFarm({ ...patientFarm, secret, tiers })
    const auth = farm.auth({ ...patientLogins, basic: verify })
    const server = createServer(pair, (request, response) => {
      auth(request, response, () => response.end('in'))
    })
    farm.attach(server)
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    t.teardown(async () => {
      server.closeAllConnections()
      server.close()
      await farm.close()
    })
    ports.push((server.address() as AddressInfo).port)
  }
  const authorization = `Basic ${Buffer.from('ann:open sesame').toString('base64')}`
  const ask = async (port: number, session?: Buffer) => {
    const asking = request({
      ...{ host: '127.0.0.1', port, agent: false, rejectUnauthorized: false, session },
      headers: { authorization },
      maxVersion: 'TLSv1.2',
    })
    asking.end()
    const [response] = await once(asking, 'response')
    const made: Buffer = response.socket.getSession()
    response.resume()
    return { status: response.statusCode, made }
  }
  const { status, made } = await ask(ports[0] as number)
  t.equal(status, 200)
  t.equal((await ask(ports[1] as number, made)).status, 200)
  t.equal(proofs, 1)
})

t.test('two farms with one Redis do not mix', { skip }, async t => {
  const { url } = await RedisServer.start(t)
  const secret = generateSecret()
  const a = await memberOf(t, url, { secret, name: 'shop' })
  const b = await memberOf(t, url, { secret, name: 'bank' })
  const c = await memberOf(t, url, { secret: generateSecret(), name: 'shop' })
  for (const version of versions) {
    await resumes(a, a, version)
    const made = await first(a, version)
    t.equal((await again(b, made, version)).reused, false)
    t.equal((await again(c, made, version)).reused, false)
  }
})

t.test(
  'no handshake fails, nor waits beyond its budget, while Redis dies, comes back and falls silent',
  {
    skip,
  },
  async t => {
    const server = await RedisServer.start(t)
    const relay = await silentRelay(t, server.port)
    const url = `redis://127.0.0.1:${relay.port}`
    const options = { secret: generateSecret(), lookupBudget: 100 }
    const [a, b] = await Promise.all([
      memberOf(t, url, options, hasty),
      memberOf(t, url, options, hasty),
    ])
    const c = await memberOf(t, server.url, options, hasty)
    let stop = false
    let visits = 0
    let longest = 0
    const load = Array.from({ length: 3 }, async (_, at) => {
      for (let n = at; !stop; n += 1) {
        const version = versions[n % 2] as Version
        const made = await first(a, version)
        const began = performance.now()
        await again(b, made, version)
        longest = Math.max(longest, performance.now() - began)
        visits += 2
        await sleep(5)
      }
    })
    const more = async () => {
      const before = visits
      await until(() => visits > before + 20)
    }
    await more()
    await a.farm.revoke({ user: 'before' })
    await server.stop()
    await more()
    const lost = await first(a, 'TLSv1.2')
    await a.farm.revoke({ user: 'meanwhile' })
    await server.start()
    await more()
    relay.cut()
    await more()
    await c.farm.revoke({ user: 'during the cut' })
    relay.mend()
    await more()
    stop = true
    await Promise.all(load)
    t.ok(visits > 80)
    t.ok(longest < 10_000, `${longest} ms`)
    t.equal((await again(a, lost, 'TLSv1.2')).reused, true, 'at home it needs no Redis')
    // All that was revoked is known to all, and to who comes now.
    const late = await memberOf(t, server.url, options)
    for (const member of [a, b, c, late]) {
      await until(() => revoked(member) >= 3)
      t.pass('knows all')
    }
  },
)

function revoked({ farm }: Member): number {
  return farm.revocations().length
}
