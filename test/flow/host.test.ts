import { existsSync } from 'node:fs'
import t from 'tap'
import { generateSecret } from '../../lib/farm/secret.ts'
import { reached } from '../fixtures/farm/reached.ts'
import { ClusterHost } from '../fixtures/hosts/cluster-host.ts'
import { seededRandom, testSeed } from '../fixtures/random.ts'
import { visit } from '../fixtures/tls/client.ts'
import { until } from '../fixtures/until.ts'

const seed = testSeed()

t.test('sessions of a node:cluster resume on each worker, with no option', async t => {
  t.comment(`SEED=${seed}`)
  const random = seededRandom(seed)
  const host = await ClusterHost.start(t, 4)
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    let session: Buffer | undefined
    for (let i = 0; i < 40; i += 1) {
      const { port } = host.port(Math.floor(random() * 4))
      const seen = await visit({ port, maxVersion, session })
      if (i > 0) t.equal(seen.reused, true, `${maxVersion}, visit ${i}`)
      session = seen.sessions.at(-1) ?? session
    }
  }
  const all = await Promise.all(host.workers.map(({ worker }) => host.stats(worker)))
  t.equal(all.filter(({ transport }) => transport['isHub'] === 1).length, 1)
  t.ok(all.every(({ transport }) => transport['processes'] === 4))
  if (existsSync('/dev/shm')) t.ok(all.every(({ transport }) => transport['shelf'] === 1))
})

t.test('a worker that is killed takes no session with it', async t => {
  const host = await ClusterHost.start(t, 3)
  const hub = await host.hub()
  const victim = (hub + 1) % 3
  const sessions = await mint(host, victim, 10)
  host.kill(victim)
  for (const session of sessions) t.ok(await resumes(host, hub, session))
  await host.start(victim)
  for (const session of sessions) t.ok(await resumes(host, victim, session))
})

t.test('a hub that is killed is followed by another, and nothing is lost', async t => {
  const host = await ClusterHost.start(t, 3)
  const hub = await host.hub()
  const others = [0, 1, 2].filter(worker => worker !== hub)
  const [first = 0, second = 0] = others
  const sessions = [...(await mint(host, hub, 5)), ...(await mint(host, first, 5))]
  host.kill(hub)
  // At once: there is no hub just now.
  for (const session of sessions) t.ok(await resumes(host, second, session))
  const [later] = await mint(host, first, 1)
  t.ok(await resumes(host, second, later))
  t.ok(others.includes(await host.hub(others)))
  await host.start(hub)
  t.ok(await resumes(host, hub, later), 'on a worker that came after')
  const { everywhere, missing } = await reached(() => host.revoke(first))
  t.same([everywhere, missing], [true, []])
  for (const worker of [0, 1, 2]) t.notOk(await resumes(host, worker, later))
})

t.test('what is revoked on one host is revoked on every worker of the other', async t => {
  const secret = generateSecret()
  const listen = { host: '127.0.0.1', port: 0 }
  const one = await ClusterHost.start(t, 2, { secret, listen, lookupBudget: 2000 })
  const { address = '' } = one.port(0)
  const members = [address]
  const two = await ClusterHost.start(t, 3, {
    secret,
    listen,
    members,
    lookupBudget: 2000,
  })
  const all = [
    ...one.workers.map(({ worker }) => [one, worker] as const),
    ...two.workers.map(({ worker }) => [two, worker] as const),
  ]
  const seen = await one.tell<object[]>(0, 'members')
  t.equal(seen.length, 2, 'a host is one member')
  const [session] = await mint(one, 1, 1)
  for (const [host, worker] of all) t.ok(await resumes(host, worker, session))
  const there = ((await two.hub()) + 1) % 3
  two.kill(there, 'SIGSTOP')
  const partly = await one.revoke(0)
  t.equal(
    partly.everywhere,
    false,
    'not while a worker of the other host has not heard it',
  )
  two.kill(there, 'SIGCONT')
  for (const [host, worker] of all) {
    await until(async () => (await host.tell<number>(worker, 'revocations')) > 0)
    t.notOk(await resumes(host, worker, session))
  }
  const again = await reached(() => one.revoke(1))
  t.same([again.everywhere, again.missing], [true, []])
})

/** Sessions of TLS 1.2, each from a connection of its own. */
async function mint(host: ClusterHost, worker: number, count: number): Promise<Buffer[]> {
  const { port } = host.port(worker)
  const sessions: Buffer[] = []
  while (sessions.length < count) {
    const seen = await visit({ port, maxVersion: 'TLSv1.2' })
    sessions.push(...seen.sessions)
  }
  return sessions
}

async function resumes(
  host: ClusterHost,
  worker: number,
  session: Buffer | undefined,
): Promise<boolean> {
  const { port } = host.port(worker)
  return (await visit({ port, maxVersion: 'TLSv1.2', session })).reused
}
