import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { reached } from '../../fixtures/farm/reached.ts'
import { ProcessFarm } from '../../fixtures/flow/process-farm.ts'
import { type Visit, visit } from '../../fixtures/tls/client.ts'
import type { Told } from '../../fixtures/tls/servers.ts'

const twelve = { maxVersion: 'TLSv1.2' } as const
const told = ({ body }: Visit): Told => JSON.parse(body)

/** All that was written is on the disk of each member. */
async function onDisk(t: Test, farm: ProcessFarm): Promise<void> {
  const end = Date.now() + 60_000
  for (const index of farm.members.keys()) {
    for (;;) {
      const { disk } = (await farm.stats(index)).tiers
      if (disk?.['waiting'] === 0 && (disk['records'] ?? 0) > 0) break
      if (Date.now() > end) return void t.fail('nothing comes onto the disk')
      await wait(20)
    }
  }
}

t.test('a farm of which every process was killed goes on where it was', async t => {
  const root = t.testdir()
  const disks = [join(root, 'a'), join(root, 'b')]
  const farm = new ProcessFarm(t)
  const start = async () => {
    for (const disk of disks) await farm.add(undefined, disk)
  }
  const ports = () => farm.members.map(({ port }) => port)
  await start()
  const [a = 0, b = 0] = ports()
  const session = await visit({ port: a, ...twelve })
  const sealed = await visit({ port: b })
  const revoked = await visit({ port: a, ...twelve })
  const revokedSealed = await visit({ port: b })
  for (const visited of [revoked, revokedSealed]) {
    const revoke = () => farm.revoke(0, told(visited).lineage ?? '')
    t.match(await reached(revoke), { everywhere: true })
  }
  await onDisk(t, farm)
  await farm.killAll('SIGKILL')
  await start()
  for (const port of ports()) {
    const again = await visit({ port, session: session.sessions[0], ...twelve } as never)
    t.match(told(again), { lineage: told(session).lineage }, again.body)
    t.equal(again.reused, true)
    const ticket = sealed.sessions.shift()
    const sealedAgain = await visit({ port, session: ticket } as never)
    t.equal(sealedAgain.reused, true, sealedAgain.body)
    for (const ended of [revoked, revokedSealed]) {
      const [offered] = ended.sessions
      const full = await visit({
        port,
        session: offered,
        ...(ended === revoked && twelve),
      } as never)
      t.equal(full.reused, false)
      t.match(told(full), { resumed: false, cause: 'revoked' })
    }
  }
})
