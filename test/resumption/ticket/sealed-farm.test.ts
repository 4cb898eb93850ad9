import { X509Certificate } from 'node:crypto'
import { createServer } from 'node:https'
import t from 'tap'
import { generateSecret } from '../../../lib/farm/secret.ts'
import { certificateDigest } from '../../../lib/resumption/session/session-record.ts'
import { patientLogins } from '../../fixtures/patience.ts'
import { isSealed, untilSealed } from '../../fixtures/resumption/until-sealed.ts'
import {
  type MemberServer,
  memberServer,
  memberServers,
  only,
  resume,
  told,
} from '../../fixtures/resumption/world.ts'
import { visit } from '../../fixtures/tls/client.ts'
import { certificateFor, listening } from '../../fixtures/tls/servers.ts'

/* Whole farms, which agree on their keys by themselves. That takes them some seconds. */

type Members = [MemberServer, MemberServer, MemberServer]

async function agreed(members: readonly MemberServer[]): Promise<void> {
  for (const { port } of members) {
    await untilSealed(() => visit({ port, ...only('TLSv1.3') }))
  }
}

t.test(
  'from the first connection on, what any member hands out resumes on all',
  async t => {
    const members = (await memberServers(t, 3)) as Members
    const seen = { sealed: 0, stored: 0 }
    const begin = performance.now()
    while (seen.sealed < 20 && performance.now() - begin < 60_000) {
      for (const from of members) {
        const { sessions } = await visit({ port: from.port })
        const [session] = sessions
        seen[isSealed(session) ? 'sealed' : 'stored'] += 1
        const to = members[(members.indexOf(from) + 1) % 3] as MemberServer
        const again = await resume(to.port, session)
        if (!again.reused) t.fail(`${JSON.stringify(seen)}: ${again.body}`)
      }
    }
    t.ok(seen.stored > 0, `${seen.stored} while they had no key in common`)
    t.ok(seen.sealed >= 20)
  },
)

t.test('a farm that has agreed', async t => {
  const ann = await certificateFor('ann')
  const secret = generateSecret()
  const options = {
    server: { requestCert: true, rejectUnauthorized: false, ca: ann.cert },
    attach: { resumption: 'sealed' },
  } as const
  const members = (await memberServers(t, 3, { ...options, farm: { secret } })) as Members
  await agreed(members)
  const [a, b, c] = members

  await t.test('revoking one of many refuses it everywhere, and nobody else', async t => {
    const many = await Promise.all(
      Array.from({ length: 40 }, () => visit({ port: a.port })),
    )
    const [one, ...others] = many as [(typeof many)[0], ...typeof many]
    const records = b.farm.stats().table.records
    await b.farm.revoke({ lineage: Buffer.from(told(one).lineage ?? '', 'hex') })
    for (const { port } of members) {
      const again = await resume(port, one.sessions[0])
      t.match(told(again), { resumed: false, cause: 'revoked' })
    }
    for (const [n, other] of others.entries()) {
      const { port } = members[n % 3] as MemberServer
      const { lineage } = told(other)
      t.match(told(await resume(port, other.sessions[0])), { resumed: 'ticket', lineage })
    }
    t.equal(b.farm.stats().table.records, records, 'nothing of it is stored')
  })

  await t.test('revoking a certificate ends the tickets with it', async t => {
    const mine = await visit({ port: a.port, ...ann })
    const plain = await visit({ port: a.port })
    t.match(told(mine), { clientAuthorized: true })
    const known = await resume(c.port, mine.sessions[0], ann)
    t.match(told(known), { resumed: 'ticket', clientAuthorized: true, authorized: true })
    const certificate = certificateDigest(new X509Certificate(ann.cert).raw)
    await a.farm.revoke({ certificate })
    for (const { port } of members) {
      const again = await resume(port, mine.sessions[1], ann)
      t.match(told(again), { resumed: false, cause: 'revoked' })
    }
    t.match(told(await resume(b.port, plain.sessions[0])), { resumed: 'ticket' })
    const after = await visit({ port: a.port, ...ann })
    t.match(told(await resume(b.port, after.sessions[0], ann)), { resumed: 'ticket' })
  })

  await t.test('revoking a server name, too', async t => {
    const first = await visit({ port: a.port })
    const other = await visit({ port: a.port, servername: 'b.test' })
    await c.farm.revoke({ serverName: 'localhost' })
    const again = await resume(b.port, first.sessions[0])
    t.match(told(again), { resumed: false, cause: 'revoked' })
    const kept = await resume(b.port, other.sessions[0], { servername: 'b.test' })
    t.match(told(kept), { resumed: 'ticket' })
  })

  await t.test(
    'who joins opens what was sealed before, and knows what is revoked',
    async t => {
      const [gone, kept] = [await visit({ port: a.port }), await visit({ port: a.port })]
      await a.farm.revoke({ lineage: Buffer.from(told(gone).lineage ?? '', 'hex') })
      const listen = { host: '127.0.0.1', port: 0 }
      const farm = { secret, listen, members: [a.farm.address ?? ''] }
      const { port } = await memberServer(t, { ...options, farm })
      const { lineage } = told(kept)
      t.match(told(await resume(port, kept.sessions[0])), { resumed: 'ticket', lineage })
      const again = await resume(port, gone.sessions[0])
      t.match(told(again), { resumed: false, cause: 'revoked' })
      const its = await visit({ port })
      t.match(told(await resume(b.port, its.sessions[0])), { resumed: 'ticket' })
    },
  )

  await t.test('a password is checked once, whatever member it comes to', async t => {
    let checked = 0
    const pair = await certificateFor('localhost')
    const ports: number[] = []
    for (const { farm } of members) {
      const middleware = farm.auth({
        ...patientLogins,
        basic: async (user, password) => {
          checked += 1
          return password === 'secret' ? { subject: user } : undefined
        },
      })
      const server = createServer(pair, (request, response) => {
        middleware(request, response, () => {
          const subject = Reflect.get(request, 'auth')?.subject
          response.end(`${subject} ${farm.handshake(request.socket)?.resumed}`)
        })
      })
      farm.attach(server)
      ports.push(await listening(t, server))
    }
    const credentials = Buffer.from('ann:secret').toString('base64')
    const target = `/ HTTP/1.1\r\nAuthorization: Basic ${credentials}\r\nX-Rest:`
    const client = { target, ...only('TLSv1.3') }
    let last = await visit({ port: ports[0] ?? 0, ...client })
    t.match(last.body, 'ann false')
    for (let n = 1; n < 12; n += 1) {
      last = await resume(ports[n % 3] ?? 0, last.sessions[0], client)
      t.match(last.body, 'ann ticket')
    }
    t.equal(checked, 1)
  })

  await t.test(
    'revoking all makes every ticket worthless, and then there are new ones',
    async t => {
      const first = await visit({ port: a.port })
      await b.farm.revoke({ all: true })
      for (const [n, { port }] of members.entries()) {
        const again = await resume(port, first.sessions[n % 2])
        t.equal(again.reused, false)
      }
      await agreed(members)
      const fresh = await visit({ port: a.port })
      t.match(told(await resume(b.port, fresh.sessions[0])), { resumed: 'ticket' })
    },
  )
})
