import t from 'tap'
import {
  attachedPort,
  farmOfOne,
  sourceOf,
  told,
  versions,
  ways,
} from '../../fixtures/resumption/world.ts'
import { type VisitOptions, visit } from '../../fixtures/tls/client.ts'
import { certificateFor, listening, tellingServer } from '../../fixtures/tls/servers.ts'

for (const [version, way] of versions.flatMap(version =>
  ways.map(way => [version, way] as const),
)) {
  const only = { minVersion: version, maxVersion: version }
  const attach = { resumption: way }

  t.test(
    `${version}, ${way}: a session minted on one server resumes on another`,
    async t => {
      const farm = await farmOfOne(t)
      const [a, b] = [
        await attachedPort(t, farm, {}, attach),
        await attachedPort(t, farm, {}, attach),
      ]
      const first = await visit({ port: a, ...only })
      t.match(told(first), {
        resumed: false,
        cause: 'none-offered',
        serverName: 'localhost',
      })
      t.equal(first.sessions.length, version === 'TLSv1.3' ? 2 : 1)
      for (const session of first.sessions) {
        const again = await visit({ port: b, session, ...only })
        t.equal(again.reused, true)
        t.match(told(again), {
          resumed: sourceOf(version, way),
          lineage: told(first).lineage,
        })
        t.equal(told(again).originalAt, told(first).originalAt)
      }
      t.match(farm.stats().handshakes, { full: 1, resumed: first.sessions.length })
    },
  )

  t.test(
    `${version}, ${way}: the name of the server is known on a resumed connection`,
    async t => {
      const farm = await farmOfOne(t)
      const port = await attachedPort(t, farm, {}, attach)
      const first = await visit({ port, ...only })
      const again = await visit({
        port,
        session: first.sessions[0],
        ...only,
      } as VisitOptions)
      t.equal(again.reused, true)
      t.equal(told(again).servername, 'localhost')
    },
  )

  t.test(
    `${version}, ${way}: a session does not resume under another server name`,
    async t => {
      const farm = await farmOfOne(t)
      const port = await attachedPort(t, farm, {}, attach)
      const first = await visit({ port, servername: 'a.test', ...only })
      const session = first.sessions[0]
      const other = await visit({
        port,
        servername: 'b.test',
        session,
        ...only,
      } as VisitOptions)
      t.equal(other.reused, false)
      // One name in 256 has the same tag, and TLS is the one who sees the difference.
      const cause = sourceOf(version, way) === 'ticket' ? /policy|declined/ : 'policy'
      t.match(told(other), { resumed: false, cause, serverName: 'b.test' })
      t.not(told(other).lineage, told(first).lineage)
    },
  )

  // TLS itself counts the age of a sealed ticket: sealed-lifetimes.test.ts.
  if (sourceOf(version, way) === 'local')
    t.test(
      `${version}, ${way}: no session resumes past its time, nor its lineage past its own`,
      async t => {
        let now = Date.now()
        const clock = {
          now: () => now,
          monotonic: () => performance.now(),
          after: (ms: number, fn: () => void) => {
            const timeout = setTimeout(fn, ms)
            return { cancel: () => clearTimeout(timeout) }
          },
        }
        const farm = await farmOfOne(t, {
          clock,
          sessionTimeout: 3600_000,
          lineageTimeout: 2 * 3600_000,
        })
        const port = await attachedPort(t, farm, {}, attach)
        const first = await visit({ port, ...only })
        now += 3500_000
        const second = await visit({
          port,
          session: first.sessions[0],
          ...only,
        } as VisitOptions)
        t.equal(second.reused, true)
        now += 101_000
        const late = await visit({
          port,
          session: first.sessions.at(-1),
          ...only,
        } as VisitOptions)
        t.equal(late.reused, false)
        if (version === 'TLSv1.2') return
        // The renewed ticket goes on for the lineage's time, and no longer.
        const renewed = await visit({
          port,
          session: second.sessions[0],
          ...only,
        } as VisitOptions)
        t.equal(renewed.reused, true)
        now += 3000_000
        const third = await visit({
          port,
          session: renewed.sessions[0],
          ...only,
        } as VisitOptions)
        t.equal(third.reused, true)
        now += 700_000
        const past = await visit({
          port,
          session: third.sessions[0],
          ...only,
        } as VisitOptions)
        t.equal(past.reused, false)
      },
    )

  t.test(
    `${version}, ${way}: a revoked session makes a full handshake, others resume`,
    async t => {
      const farm = await farmOfOne(t)
      const port = await attachedPort(t, farm, {}, attach)
      const one = await visit({ port, ...only })
      const two = await visit({ port, ...only })
      const lineage = Buffer.from(told(one).lineage ?? '', 'hex')
      await farm.revoke({ lineage }, { reason: 'lost laptop' })
      const again = await visit({
        port,
        session: one.sessions[0],
        ...only,
      } as VisitOptions)
      t.match(told(again), { resumed: false, cause: 'revoked' })
      const other = await visit({
        port,
        session: two.sessions[0],
        ...only,
      } as VisitOptions)
      t.equal(other.reused, true)
      await farm.revoke({ all: true })
      const none = await visit({
        port,
        session: two.sessions.at(-1),
        ...only,
      } as VisitOptions)
      // With the keys of all tickets gone, nothing tells whose it was.
      const cause = sourceOf(version, way) === 'ticket' ? 'unknown' : 'revoked'
      t.match(told(none), { resumed: false, cause })
      const fresh = await visit({ port, ...only })
      const after = await visit({
        port,
        session: fresh.sessions[0],
        ...only,
      } as VisitOptions)
      t.equal(after.reused, true, 'handshakes after the revocation are not touched by it')
    },
  )

  t.test(
    `${version}, ${way}: a client without certificate stays unauthorized when it resumes`,
    async t => {
      const farm = await farmOfOne(t)
      const port = await attachedPort(
        t,
        farm,
        { requestCert: true, rejectUnauthorized: false },
        attach,
      )
      const first = await visit({ port, ...only })
      const unauthorized = {
        clientAuthorized: false,
        authorized: false,
        authorizationError: 'UNABLE_TO_GET_ISSUER_CERT',
      }
      t.match(told(first), unauthorized)
      const again = await visit({
        port,
        session: first.sessions[0],
        ...only,
      } as VisitOptions)
      t.equal(again.reused, true)
      t.match(told(again), unauthorized)
    },
  )

  t.test(
    `${version}, ${way}: a bad certificate keeps its error when it resumes`,
    async t => {
      const farm = await farmOfOne(t)
      const client = await certificateFor('client')
      const authority = await certificateFor('authority')
      for (const resumption of ['stateful', 'sealed'] as const) {
        const options = {
          requestCert: true,
          rejectUnauthorized: false,
          ca: authority.cert,
        }
        const server = await tellingServer(options)
        farm.attach(server, { resumption })
        const port = await listening(t, server)
        const first = await visit({ port, ...client, ...only })
        const again = await visit({
          port,
          session: first.sessions[0],
          ...only,
        } as VisitOptions)
        t.equal(again.reused, true)
        t.match(told(first), { authorized: false, authorizationError: /\w/ })
        const { authorized, authorizationError } = told(first)
        t.match(told(again), { authorized, authorizationError })
      }
    },
  )

  t.test(
    `${version}, ${way}: a client with a good certificate stays authorized`,
    async t => {
      const farm = await farmOfOne(t)
      const client = await certificateFor('client')
      const options = { requestCert: true, ca: client.cert }
      const port = await attachedPort(t, farm, options, attach)
      const first = await visit({ port, ...client, ...only })
      t.match(told(first), { clientAuthorized: true, authorized: true })
      const again = await visit({
        port,
        session: first.sessions[0],
        ...only,
      } as VisitOptions)
      t.equal(again.reused, true)
      t.match(told(again), { clientAuthorized: true, authorized: true })
    },
  )

  t.test(`${version}, ${way}: new client authorities end the old sessions`, async t => {
    const farm = await farmOfOne(t)
    const [old, fresh] = [
      await certificateFor('old client'),
      await certificateFor('new client'),
    ]
    const server = await tellingServer({ requestCert: true, ca: old.cert })
    farm.attach(server, attach)
    const port = await listening(t, server)
    const first = await visit({ port, ...old, ...only })
    server.setSecureContext({ ...(await certificateFor('localhost')), ca: fresh.cert })
    await t.rejects(
      visit({ port, ...old, session: first.sessions[0], ...only } as VisitOptions),
      'its session is not resumed and its certificate is refused',
    )
    const other = await visit({ port, ...fresh, ...only })
    const again = await visit({
      port,
      ...fresh,
      session: other.sessions[0],
      ...only,
    } as VisitOptions)
    t.equal(again.reused, true, 'and the renewed server still shares its sessions')
  })
}

