import { constants } from 'node:crypto'
import { createServer } from 'node:https'
import type { Server } from 'node:tls'
import t, { type Test } from 'tap'
import { memberServer, memberServers, only } from '../../fixtures/resumption/world.ts'
import { type VisitOptions, visit } from '../../fixtures/tls/client.ts'
import { connectRewriting } from '../../fixtures/tls/first-write.ts'
import { splitRecords } from '../../fixtures/tls/hello.ts'
import { certificateFor, listening } from '../../fixtures/tls/servers.ts'

/*
 * Clients who offer a session of TLS 1.2 and leave out what it was made with. A server MUST end
 * their connection with an alert (RFC 7627, 5.3; RFC 5246, 7.4.1.2); so do nginx, httpd and Node.
 */

/** SSL_OP_NO_EXTENDED_MASTER_SECRET, which Node has no name for. */
const noExtendedMasterSecret = { secureOptions: 0x1 }
const [one, other] = ['ECDHE-ECDSA-AES128-GCM-SHA256', 'ECDHE-ECDSA-AES256-GCM-SHA384']

const changes: { readonly [name: string]: [object, object] } = {
  'the extended master secret': [{}, noExtendedMasterSecret],
  'the cipher': [{ ciphers: one }, { ciphers: other }],
  'the cipher among many': [
    { ciphers: one },
    { ciphers: `${other}:ECDHE-ECDSA-AES128-SHA` },
  ],
  both: [{ ciphers: one }, { ciphers: other, ...noExtendedMasterSecret }],
}
const shapes: { readonly [name: string]: (hello: Buffer) => Buffer[] } = {
  'in one record': hello => [hello],
  'over several records': hello => [splitRecords(hello, 100)],
  'in single bytes': hello => Array.from(hello, byte => Buffer.of(byte)),
}

/** What the client is told, and what the server says of it. */
async function outcomeOf(server: Server, options: VisitOptions) {
  const heard: (string | undefined)[] = []
  const listener = (error: Error & { code?: string }) => heard.push(error.code)
  server.on('tlsClientError', listener)
  const told = await visit(options).then(
    ({ reused }) => (reused ? 'resumed' : 'full'),
    (error: Error & { code?: string }) => error.code,
  )
  server.off('tlsClientError', listener)
  return { told, heard }
}

/** With a store of its own, as Node's documentation has it. */
async function bareServer(t: Test) {
  const server = createServer(
    { ...(await certificateFor('localhost')), secureOptions: constants.SSL_OP_NO_TICKET },
    (_request, response) => response.end('x'),
  )
  const sessions = new Map<string, Buffer>()
  server.on('newSession', (id, session, done) => {
    sessions.set(id.toString('hex'), session)
    done()
  })
  server.on('resumeSession', (id, done) => {
    done(null, sessions.get(id.toString('hex')) ?? null)
  })
  return { server, port: await listening(t, server) }
}

for (const [name, [before, after]] of Object.entries(changes)) {
  t.test(`a client that drops ${name} gets the alert that Node sends`, async t => {
    const bare = await bareServer(t)
    const members = await memberServers(t, 2)
    const common = { port: bare.port, ...only('TLSv1.2') }
    const [known] = (await visit({ ...common, ...before })).sessions
    const asked = { ...common, ...after, ...(known && { session: known }) }
    const expected = await outcomeOf(bare.server, asked)
    t.match(expected, { told: /ALERT/, heard: [/EXTMS|CIPHER_MISSING/] })
    for (const [shape, rewrite] of Object.entries(shapes)) {
      const { port } = members[0] ?? { port: 0 }
      const first = await visit({ port, ...only('TLSv1.2'), ...before })
      const session = first.sessions[0]
      for (const member of members) {
        const { port, server } = member
        const over = connectRewriting(port, rewrite)
        const offer = { port, ...only('TLSv1.2'), ...(session && { session }) }
        t.same(await outcomeOf(server, { ...offer, ...after, over }), expected, shape)
        t.match(
          await outcomeOf(server, { ...offer, ...before }),
          { told: 'resumed' },
          shape,
        )
      }
    }
    for (const { farm } of members) {
      t.equal(farm.stats().handshakes.failed, Object.keys(shapes).length)
    }
  })
}

t.test('a client that drops something and offers nothing of ours is served', async t => {
  const { server, port } = await memberServer(t)
  const elsewhere = await memberServer(t)
  for (const [before, after] of Object.values(changes)) {
    const first = await visit({ port: elsewhere.port, ...only('TLSv1.2'), ...before })
    const session = first.sessions[0]
    const offer = { port, ...only('TLSv1.2'), ...after, ...(session && { session }) }
    t.same(await outcomeOf(server, offer), { told: 'full', heard: [] })
  }
})

t.test('a client that drops something under another name is served', async t => {
  const { server, port } = await memberServer(t)
  for (const [before, after] of Object.values(changes)) {
    const common = { port, ...only('TLSv1.2') }
    const session = (await visit({ ...common, ...before })).sessions[0]
    const offer = { ...common, ...after, ...(session && { session }) }
    const asked = await outcomeOf(server, { ...offer, servername: 'b.test' })
    t.same(asked, { told: 'full', heard: [] })
  }
})
