import { createServer, request } from 'node:https'
import t from 'tap'
import type { Authenticated } from '../../lib/auth/request/node-request.ts'
import { systemClock } from '../../lib/clock.ts'
import { generateSecret } from '../../lib/farm/secret.ts'
import { createFarm } from '../../lib/member/create-farm.ts'
import type { Farm } from '../../lib/member/farm.ts'
import { type TableId, tableId, tables } from '../../lib/record/key.ts'
import { cacheOf, openFarm } from '../fixtures/farm/insides.ts'
import { reached } from '../fixtures/farm/reached.ts'
import { patience, patientFarm, patientLogins } from '../fixtures/patience.ts'
import { type VisitOptions, visit } from '../fixtures/tls/client.ts'
import {
  certificateFor,
  listening,
  type Told,
  tellingServer,
} from '../fixtures/tls/servers.ts'
import { until } from '../fixtures/until.ts'

const listen = { host: '127.0.0.1', port: 0 }

t.test('bad options are refused, and named', async t => {
  const secret = generateSecret()
  const cases: [object, RegExp][] = [
    [{ listen }, /option secret is needed to join a farm/],
    [{ members: ['10.0.0.1'] }, /option secret is needed/],
    [{ listen, secret: 'short' }, /the farm secret must be 32 bytes/],
    [{ name: 'a b' }, /option name must be/],
    [{ memory: 5 }, /option memory must be a number from 4194304/],
    [{ sessionTimeout: 8 * 24 * 3600_000 }, /option sessionTimeout must be/],
    [{ lookupBudget: -1 }, /option lookupBudget must be/],
    [{ mintBudget: Number.NaN }, /option mintBudget must be/],
    [{ mintLimit: -1 }, /option mintLimit must be a number from 0, got -1/],
    [{ secret, listen: { port: 70_000 } }, /option listen.port must be/],
    [{ secret, members: 'a:1' }, /createFarm: members must be/],
    [{ onPartition: 'panic' }, /option onPartition must be/],
    [
      { transport: 'pigeon' },
      /option transport must be 'auto', 'multicast', 'unicast', 'stream', got "pigeon"/,
    ],
  ]
  for (const [options, message] of cases) {
    await t.rejects(createFarm(options), { code: 'ERR_HANDFAST_CONFIG', message })
  }
})

t.test('a farm of one needs nothing', async t => {
  const farm = await createFarm()
  t.equal(farm.address, undefined)
  t.same(farm.members(), [])
  t.match(farm.stats(), { handshakes: { full: 0, resumed: 0, failed: 0 } })
  // What `await using` does, which not every Node can read.
  await farm[Symbol.asyncDispose]()
  await farm.close()
})

t.test('members find each other, and their figures tell', async t => {
  const secret = generateSecret()
  const a = await createFarm({ secret, listen, memberId: 'a' })
  const b = await createFarm({
    secret,
    listen,
    memberId: 'b',
    members: [a.address ?? ''],
  })
  t.teardown(() => Promise.all([a.close(), b.close()]))
  t.same(
    b.members().map(({ id, state }) => `${id} ${state}`),
    ['b ready', 'a ready'],
  )
  const server = await tellingServer()
  b.attach(server)
  await visit({ port: await listening(t, server) })
  t.ok(Number(b.stats().transport['recordsSent']) >= 2)
  t.equal(a.stats().table.records, b.stats().table.records)
})

t.test(
  "the cache of a farm is for state of one's own, not for what the farm keeps",
  async t => {
    const farm = await createFarm()
    t.teardown(() => farm.close())
    const [key, value] = [Buffer.from('key'), Buffer.from('value')]
    const free = [tables.state, tableId(16), tableId(255)]
    for (const table of free) {
      t.equal(await farm.cache.add(table, key, value, { ttl: 60_000 }), true)
      t.equal(await farm.cache.update(table, key, value, { ttl: 60_000 }), true)
      t.match(await farm.cache.get(table, key), { value, source: 'local' })
    }
    t.equal(await farm.cache.delete(tables.state, key), true)
    t.match(await farm.cache.purge(tableId(16)), { everywhere: true })
    const left = await Promise.all(free.map(table => farm.cache.get(table, key)))
    t.same(
      left.map(found => found !== undefined),
      [false, false, true],
    )
    const taken = Object.values(tables).filter(table => table !== tables.state)
    for (const table of [...taken, 0, 256, 8.5, Number.NaN, undefined, '9', Symbol()]) {
      const id = table as unknown as TableId
      const refused = {
        code: 'ERR_HANDFAST_USAGE',
        message: /^table \S+ is not for state: use /,
      }
      await t.rejects(farm.cache.get(id, key), refused)
      await t.rejects(farm.cache.add(id, key, value, { ttl: 60_000 }), refused)
      await t.rejects(farm.cache.update(id, key, value, { ttl: 60_000 }), refused)
      await t.rejects(farm.cache.delete(id, key), refused)
      await t.rejects(farm.cache.purge(id), refused)
    }
  },
)

