import t, { type Test } from 'tap'
import { inTheEnd } from '../fixtures/farm/reached.ts'
import { type Come, comeTo, TopologyFarm } from '../fixtures/flow/topology-farm.ts'
import { statefulName } from '../fixtures/flow/topology-host.ts'
import { noRedis, RedisServer } from '../fixtures/redis/server.ts'
import { untilSealed } from '../fixtures/resumption/until-sealed.ts'
import { until } from '../fixtures/until.ts'

/*
 * What a farm is for, the same whatever its topology: sessions resume on every host, revocations
 * hold and log-ins are known everywhere, one that joins has all, and one that is lost takes nothing
 * with it.
 */

const kinds: { readonly [kind: string]: Come } = {
  'TLS 1.2 by ID': { maxVersion: 'TLSv1.2' },
  'TLS 1.3 sealed': { minVersion: 'TLSv1.3' },
  'TLS 1.3 stateful': { minVersion: 'TLSv1.3', servername: statefulName },
}

const shapes = {
  replicated: { hosts: 3, topology: 'replicated' },
  partitioned: { hosts: 4, topology: 'partitioned' },
  tiered: { hosts: 3, repositories: 2 },
  'tiered, all on each host too': { hosts: 3, repositories: 2, topology: 'replicated' },
} as const

for (const [name, shape] of Object.entries(shapes))
  t.test(name, async t => flow(t, await TopologyFarm.start(t, shape)))

t.test('Redis, and no links', { skip: noRedis }, async t => {
  const { url } = await RedisServer.start(t)
  await flow(t, await TopologyFarm.start(t, { hosts: 3, redis: url }))
})

async function flow(t: Test, farm: TopologyFarm): Promise<void> {
  // Until all have the keys of tickets, sessions of TLS 1.3 are stateful.
  for (const host of farm.hosts.keys())
    await untilSealed(() => farm.come(host, kinds['TLS 1.3 sealed']))

  for (const [at, [kind, options]] of Object.entries(kinds).entries())
    t.test(`${kind}: resumes on every host, one after the other`, async t => {
      let { sessions, told } = await farm.come(at, options)
      const { lineage } = told
      for (const host of farm.hosts.keys()) {
        const again = await farm.come(host, { ...options, session: sessions.at(-1) })
        t.match(again, { reused: true, told: { lineage } }, `on ${host}`)
        // TLS 1.2 keeps its session.
        if (again.sessions.length > 0) sessions = again.sessions
      }
    })

  t.test('a user who has logged in is known on every host', async t => {
    const header = `authorization: Basic ${Buffer.from('ann:pw').toString('base64')}`
    const options = { ...kinds['TLS 1.2 by ID'], target: '/user', header }
    const before = farm.checks
    const { told, sessions } = await farm.come(0, options)
    t.equal(told.user, 'ann')
    for (const host of farm.hosts.keys()) {
      const again = await farm.come(host, { ...options, session: sessions[0] })
      t.match(again, { reused: true, told: { user: 'ann' } })
    }
    t.equal(farm.checks - before, 1, 'the password was looked at once')
  })

  t.test('what one host revokes resumes on none, and the rest does', async t => {
    for (const [kind, options] of Object.entries(kinds)) {
      const [revoked, spared] = [await farm.come(0, options), await farm.come(0, options)]
      const lineage = Buffer.from(revoked.told.lineage ?? '', 'hex')
      const revoke = () => farm.hosts[1]?.farm.revoke({ lineage }) ?? Promise.reject()
      // No server says what all hosts have applied.
      await inTheEnd(revoke, ({ everywhere }) => everywhere || !farm.isLinked)
      for (const host of farm.hosts.keys()) {
        const resumes = async () => {
          const session = revoked.sessions.at(-1)
          return (await farm.come(host, { ...options, session })).reused
        }
        if (farm.isLinked) t.equal(await resumes(), false, `${kind} on ${host}`)
        else await until(async () => !(await resumes()))
      }
      const again = await farm.come(2, { ...options, session: spared.sessions.at(-1) })
      t.equal(again.reused, true, `${kind}: another client`)
    }
  })

  t.test('one that joins with empty memory resumes all at once', async t => {
    const made: { kind: string; session: Buffer | undefined }[] = []
    for (const [kind, options] of Object.entries(kinds))
      for (const host of farm.hosts.keys())
        made.push({ kind, session: (await farm.come(host, options)).sessions.at(-1) })
    const joiner = await farm.add()
    for (const { kind, session } of made) {
      const again = await farm.come(joiner, { ...kinds[kind], session })
      t.equal(again.reused, true, kind)
    }
  })

  t.test('what a host made that was killed resumes on the others', async t => {
    const lost = await farm.addChild()
    await untilSealed(() => comeTo(lost.port, { ...kinds['TLS 1.3 sealed'] }))
    const made: { kind: string; session: Buffer | undefined }[] = []
    for (const [kind, options] of Object.entries(kinds))
      for (const _host of farm.hosts.keys())
        made.push({ kind, session: (await comeTo(lost.port, options)).sessions.at(-1) })
    await lost.kill()
    for (const [at, { kind, session }] of made.entries()) {
      const again = await farm.come(at % farm.hosts.length, { ...kinds[kind], session })
      t.equal(again.reused, true, `${kind} on ${at % farm.hosts.length}`)
    }
  })
}
