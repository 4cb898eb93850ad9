import t from 'tap'
import { createAdmin } from '../../lib/admin/admin.ts'
import { adminToken } from '../../lib/admin/admin-token.ts'
import { main } from '../../lib/cli/main.ts'
import { generateSecret, parseSecret } from '../../lib/farm/secret.ts'
import { silentLog } from '../../lib/log.ts'
import { createFarm } from '../../lib/member/create-farm.ts'
import { tables } from '../../lib/record/key.ts'
import { fakeIo } from '../fixtures/cli/io.ts'
import { inTheEnd, reached } from '../fixtures/farm/reached.ts'
import { PartitionMember } from '../fixtures/flow/partition-farm.ts'
import { freePort } from '../fixtures/free-port.ts'
import { until } from '../fixtures/until.ts'

/*
 * Whom a revocation has reached: all members, all that can be reached, or not even those. The
 * same from the API, the admin port and the command.
 */

const listen = { host: '127.0.0.1', port: 0 }

for (const transport of ['stream', 'unicast'] as const) {
  t.test(
    `${transport}: a member that is cut off is named`,
    { timeout: 300_000 },
    async t => {
      const secret = generateSecret()
      const a = await createFarm({ secret, listen, transport })
      t.teardown(() => a.close())
      const token = adminToken(parseSecret(secret), a.name)
      const admin = await createAdmin({ farm: a, port: 0, token, log: silentLog })
      t.teardown(() => admin.close())
      const run = async (...args: string[]) => {
        const io = fakeIo(process.cwd(), { HANDFAST_SECRET: secret })
        const code = await main([...args, '--admin', String(admin.port)], io)
        return { code, out: io.stdout.text }
      }
      const revoke = () => run('revoke', '--user', 'ann')
      const revoked = (wanted: number) => inTheEnd(revoke, ({ code }) => code === wanted)
      const seeds = [a.address ?? '']
      const b = await PartitionMember.start(t, { secret, transport, members: seeds })
      const c = await PartitionMember.start(t, { secret, transport, members: seeds })
      const ready = () => a.members().filter(({ state }) => state === 'ready').length
      await until(() => ready() === 3)
      t.same(a.absent(), [])
      t.same(await revoked(0), { code: 0, out: 'revoked: all members have it\n' })
      t.match(await reached(() => a.cache.purge(tables.state)), {
        everywhere: true,
        missing: [],
      })

      b.stop()
      t.match(await revoke(), { code: 1, out: /^revoked here; not every member/ })
      await until(() => a.members().some(({ state }) => state === 'gone'))
      const [missing] = a.absent()
      t.equal(missing?.address, b.address)
      const told = await revoked(4)
      t.equal(told.code, 4)
      const line = `\n {2}${missing?.id} {2}${b.address} {2}away for \\d+ s\n$`
      t.match(
        told.out,
        new RegExp(`^revoked on all members that can be reached;.*${line}`),
      )
      const status = await run('status')
      t.match(status.out, new RegExp(`\nnot reached, may go on.*${line.slice(0, -1)}`))
      const outcome = {
        everywhere: false,
        reachable: true,
        missing: [{ id: missing?.id }],
      }
      for (const write of [
        () => a.revoke({ user: 'ann' }),
        () => a.cache.purge(tables.state),
      ])
        t.match(await inTheEnd(write, ({ reachable }) => reachable), outcome)

      b.goOn()
      await until(() => ready() === 3 && a.absent().length === 0)
      t.match(await revoked(0), { code: 0 })

      // One that takes its leave serves nobody, and is not missed.
      await c.leave()
      await until(() => ready() === 2)
      t.match(await revoked(0), { code: 0 })
    },
  )
}

t.test('a member that was never met is missed too', async t => {
  const secret = generateSecret()
  const nobody = `127.0.0.1:${await freePort()}`
  const farm = await createFarm({ secret, listen, members: [nobody, 'none.invalid:1'] })
  t.teardown(() => farm.close())
  t.match(await farm.revoke({ user: 'ann' }), {
    everywhere: false,
    reachable: true,
    missing: [
      { id: undefined, address: nobody, away: Number },
      { id: undefined, address: 'none.invalid', away: Number },
    ],
  })
  t.match(await farm.cache.purge(tables.state), { everywhere: false, reachable: true })
})

t.test('the own address, or a second one of a member, misses nobody', async t => {
  const secret = generateSecret()
  const port = await freePort()
  const own = `127.0.0.1:${port}`
  const a = await createFarm({
    secret,
    listen: { host: '0.0.0.0', port },
    members: [own, `127.0.0.2:${port}`],
  })
  const b = await createFarm({ secret, listen, members: [own, `127.0.0.2:${port}`] })
  t.teardown(() => Promise.all([a.close(), b.close()]))
  for (const farm of [a, b]) {
    await until(() => farm.absent().length === 0)
    const reach = await reached(() => farm.revoke({ user: 'ann' }))
    t.match(reach, { everywhere: true, missing: [] })
  }
})

t.test('one that comes back under another name takes its own place', async t => {
  const secret = generateSecret()
  const port = await freePort()
  const a = await createFarm({ secret, listen })
  t.teardown(() => a.close())
  const farm = { secret, listen: { host: '127.0.0.1', port }, members: [a.address ?? ''] }
  const before = await PartitionMember.start(t, farm)
  await until(() => a.members().length === 2 && a.absent().length === 0)
  await before.kill()
  await until(() => a.absent().length === 1)
  await PartitionMember.start(t, farm)
  await until(() => a.absent().length === 0)
  const reach = await reached(() => a.revoke({ user: 'ann' }))
  t.match(reach, { everywhere: true, missing: [] })
})