for (const transport of ['stream', 'unicast'] as const) {
  t.test(`state may last for ever, by ${transport}`, async t => {
    const secret = generateSecret()
    const a = await openFarm({ secret, listen, transport })
    const b = await openFarm({ secret, listen, transport, members: [a.address ?? ''] })
    t.teardown(() => Promise.all([a.close(), b.close()]))
    await until(() => a.members().filter(({ state }) => state === 'ready').length === 2)
    const key = Buffer.from('key')
    const terms = { level: 'all', budget: 10_000 } as const
    const ttl = Number.POSITIVE_INFINITY
    t.ok(await a.cache.add(tables.state, key, Buffer.from('value'), { ttl, ...terms }))
    t.match(await b.cache.get(tables.state, key), { source: 'local' })
    t.ok(await a.cache.delete(tables.state, key, terms))
    t.equal(await b.cache.get(tables.state, key), undefined)
    const add = a.cache.add(tables.state, key, key, { ttl: '5' as unknown as number })
    await t.rejects(add, { message: 'ttl must be more than 0 ms, got "5"' })
  })

  t.test(`a purge empties the table on every member, by ${transport}`, async t => {
    const secret = generateSecret()
    const a = await openFarm({ secret, listen, transport })
    const members = [a.address ?? '']
    const b = await openFarm({ secret, listen, transport, members })
    t.teardown(() => Promise.all([a.close(), b.close()]))
    // Until it has heard that the other serves, it waits for nobody.
    await until(() => a.members().filter(({ state }) => state === 'ready').length === 2)
    const key = Buffer.from('key')
    const own = tableId(16)
    const options = { ttl: 60_000, level: 'all', budget: 10_000 } as const
    for (const table of [tables.state, own]) {
      t.ok(await a.cache.add(table, key, Buffer.from('value'), options))
      await until(() => cacheOf(b).getLocal(table, key) !== undefined)
    }
    t.match(await a.cache.purge(tables.state, 10_000), { everywhere: true })
    t.equal(cacheOf(b).getLocal(tables.state, key), undefined)
    t.ok(cacheOf(b).getLocal(own, key), 'same key, other table')
    const late = await openFarm({ secret, listen, transport, members })
    t.teardown(() => late.close())
    t.equal(await late.cache.get(tables.state, key), undefined)
    t.ok(await b.cache.add(tables.state, key, Buffer.from('new'), options))
    const holders = [a, b, late].map(cacheOf)
    await until(() => holders.every(cache => cache.getLocal(tables.state, key)))
  })
}

t.test('while a member is silent nothing resumes, where that is asked for', async t => {
  let now = 0
  const clock = { ...systemClock, monotonic: () => systemClock.monotonic() + now }
  const secret = generateSecret()
  const strict = await createFarm({
    secret,
    listen,
    onPartition: 'full-handshake',
    clock,
  })
  const lax = await createFarm({ secret, listen, members: [strict.address ?? ''] })
  t.teardown(() => Promise.all([strict.close(), lax.close()]))
  const server = await tellingServer()
  strict.attach(server)
  const port = await listening(t, server)
  const first = await visit({ port })
  const again = () => visit({ port, session: first.sessions[0] } as VisitOptions)
  t.equal((await again()).reused, true)
  const deadline = Date.now() + patience
  let told: { resumed: unknown; cause?: string }
  do {
    // To the strict member the other has been silent for long, unless it speaks just now.
    now += 10_000
    told = JSON.parse((await again()).body)
  } while (told.resumed !== false && Date.now() < deadline)
  t.match(told, { resumed: false, cause: 'partition' })
})

t.test('a user is logged in everywhere, until revoked', async t => {
  const secret = generateSecret()
  const members: { farm: Farm; port: number }[] = []
  let checked = 0
  for (const id of ['a', 'b', 'c']) {
    const farm = await createFarm({
      secret,
      listen,
      memberId: id,
      members: members.map(({ farm }) => farm.address ?? ''),
      ...patientFarm,
    })
    t.teardown(() => farm.close())
    const allow = farm.auth({
      basic: (user, password) => {
        checked += 1
        return user === 'ann' && password === 'pw'
      },
      ...patientLogins,
    })
    const { key, cert } = await certificateFor('localhost')
    const server = createServer({ key, cert }, (incoming, response) => {
      allow(incoming, response, () => {
        const { auth } = incoming as Authenticated<typeof incoming>
        const { resumed, cause } = farm.handshake(incoming.socket) as unknown as Told
        response.end(JSON.stringify({ user: auth?.subject, resumed, cause }))
      })
    })
    farm.attach(server)
    members.push({ farm, port: await listening(t, server) })
  }
  const [a, b, c] = members as [
    (typeof members)[0],
    (typeof members)[0],
    (typeof members)[0],
  ]
  let session: Buffer | undefined
  const get = (port: number, auth?: string) =>
    new Promise<{ status: number | undefined; body: string }>((resolve, reject) => {
      const options = { port, host: '127.0.0.1', servername: 'localhost', agent: false }
      const asked = request(
        {
          ...options,
          rejectUnauthorized: false,
          ...(auth ? { auth } : {}),
          session,
        } as object,
        async response => {
          let body = ''
          for await (const chunk of response) body += chunk
          resolve({ status: response.statusCode, body })
        },
      )
      asked.on('socket', socket => {
        socket.on('session', (fresh: Buffer) => {
          session = fresh
        })
      })
      asked.on('error', reject)
      asked.end()
    })
  t.equal((await get(a.port)).status, 401)
  t.match(JSON.parse((await get(a.port, 'ann:pw')).body), { user: 'ann' })
  for (const { port } of [b, c]) {
    const { body } = await get(port, 'ann:pw')
    t.match(JSON.parse(body), { user: 'ann', resumed: /local|peer/ })
    t.equal((await get(port)).status, 401, 'not by the session alone')
  }
  t.equal(checked, 1)
  await reached(() => b.farm.revoke({ user: 'ann' }))
  t.equal((await get(c.port)).status, 401, 'asked again')
  const back = JSON.parse((await get(a.port, 'ann:pw')).body)
  t.match(back, { user: 'ann' }, 'and may log in anew at once')
  t.equal(checked, 2)
})
