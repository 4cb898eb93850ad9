import { once } from 'node:events'
import type { Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { generateSecret } from '../../lib/farm/secret.ts'
import { createFarm } from '../../lib/member/create-farm.ts'
import type { Farm } from '../../lib/member/farm.ts'
import type { FarmOptions } from '../../lib/member/options.ts'
import { reached } from '../fixtures/farm/reached.ts'
import { visit } from '../fixtures/tls/client.ts'
import { tellingServer } from '../fixtures/tls/servers.ts'
import { until } from '../fixtures/until.ts'

/** Seven hosts: each session is on two of them and where it was made. */

const secret = generateSecret()
const hosts: { farm: Farm; server: Server; port: number }[] = []

async function add(options: FarmOptions = {}): Promise<void> {
  const members = hosts.flatMap(({ farm }) => farm.address ?? []).slice(0, 2)
  const listen = { host: '127.0.0.1', port: 0 }
  const farm = await createFarm({
    secret,
    members,
    listen,
    lookupBudget: 5_000,
    mintBudget: 1_000,
    ...options,
  })
  const server = await tellingServer()
  farm.attach(server)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  hosts.push({ farm, server, port: (server.address() as AddressInfo).port })
}

async function remove(index: number): Promise<void> {
  const [host] = hosts.splice(index, 1)
  host?.server.closeAllConnections()
  host?.server.close()
  await host?.farm.close()
}

t.teardown(async () => {
  while (hosts.length > 0) await remove(0)
})

const tls12 = { maxVersion: 'TLSv1.2' } as const
const port = (index: number) => hosts[index % hosts.length]?.port ?? 0
const sum = (figure: string) =>
  hosts.reduce((total, { farm }) => total + (farm.stats().transport[figure] ?? 0), 0)

async function mint(count: number): Promise<Buffer[]> {
  const sessions: Buffer[] = []
  for (let i = 0; i < count; i++) {
    const [session] = (await visit({ port: port(i), ...tls12 })).sessions
    if (session !== undefined) sessions.push(session)
  }
  return sessions
}

/** Of the sessions, how many each resume on every host. */
async function resumed(sessions: readonly Buffer[]): Promise<number> {
  let count = 0
  for (const session of sessions) {
    const visits = await Promise.all(
      hosts.map(host => visit({ port: host.port, session, ...tls12 })),
    )
    if (visits.every(({ reused }) => reused)) count += 1
  }
  return count
}

for (let i = 0; i < 7; i++) await add(i % 2 === 0 ? {} : { asks: 'parallel' })

t.test('a session made on any of seven hosts resumes on every other', async t => {
  await until(() => sum('partitioned') === 7)
  const sessions = await mint(14)
  t.equal(await resumed(sessions), 14)
  t.ok(sum('copiesGiven') >= 14)
  t.ok(sum('copiesGiven') <= 14 * 3, 'and is not sent to all')
  t.ok(sum('fetchHits') > 0, 'others asked for it')
  t.equal(sum('copiesRefused') + sum('copiesDropped'), 0)
})

t.test(
  'nothing is lost when a host leaves, another comes, and so on to four',
  async t => {
    const sessions = await mint(7)
    await remove(3)
    t.equal(await resumed(sessions), 7, 'at once')
    await add()
    t.equal(await resumed(sessions), 7, 'one that has just come finds them')
    // Each departure is to be seen to before the next: two owners bear one loss.
    for (let left = 6; left >= 4; left -= 1) {
      const walks = sum('recordsMoved')
      await remove(0)
      await until(() => hosts.every(({ farm }) => others(farm) === left - 1))
      if (left > 4) await until(() => sum('recordsMoved') > walks || left === 4)
      t.equal(await resumed(sessions), 7, `${left} hosts`)
    }
    await until(() => sum('partitioned') === 0)
    t.equal(await resumed(sessions), 7, 'replicated again')
  },
)

t.test(
  'a revocation reaches the hosts that hold a session and those that do not',
  async t => {
    while (hosts.length < 6) await add()
    await until(() => sum('partitioned') === 6)
    const [session] = await mint(1)
    t.equal(await resumed(session === undefined ? [] : [session]), 1)
    const revoke = () => hosts[2]?.farm.revoke({ all: true }) ?? Promise.reject()
    const { everywhere } = await reached(revoke)
    t.equal(everywhere, true)
    for (const host of hosts)
      t.equal((await visit({ port: host.port, session, ...tls12 })).reused, false)
  },
)

function others(farm: Farm): number {
  return farm.members().filter(({ self, state }) => !self && state === 'ready').length
}
