import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { generateSecret } from '../../lib/farm/secret.ts'
import { ClusterHost } from '../fixtures/hosts/cluster-host.ts'
import { patientFarm } from '../fixtures/patience.ts'
import { visit } from '../fixtures/tls/client.ts'
import type { Told } from '../fixtures/tls/servers.ts'
import { until } from '../fixtures/until.ts'

const tls12 = { maxVersion: 'TLSv1.2' } as const

async function told(host: ClusterHost, worker: number, session?: Buffer) {
  const { port } = host.port(worker)
  const { body, sessions } = await visit({ port, session, ...tls12 })
  return { ...(JSON.parse(body) as Told), session: sessions.at(-1) ?? session }
}

t.test('workers of two hosts share through a tier that each host has once', async t => {
  const store = mkdtempSync(join(tmpdir(), 'handfast-tier-'))
  t.teardown(() => rmSync(store, { recursive: true }))
  const farm = { ...patientFarm, secret: generateSecret() }
  const [a, b] = await Promise.all([
    ClusterHost.start(t, 2, farm, { store }),
    ClusterHost.start(t, 2, farm, { store }),
  ])
  for (const from of [0, 1]) {
    const minted = await told(a, from)
    t.equal(minted.resumed, false)
    for (const at of [0, 1]) {
      const again = await told(b, at, minted.session)
      t.ok(again.resumed, `worker ${at} of the other host resumes`)
      t.equal(again.lineage, minted.lineage)
    }
  }
  const figures = await Promise.all([0, 1].map(async w => (await a.stats(w)).tiers))
  t.equal(figures.filter(tiers => 'folder' in tiers).length, 1, 'the hub alone has it')

  const minted = await told(a, 0)
  const hub = await a.hub()
  a.kill(hub)
  const other = 1 - hub
  await a.hub([other])
  await until(async () => 'folder' in (await a.stats(other)).tiers)
  t.ok((await told(b, 0, minted.session)).resumed)
  const after = await told(a, other)
  t.ok((await told(b, 1, after.session)).resumed, 'the next hub has the tier')

  await a.revoke(other, after.lineage)
  for (const worker of [0, 1]) {
    // What is open when the host hears of it is closed, be there an answer or not.
    let cause: string | undefined
    while (cause === undefined)
      cause = await told(b, worker, after.session).then(
        again => again.cause,
        () => undefined,
      )
    t.equal(cause, 'revoked')
  }
})
