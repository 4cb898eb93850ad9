import { once } from 'node:events'
import { type ConnectionOptions, connect } from 'node:tls'
import t from 'tap'
import { generateSecret } from '../../../lib/farm/secret.ts'
import { createFarm } from '../../../lib/member/create-farm.ts'
import { tables } from '../../../lib/record/key.ts'
import { certificateDigest } from '../../../lib/resumption/session/session-record.ts'
import { cacheOf } from '../../fixtures/farm/insides.ts'
import {
  type MemberServer,
  memberServers,
  resume,
  told,
} from '../../fixtures/resumption/world.ts'
import { type Visit, visit } from '../../fixtures/tls/client.ts'
import { certificateFor, listening, tellingServer } from '../../fixtures/tls/servers.ts'
import { until } from '../../fixtures/until.ts'

const lineageOf = (visited: Visit): Buffer =>
  Buffer.from(told(visited).lineage ?? '', 'hex')
t.test('revoked on A, a session is refused on B: 1000 times under load', async t => {
  const [a, b] = (await memberServers(t, 2)) as [MemberServer, MemberServer]
  let loading = true
  const load = (async () => {
    while (loading) await visit({ port: b.port })
  })()
  let slowest = 0
  let late = 0
  const wrong: string[] = []
  for (let n = 0; n < 1000; n += 1) {
    const maxVersion = n % 2 === 0 ? 'TLSv1.2' : 'TLSv1.3'
    const minted = await visit({ port: a.port, maxVersion })
    const began = performance.now()
    const { everywhere } = await a.farm.revoke({ lineage: lineageOf(minted) })
    slowest = Math.max(slowest, performance.now() - began)
    if (!everywhere) {
      late += 1
      await until(() => b.farm.revocations().length === n + 1)
    }
    const again = await resume(b.port, minted.sessions[0], { maxVersion })
    if (again.reused || told(again).cause !== 'revoked') wrong.push(`${n}: ${again.body}`)
  }
  loading = false
  await load
  t.same(wrong, [])
  t.comment(`${late} came later than anybody waits, slowest ${Math.round(slowest)} ms`)
  // How many depends on what else this machine does; none at all would be another matter.
  t.ok(late < 1000, 'others were acknowledged')
})

t.test('a late replica brings no revoked session back', async t => {
  const [a, b] = (await memberServers(t, 2)) as [MemberServer, MemberServer]
  const minted = await visit({ port: a.port, maxVersion: 'TLSv1.2' })
  const id = lineageOf(minted)
  const value = cacheOf(a.farm).getLocal(tables.session, id)?.value as Buffer
  await a.farm.revoke({ session: id })
  t.equal(cacheOf(b.farm).getLocal(tables.session, id), undefined)
  // Even written anew it does not resume, anywhere.
  await cacheOf(b.farm).add(tables.session, id, value, { ttl: 60_000, level: 'all' })
  for (const { port } of [a, b]) {
    const again = await resume(port, minted.sessions[0], { maxVersion: 'TLSv1.2' })
    t.match(told(again), { resumed: false, cause: 'revoked' })
  }
})

t.test('each target ends what it names and nothing else', async t => {
  const client = await certificateFor('client')
  const other = await certificateFor('other client')
  const options = {
    requestCert: true,
    rejectUnauthorized: false,
    ca: [client.cert, other.cert],
  }
  const { X509Certificate } = await import('node:crypto')
  const certificate = certificateDigest(new X509Certificate(client.cert).raw)
  const cases = [
    {
      target: { serverName: 'A.test' },
      ends: { servername: 'a.test' },
      keeps: { servername: 'b.test' },
    },
    { target: { certificate }, ends: client, keeps: other },
    { target: { all: true }, ends: {}, keeps: undefined },
  ] as const
  for (const { target, ends, keeps } of cases) {
    const [a, b] = (await memberServers(t, 2, { server: options })) as [
      MemberServer,
      MemberServer,
    ]
    const name = String(Object.keys(target)[0])
    const ended = await visit({ port: a.port, ...ends })
    const kept = await visit({ port: a.port, ...keeps })
    await a.farm.revoke(target)
    t.match(
      told(await resume(b.port, ended.sessions[0], ends)),
      { cause: 'revoked' },
      name,
    )
    if (keeps !== undefined) {
      t.equal((await resume(b.port, kept.sessions[0], keeps)).reused, true, name)
    }
    const later = await visit({ port: b.port, ...ends })
    t.equal(
      (await resume(a.port, later.sessions[0], ends)).reused,
      true,
      `${name}: later ones`,
    )
  }
})

t.test('open connections under a revoked lineage are closed on every member', async t => {
  const [a, b] = (await memberServers(t, 2)) as [MemberServer, MemberServer]
  const minted = await visit({ port: a.port })
  const bystander = await visit({ port: a.port })
  const open = async (session: Buffer | undefined) => {
    const options = { port: b.port, host: '127.0.0.1', servername: 'localhost', session }
    const socket = connect({ ...options, rejectUnauthorized: false } as ConnectionOptions)
    socket.on('error', () => {})
    await once(socket, 'secureConnect')
    t.teardown(() => socket.destroy())
    // The server knows the connection when it has answered on it.
    socket.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
    await once(socket, 'data')
    return socket
  }
  const [doomed, spared] = [
    await open(minted.sessions[0]),
    await open(bystander.sessions[0]),
  ]
  const closed = once(doomed, 'close')
  await a.farm.revoke({ lineage: lineageOf(minted) })
  await closed
  t.equal(spared.destroyed, false)
  await a.farm.revoke({ lineage: lineageOf(bystander) }, { close: false })
  await a.farm.revoke({ all: true })
  spared.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
  await once(spared, 'data')
  t.equal(spared.destroyed, false, 'unless it was asked not to')
})

t.test('a member that comes later knows what was revoked before it serves', async t => {
  const secret = generateSecret()
  const listen = { host: '127.0.0.1', port: 0 }
  const a = await createFarm({ secret, listen })
  t.teardown(() => a.close())
  const server = await tellingServer()
  a.attach(server)
  const minted = await visit({ port: await listening(t, server) })
  await a.revoke({ lineage: lineageOf(minted) })
  const b = await createFarm({ secret, listen, members: [a.address ?? ''] })
  t.teardown(() => b.close())
  const second = await tellingServer()
  b.attach(second)
  const again = await resume(await listening(t, second), minted.sessions[0])
  t.match(told(again), { resumed: false, cause: 'revoked' })
})
