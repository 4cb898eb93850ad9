import type { Server } from 'node:https'
import t, { type Test } from 'tap'
import { generateSecret } from '../../lib/farm/secret.ts'
import { createFarm } from '../../lib/member/create-farm.ts'
import type { Farm } from '../../lib/member/farm.ts'
import type { FarmOptions } from '../../lib/member/options.ts'
import { tables } from '../../lib/record/key.ts'
import { FakeStore } from '../fixtures/cache/fake-tier.ts'
import { cacheOf, openFarm } from '../fixtures/farm/insides.ts'
import { patientFarm } from '../fixtures/patience.ts'
import { isSealed } from '../fixtures/resumption/until-sealed.ts'
import { type VisitOptions, visit } from '../fixtures/tls/client.ts'
import { listening, type Told, tellingServer } from '../fixtures/tls/servers.ts'
import { until } from '../fixtures/until.ts'

const tls12 = { maxVersion: 'TLSv1.2' } as const
const [state, key, value] = [tables.state, Buffer.from('key'), Buffer.from('value')]

interface Served {
  readonly farm: Farm
  readonly server: Server
  visit(options?: Partial<VisitOptions>): Promise<Told & { session: Buffer | undefined }>
  close(): Promise<void>
}

async function served(test: Test, options: FarmOptions): Promise<Served> {
  const farm = await openFarm({ ...patientFarm, ...options })
  const server = await tellingServer()
  farm.attach(server)
  const port = await listening(test, server)
  let closed: Promise<void> | undefined
  const close = () => {
    server.close()
    closed ??= farm.close()
    return closed
  }
  test.teardown(close)
  return {
    farm,
    server,
    close,
    async visit(options) {
      const { body, sessions } = await visit({ port, ...options })
      return { ...(JSON.parse(body) as Told), session: sessions.at(-1) }
    },
  }
}

/** A ticket that is sealed comes as soon as the hosts have agreed on a key. */
async function sealedVisit(host: Served): Promise<Buffer> {
  for (;;) {
    const { session } = await host.visit()
    if (session !== undefined && isSealed(session)) return session
    await new Promise(resolve => setTimeout(resolve, 100))
  }
}

t.test('tiers need a secret, and are what plugins make', async t => {
  const store = new FakeStore('server')
  const cases = [
    [{ tiers: [store.tier] }, /option secret is needed with tiers/],
    [{ secret: generateSecret(), tiers: ['redis'] }, /tiers must be a list of tiers/],
    [
      { secret: generateSecret(), tiers: [store.tier, store.tier] },
      /a tier needs a name of its own/,
    ],
  ] as const
  for (const [options, message] of cases) {
    await t.rejects(createFarm(options as unknown as FarmOptions), {
      code: 'ERR_HANDFAST_CONFIG',
      message,
    })
  }
})

t.test('hosts without a farm port share all through a server', async t => {
  const store = new FakeStore('server')
  const options = { secret: generateSecret(), tiers: [store.tier] }
  const [a, b] = await Promise.all([served(t, options), served(t, options)])
  t.equal(a.farm.address, undefined)

  const minted = await a.visit(tls12)
  const again = await b.visit({ ...tls12, session: minted.session })
  t.match(again, { resumed: 'local', lineage: minted.lineage })

  // Neither seals before both have the same keys.
  const sealed = await sealedVisit(a)
  t.match(await b.visit({ session: sealed }), { resumed: 'ticket' })

  await a.farm.cache.add(state, key, value, { ttl: 60_000 })
  t.match(await b.farm.cache.get(state, key), { value })

  const { everywhere } = await a.farm.revoke({
    session: Buffer.from(minted.lineage ?? '', 'hex'),
  })
  t.equal(everywhere, false, 'no server says what all hosts have applied')
  t.match(await b.visit({ ...tls12, session: minted.session }), {
    resumed: false,
    cause: 'revoked',
  })
  t.match(a.farm.stats().tiers['server'], { open: 0, behind: 0, writeErrors: 0 })
  for (const sealed of store.kept.values()) t.notOk(sealed.includes(value))
})

t.test('a host that comes later finds all on the server', async t => {
  const store = new FakeStore('server')
  const options = { secret: generateSecret(), tiers: [store.tier] }
  const a = await served(t, options)
  const [kept, ended] = [await a.visit(tls12), await a.visit(tls12)]
  await a.farm.revoke({ session: Buffer.from(ended.lineage ?? '', 'hex') })
  await a.close()
  const b = await served(t, options)
  t.match(await b.visit({ ...tls12, session: kept.session }), { lineage: kept.lineage })
  t.match(await b.visit({ ...tls12, session: ended.session }), {
    resumed: false,
    cause: 'revoked',
  })
})

