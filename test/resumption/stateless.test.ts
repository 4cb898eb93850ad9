import t from 'tap'
import { createFarm } from '../../lib/member/create-farm.ts'
import { seededRandom, testSeed } from '../fixtures/random.ts'
import {
  type MemberServer,
  memberServers,
  resume,
  told,
} from '../fixtures/resumption-world.ts'
import { certificateFor, listening, tellingServer } from '../fixtures/servers.ts'
import { visit } from '../fixtures/tls-client.ts'

/** Its keys live for half a minute, and are there within seconds. */
const brief = { sessionTimeout: 30_000, lineageTimeout: 30_000 }

/** A farm that is new makes its keys in the first seconds. */
async function sharedKeys(members: MemberServer[]): Promise<void> {
  const deadline = Date.now() + 30_000
  const [a, b] = members as [MemberServer, MemberServer]
  for (;;) {
    const first = await visit({ port: a.port })
    if ((await resume(b.port, first.sessions[0])).reused) return
    if (Date.now() > deadline) throw new Error('the members have no common ticket key')
  }
}

t.test('stateless tickets resume on every member, one use each', async t => {
  const members = await memberServers(t, 3, {
    farm: brief,
    attach: { resumption: 'stateless' },
  })
  await sharedKeys(members)
  const seed = testSeed()
  t.comment(`SEED=${seed}`)
  const random = seededRandom(seed)
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    let { sessions } = await visit({ port: members[0]?.port ?? 0, maxVersion })
    for (let n = 0; n < 50; n += 1) {
      const { port } = members[Math.floor(random() * 3)] as MemberServer
      const again = await resume(port, sessions.at(-1), { maxVersion })
      if (!again.reused) t.fail(`${maxVersion}: not resumed at ${n}`)
      if (told(again).resumed !== 'ticket') t.fail(again.body)
      if (again.sessions.length > 0) sessions = again.sessions
    }
    t.pass(maxVersion)
  }
  t.equal(members[0]?.farm.stats().handshakes.causes['resumed:local'], undefined)
})

t.test('the very first ticket of a farm resumes on every member', async t => {
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    const members = await memberServers(t, 3, { attach: { resumption: 'stateless' } })
    for (const from of members) {
      const { sessions } = await visit({ port: from.port, maxVersion })
      for (const to of members) {
        const again = await resume(to.port, sessions.at(-1), { maxVersion })
        t.match(told(again), { resumed: 'ticket' }, maxVersion)
      }
    }
  }
})

t.test('the very first ticket ends when all are revoked', async t => {
  const [a, b] = (await memberServers(t, 2, {
    attach: { resumption: 'stateless' },
  })) as [MemberServer, MemberServer]
  const { sessions } = await visit({ port: a.port })
  await a.farm.revoke({ all: true })
  t.equal((await resume(a.port, sessions[0])).reused, false)
  t.equal((await resume(b.port, sessions[1])).reused, false)
})

t.test('no ticket crosses from one policy to another', async t => {
  const [ann, bob] = [await certificateFor('ann'), await certificateFor('bob')]
  const pair = await certificateFor('localhost')
  const farm = await createFarm()
  t.teardown(() => farm.close())
  const server = await tellingServer({ requestCert: true, ca: ann.cert })
  farm.attach(server, {
    resumption: name => (name === 'stateful.test' ? 'stateful' : 'stateless'),
  })
  server.addContext('b.test', { ...pair, ca: bob.cert })
  const port = await listening(t, server)
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    const at = (servername: string, options = {}) =>
      visit({ port, servername, maxVersion, ...options })
    const first = await at('a.test', ann)
    const session = first.sessions[0]
    const same = await at('a.test', { session })
    t.match(told(same), { resumed: 'ticket', clientAuthorized: true, authorized: true })
    await t.rejects(at('b.test', { ...ann, session }), `${maxVersion}: to a strict name`)
    const other = await at('stateful.test', { ...ann, session })
    t.match(told(other), { resumed: false, cause: 'unknown' }, 'nor to a stateful one')
    const stateful = await at('stateful.test', { session: other.sessions[0] })
    t.match(told(stateful), { resumed: 'local' })
    const back = await at('a.test', { ...ann, session: other.sessions[0] })
    t.equal(back.reused, false, 'nor a stateful session to a stateless name')
  }
})

t.test('a client without certificate stays unauthorized with a ticket', async t => {
  const options = { requestCert: true, rejectUnauthorized: false }
  const [a] = (await memberServers(t, 1, {
    attach: { resumption: 'stateless' },
    server: options,
  })) as [MemberServer]
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    const first = await visit({ port: a.port, maxVersion })
    const again = await resume(a.port, first.sessions[0], { maxVersion })
    t.match(told(again), {
      resumed: 'ticket',
      clientAuthorized: false,
      authorized: false,
    })
  }
})

t.test('revoking all makes every ticket worthless, on every member', async t => {
  const members = await memberServers(t, 2, {
    farm: brief,
    attach: { resumption: 'stateless' },
  })
  await sharedKeys(members)
  const [a, b] = members as [MemberServer, MemberServer]
  const first = await visit({ port: a.port })
  await a.farm.revoke({ all: true })
  t.equal((await resume(a.port, first.sessions[0])).reused, false, 'here at once')
  t.equal((await resume(b.port, first.sessions[1])).reused, false, 'and elsewhere')
})

t.test('a name with resumption off makes full handshakes only', async t => {
  const [a] = (await memberServers(t, 1, { attach: { resumption: 'off' } })) as [
    MemberServer,
  ]
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    const first = await visit({ port: a.port, maxVersion })
    t.match(told(first), { resumed: false, cause: 'off' })
    const again = await resume(a.port, first.sessions[0], { maxVersion })
    t.match(told(again), { resumed: false, cause: 'off' })
  }
  t.equal(a.farm.stats().table.records, 0)
})
