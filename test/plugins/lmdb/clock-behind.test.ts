import { join } from 'node:path'
import t from 'tap'
import { generateSecret } from '../../../lib/farm/secret.ts'
import { lmdb } from '../../../plugins/lmdb/index.ts'
import { WrongClock } from '../../fixtures/farm/clock-farm.ts'
import { openFarm } from '../../fixtures/farm/insides.ts'
import { patientFarm } from '../../fixtures/patience.ts'
import { type VisitOptions, visit } from '../../fixtures/tls/client.ts'
import { listening, type Told, tellingServer } from '../../fixtures/tls/servers.ts'
import { until } from '../../fixtures/until.ts'

const minute = 60_000
const versions = ['TLSv1.2', 'TLSv1.3'] as const

t.test('a host that starts with its clock behind, and has a disk', async t => {
  const folder = join(t.testdir(), 'd')
  const secret = generateSecret()
  const start = async (off: number) => {
    const clock = new WrongClock(off)
    const tiers = [lmdb({ folder })]
    const farm = await openFarm({ ...patientFarm, secret, clock, tiers })
    t.teardown(() => farm.close())
    const server = await tellingServer()
    farm.attach(server)
    const port = await listening(t, server)
    const come = async (maxVersion: (typeof versions)[number], session?: Buffer) => {
      const visited = await visit({ port, maxVersion, session } as VisitOptions)
      const { body, sessions } = visited
      return { ...(JSON.parse(body) as Told), session: sessions[0] }
    }
    return { farm, clock, come }
  }

  // Sessions are older than the clock that will be behind, what revokes them is not.
  const before = await start(-25 * minute)
  await until(async () => {
    const { session } = await before.come('TLSv1.3')
    return (await before.come('TLSv1.3', session)).resumed === 'ticket'
  })
  const kept = [await before.come('TLSv1.2'), await before.come('TLSv1.3')]
  const revoked = [await before.come('TLSv1.2'), await before.come('TLSv1.3')]
  before.clock.off = 0
  for (const { lineage = '' } of revoked)
    await before.farm.revoke({ lineage: Buffer.from(lineage, 'hex') })
  await before.farm.close()

  const { farm, clock, come } = await start(-20 * minute)
  t.ok(Number(farm.stats().tiers['disk']?.['early']) > 0, 'it can not believe its disk')
  for (const all of [kept, revoked])
    for (const [at, version] of versions.entries())
      t.equal((await come(version, all[at]?.session)).resumed, false)

  clock.off = 0
  for (const [at, version] of versions.entries())
    t.match(await come(version, revoked[at]?.session), { resumed: false }, 'at once')
  await until(async () => farm.revocations().length === 2)
  for (const [at, version] of versions.entries()) {
    const { resumed, cause } = await come(version, revoked[at]?.session)
    t.same({ resumed, cause }, { resumed: false, cause: 'revoked' })
    t.ok((await come(version, kept[at]?.session)).resumed, 'what was not goes on')
  }
})