t.test('a host that was alone comes back from its disk', async t => {
  const disk = new FakeStore('disk', true)
  const options = { secret: generateSecret(), tiers: [disk.tier] }
  const before = await served(t, options)
  const [kept, ended] = [await before.visit(tls12), await before.visit(tls12)]
  const sealed = (await before.visit()).session
  t.ok(sealed && isSealed(sealed), 'who is alone seals at once')
  await before.farm.revoke({ session: Buffer.from(ended.lineage ?? '', 'hex') })
  await before.close()
  const after = await served(t, options)
  t.match(await after.visit({ ...tls12, session: kept.session }), {
    lineage: kept.lineage,
  })
  t.match(await after.visit({ session: sealed }), { resumed: 'ticket' })
  t.match(await after.visit({ ...tls12, session: ended.session }), {
    resumed: false,
    cause: 'revoked',
  })
})

t.test(
  'what one host alone had on its disk is known to all when they are linked',
  async t => {
    const disk = new FakeStore('disk', true)
    const secret = generateSecret()
    const alone = await openFarm({ secret, tiers: [disk.tier] })
    await alone.cache.add(state, key, value, { ttl: 60_000 })
    await alone.revoke({ user: 'ann' })
    await alone.close()
    const listen = { host: '127.0.0.1', port: 0 }
    const plain = await openFarm({ secret, listen })
    t.teardown(() => plain.close())
    const members = [plain.address ?? '']
    const withDisk = await openFarm({ secret, listen, members, tiers: [disk.tier] })
    t.teardown(() => withDisk.close())
    t.equal(withDisk.revocations().length, 1)
    await until(() => plain.revocations().length === 1)
    t.match(cacheOf(plain).getLocal(state, key), { value })
  },
)

t.test(
  'what was revoked while the server was away comes to it from the disk, after a restart',
  async t => {
    const [store, disk] = [new FakeStore('server'), new FakeStore('disk', true)]
    const shared = { secret: generateSecret(), tiers: [store.tier] }
    const withDisk = { ...shared, tiers: [disk.tier, store.tier] }
    const before = await openFarm(withDisk)
    const b = await openFarm(shared)
    t.teardown(() => b.close())
    store.fails = new Error('the server is away')
    await before.revoke({ user: 'ann' })
    await before.close()
    store.fails = undefined
    t.equal(b.revocations().length, 0)
    const after = await openFarm(withDisk)
    t.teardown(() => after.close())
    await until(() => b.revocations().length === 1)
    await until(() => after.stats().tiers['server']?.['behind'] === 0)
  },
)

t.test(
  'while it lacks what was revoked before its start a host resumes its own sessions alone',
  async t => {
    const store = new FakeStore('server')
    const listen = { host: '127.0.0.1', port: 0 }
    const options = { secret: generateSecret(), tiers: [store.tier], listen }
    const a = await served(t, options)
    const minted = await a.visit(tls12)
    store.fails = new Error('the server is away')
    const b = await served(t, { ...options, members: [a.farm.address ?? ''] })
    t.match(await b.visit({ ...tls12, session: minted.session }), {
      resumed: false,
      cause: 'partition',
    })
    const own = await b.visit(tls12)
    t.match(await b.visit({ ...tls12, session: own.session }), { resumed: 'local' })
    store.fails = undefined
    await until(() => cacheOf(b.farm).isCurrent())
    t.match(await b.visit({ ...tls12, session: minted.session }), {
      lineage: minted.lineage,
    })
  },
)

t.test(
  'a server that is away costs no handshake, and nothing that is revoked',
  async t => {
    const store = new FakeStore('server')
    const options = { secret: generateSecret(), tiers: [store.tier] }
    const [a, b] = await Promise.all([served(t, options), served(t, options)])
    const minted = await a.visit(tls12)
    store.fails = new Error('the server is away')
    t.match(await a.visit({ ...tls12, session: minted.session }), { resumed: 'local' })
    for (let i = 0; i < 8; i += 1) {
      const unknown = await visitedElsewhere(t)
      t.match(await b.visit({ ...tls12, session: unknown }), {
        resumed: false,
        cause: 'unknown',
      })
    }
    t.match(b.farm.stats().tiers['server'], { open: 1 })
    const { reachable } = await a.farm.revoke({
      session: Buffer.from(minted.lineage ?? '', 'hex'),
    })
    t.equal(reachable, false)
    t.match(a.farm.stats().tiers['server'], { behind: 1 })
    store.fails = undefined
    await until(() => b.farm.revocations().length === 1)
    t.match(await b.visit({ ...tls12, session: minted.session }), {
      resumed: false,
      cause: 'revoked',
    })
  },
)

/** A session that no host knows. */
async function visitedElsewhere(test: Test): Promise<Buffer | undefined> {
  const stranger = await served(test, {})
  return (await stranger.visit(tls12)).session
}