t.test('a certificate is the same, however it is given', async t => {
  const farm = await farmOfOne(t)
  const { key, cert } = await certificateFor('localhost')
  const client = await certificateFor('client')
  const bytes = (text: string) => new Uint8Array(Buffer.from(text))
  const inAPool = (text: string) => {
    const pool = Buffer.alloc(text.length + 20, ' ')
    pool.write(text, 10)
    return new DataView(pool.buffer, pool.byteOffset + 10, text.length)
  }
  const spellings: ((text: string) => unknown)[] = [
    text => text,
    text => Buffer.from(text),
    bytes,
    text => [text],
    text => [bytes(text)],
    text => text.replaceAll('\n', '\r\n'),
    inAPool,
  ]
  const ports: number[] = []
  for (const spell of spellings) {
    const options = { key, cert: spell(cert), ca: spell(client.cert), requestCert: true }
    ports.push(await attachedPort(t, farm, options))
  }
  const first = await visit({ port: ports[0] as number, ...client })
  let { sessions } = first
  for (const port of ports) {
    const again = await visit({ port, session: sessions[0], ...client } as VisitOptions)
    t.equal(again.reused, true)
    ;({ sessions } = again)
  }
})

t.test('the client certificate of one name opens no door to another', async t => {
  const [ann, bob] = [await certificateFor('ann'), await certificateFor('bob')]
  const pair = await certificateFor('localhost')
  const strict = { ...pair, ca: bob.cert }
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    for (const attached of [false, true]) {
      const server = await tellingServer({ requestCert: true, ca: ann.cert })
      if (attached) (await farmOfOne(t)).attach(server)
      server.addContext('b.test', strict)
      const port = await listening(t, server)
      const only = { port, minVersion: version, maxVersion: version } as const
      await t.rejects(visit({ ...only, ...ann, servername: 'b.test' }))
      const first = await visit({ ...only, ...ann, servername: 'a.test' })
      const session = first.sessions[0]
      const crossing = visit({
        ...only,
        ...ann,
        servername: 'b.test',
        session,
      } as VisitOptions)
      if (attached) await t.rejects(crossing, `${version}: closed on an attached server`)
      else
        t.equal((await crossing).reused, true, `${version}: open on a bare Node server`)
    }
  }
})
