import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import type { ClientHello } from '../../../lib/resumption/hello/client-hello.ts'
import { askedAgain, bytesSent } from '../../../lib/resumption/native/second-hello.ts'
import { offersOneSession } from '../../../lib/resumption/session/offer.ts'
import {
  memberServer,
  memberServers,
  only,
  sourceOf,
  told,
  ways,
} from '../../fixtures/resumption/world.ts'
import { authority, clientOf } from '../../fixtures/tls/certificates.ts'
import { type VisitOptions, visit } from '../../fixtures/tls/client.ts'
import { connectRewriting } from '../../fixtures/tls/first-write.ts'
import { splitRecords } from '../../fixtures/tls/hello.ts'

/** A client whose key share the server does not like, so that it is asked for another. */
const shares: { readonly [server: string]: string } = {
  'P-384': 'X25519:P-256:P-384',
  'P-521': 'P-256:P-521',
  X448: 'X25519:X448',
  'P-256': 'P-384:P-256',
  'X25519:P-256': 'P-384:P-256:X25519',
}

for (const [ecdhCurve, ecdhOfClient] of Object.entries(shares)) {
  for (const way of ways)
    t.test(
      `${way}: a server of ${ecdhCurve} resumes after it asked for another key`,
      async t => {
        const attach = { resumption: way }
        const { port, farm } = await memberServer(t, { server: { ecdhCurve }, attach })
        const resumed = sourceOf('TLSv1.3', way)
        const client = { port, ecdhCurve: ecdhOfClient } as VisitOptions
        let { sessions, body } = await visit(client)
        const { lineage } = JSON.parse(body)
        for (let n = 0; n < 5; n += 1) {
          const session = sessions[0]
          const again = await visit({ ...client, ...(session && { session }) })
          t.match({ ...again, ...told(again) }, { reused: true, resumed, lineage })
          ;({ sessions, body } = again)
        }
        const { causes } = farm.stats().handshakes
        t.same(causes, { 'full:none-offered': 1, [`resumed:${resumed}`]: 5 })
      },
    )
}

t.test('a client of P-384 alone resumes', async t => {
  const { port } = await memberServer(t)
  const client = { port, ecdhCurve: 'P-384' } as VisitOptions
  const session = (await visit(client)).sessions[0]
  t.equal((await visit({ ...client, ...(session && { session }) })).reused, true)
})

t.test('it resumes on another member, with what the client proved', async t => {
  const server = {
    ecdhCurve: 'P-384',
    requestCert: true,
    ca: (await authority('CA')).cert,
  }
  const [a, b] = await memberServers(t, 2, { server })
  const client = { ...(await clientOf('CA')), ecdhCurve: 'X25519:P-384' }
  const session = (await visit({ port: a?.port ?? 0, ...client })).sessions[0]
  const again = await visit({
    port: b?.port ?? 0,
    ...client,
    ...(session && { session }),
  })
  t.match(told(again), { clientAuthorized: true, authorized: true })
  t.equal(again.reused, true)
})

t.test('a hello over several records resumes too', async t => {
  const { port } = await memberServer(t, { server: { ecdhCurve: 'P-384' } })
  const ecdhCurve = 'X25519:P-384'
  const session = (await visit({ port, ecdhCurve } as VisitOptions)).sessions[0]
  const over = connectRewriting(port, hello => [splitRecords(hello, 150)])
  const again = await visit({ port, ecdhCurve, session, over } as VisitOptions)
  t.equal(again.reused, true)
})

t.test('a hello without a session id resumes too', async t => {
  const { port } = await memberServer(t, { server: { ecdhCurve: 'P-384' } })
  const folder = await mkdtemp(join(tmpdir(), 'handfast-'))
  t.teardown(() => rm(folder, { recursive: true }))
  const client = async (...more: string[]) => {
    const asked = ['-tls1_3', '-no_middlebox', '-groups', 'X25519:P-384', '-ign_eof']
    const to = ['s_client', '-connect', `127.0.0.1:${port}`, '-servername', 'localhost']
    const running = promisify(execFile)('openssl', [...to, ...asked, ...more])
    running.child.stdin?.end('GET / HTTP/1.0\r\n\r\n')
    return (await running).stdout
  }
  const file = join(folder, 'session.pem')
  t.match(await client('-sess_out', file), /^New, /m)
  t.match(await client('-sess_in', file), /^Reused, /m)
})

t.test('a session that is none of ours ends in a full handshake', async t => {
  const { port } = await memberServer(t, { server: { ecdhCurve: 'P-384' } })
  const elsewhere = await memberServer(t)
  const client = { ecdhCurve: 'X25519:P-384' }
  const session = (await visit({ port: elsewhere.port })).sessions[0]
  const again = await visit({ port, ...client, session } as VisitOptions)
  t.match(told(again), { resumed: false, cause: 'unknown' })
})

t.test('a revoked session does not resume with a second hello either', async t => {
  const { port, farm } = await memberServer(t, { server: { ecdhCurve: 'P-384' } })
  const client = { port, ecdhCurve: 'X25519:P-384', ...only('TLSv1.3') } as VisitOptions
  const first = await visit(client)
  await farm.revoke({ lineage: Buffer.from(told(first).lineage ?? '', 'hex') })
  const session = first.sessions[0]
  const again = await visit({ ...client, ...(session && { session }) })
  t.match(told(again), { resumed: false, cause: 'revoked' })
})

t.test('how a request for a second hello is known', async t => {
  const sent = (bytesWritten: number) => ({ _parent: { bytesWritten } })
  t.equal(askedAgain(sent(99), 0), true)
  t.equal(askedAgain(sent(1_093), 1_000), true)
  t.equal(askedAgain(sent(187), 0), false, 'the shortest flight that resumes')
  t.equal(askedAgain(sent(1_000), 1_000), false, 'nothing yet')
  t.equal(askedAgain({}, bytesSent({})), false, 'a Node that does not tell')
  const offering = (...lengths: number[]) =>
    offersOneSession({
      identities: lengths.map(length => Buffer.alloc(length)),
    } as unknown as ClientHello)
  t.equal(offering(32), true)
  t.equal(offering(20, 32), true, 'and a key of another kind')
  t.equal(offering(32, 32), false, 'one of them may be dropped')
})
