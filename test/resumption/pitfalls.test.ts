import { execFile } from 'node:child_process'
import { createHmac, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:https'
import { connect as tcpConnect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { systemClock } from '../../lib/clock.ts'
import { tables } from '../../lib/record/key.ts'
import { decodeSessionRecord } from '../../lib/resumption/session/session-record.ts'
import { collectedMemory } from '../fixtures/collected-memory.ts'
import { cacheOf } from '../fixtures/farm/insides.ts'
import { memoryLog } from '../fixtures/farm/stream-member.ts'
import { startRelay } from '../fixtures/farm/stream-relay.ts'
import {
  masterKeyOf,
  memberServer,
  memberServers,
  only,
  resume,
  spellings,
  told,
  versions,
} from '../fixtures/resumption/world.ts'
import { watchFiles } from '../fixtures/resumption/written-files.ts'
import { authority, clientOf, p256, rsa } from '../fixtures/tls/certificates.ts'
import { visit } from '../fixtures/tls/client.ts'
import { captureHello } from '../fixtures/tls/hello.ts'
import { listening } from '../fixtures/tls/servers.ts'

/*
 * Twenty-two ways in which shared TLS sessions went wrong elsewhere, and where each is tested.
 *
 *  1  a certificate good for one name opens another    crossing.test.ts, sealed.test.ts
 *  2  `authorized` turns true on resumption            attach: "a client without
 *                                                      certificate stays unauthorized"
 *  3  a session resumes under another server name      attach, sealed: "does not
 *                                                      resume under another server name"
 *  4  the key is zero                                  here
 *  5  a static IV, or no MAC                           wire/seal.test.ts, ticket-ring.test.ts:
 *                                                      "garbage on the board harms nobody"
 *  6  secrets in clear                                 here; flow/secrets.test.ts; auth, form:
 *                                                      "no password is in the table or the log"
 *  7  a ticket key lives on                            ticket-ring.test.ts: "a key dies in
 *                                                      time", "closing zeroes every key"
 *  8  a key is used before its peers have it           ticket-ring.test.ts: "the next key is
 *                                                      everywhere"; ticket-month.test.ts
 *  9  endless renewal                                  attach: "no session resumes past its
 *                                                      time"; sealed-lifetimes.test.ts; the
 *                                                      client's certificate: here
 * 10  what is revoked resumes                          revocation, lifetimes; partitions:
 *                                                      pitfalls-farm, flow/partition.test.ts
 * 11  settings change in between                       attach: "new client authorities end the
 *                                                      old sessions"; lifetimes; farm: here
 * 12  every random id asks the farm                    here
 * 13  newSession fills the memory                      here; mint-limit.test.ts
 * 14  two caches at once leak                          here
 * 15  a slow store makes slow handshakes               pitfalls-farm.test.ts
 * 16  an error ends the connection                     lifetimes.test.ts: "the store fails"
 * 17  the wrong session for an id                      here
 * 18  extended master secret differs                   here
 * 19  a hello in pieces                                client-hello.test.ts, flow/farm.test.ts
 * 20  HelloRetryRequest, and a change of version       attach: "a hello that names a session and
 *                                                      does not resume it"; here
 * 21  a session of one backend offered to another      backend.test.ts: a pool for each origin
 * 22  0-RTT is replayed                                here
 */

t.test('4: no ticket is made under a key of zeros', async t => {
  const zeros = Buffer.alloc(16)
  /** RFC 5077, 4: name, IV, state, MAC. */
  const isUnderZeros = (session: Buffer) => {
    const ticket = ticketOf(session)
    const mac = createHmac('sha256', zeros).update(ticket.subarray(0, -32)).digest()
    return ticket.subarray(0, 16).equals(zeros) || mac.equals(ticket.subarray(-32))
  }
  for (const pair of [await p256('localhost'), await rsa('localhost')]) {
    const careless = createServer({ ...pair, ticketKeys: Buffer.alloc(48) }, answer)
    const open = await listening(t, careless)
    const { port } = await memberServer(t, {
      server: pair,
      attach: { resumption: 'sealed' },
    })
    for (const version of versions) {
      const { sessions } = await visit({ port: open, ...only(version) })
      t.ok(sessions.some(isUnderZeros), 'the test can tell')
      // The very first connection of a member that has just begun.
      const first = await visit({ port, ...only(version) })
      t.ok(first.sessions.length > 0)
      t.notOk(first.sessions.some(isUnderZeros), version)
    }
  }
})

t.test('6: nothing secret is on the wire, in a log, or in a file', async t => {
  const written = watchFiles(t)
  const log = memoryLog()
  const [toA, toB] = [await startRelay(t), await startRelay(t)]
  const secret = randomBytes(32)
  const listen = { host: '127.0.0.1', port: 0 }
  const options = { secret, listen, log, mintBudget: 1000 }
  const a = await memberServer(t, { farm: { ...options, advertise: toA.address } })
  toA.lead(portOf(a.farm.address))
  // What dials this member waits in the relay until it is known where it listens.
  const b = await memberServer(t, {
    farm: { ...options, advertise: toB.address, members: [toA.address] },
  })
  toB.lead(portOf(b.farm.address))
  const secrets: Buffer[] = [secret]
  for (const version of versions) {
    for (const { farm, port } of [a, b]) {
      const first = await visit({ port, ...only(version) })
      const id = Buffer.from(told(first).lineage ?? '', 'hex')
      const value = cacheOf(farm).getLocal(tables.session, id)?.value ?? Buffer.alloc(0)
      const { session = Buffer.alloc(0) } = decodeSessionRecord(value) ?? {}
      const key = masterKeyOf(session, id)
      t.ok(key.length >= 32)
      secrets.push(id, key)
      const other = farm === a.farm ? b : a
      t.equal((await resume(other.port, first.sessions[0], only(version))).reused, true)
      await farm.revoke({ lineage: id })
      await resume(other.port, first.sessions[0], only(version))
    }
  }
  await b.farm.close()
  const wire = Buffer.concat([...toA.captured, ...toB.captured])
  t.ok(wire.length > 4000, `${wire.length} bytes passed`)
  const said = JSON.stringify(log.lines)
  t.ok(log.lines.some(({ level }) => level === 'debug'))
  for (const [n, bytes] of secrets.entries()) {
    const seen = spellings(bytes).filter(
      text => wire.includes(text) || said.includes(text),
    )
    t.same([wire.indexOf(bytes), seen], [-1, []], `secret ${n}`)
  }
  t.same(written, [], 'no file was opened to be written')
})

t.test("9: no chain outlives the client's certificate", async t => {
  // To this farm's clock the certificates, good for a year, have run out.
  const late = 370 * 24 * 3600_000
  const clock = { ...systemClock, now: () => Date.now() + late }
  const client = await clientOf('CA')
  const server = { requestCert: true, ca: (await authority('CA')).cert }
  for (const resumption of ['stateful', 'sealed'] as const) {
    const options = { server, attach: { resumption }, farm: { clock } }
    const { port, farm } = await memberServer(t, options)
    const inTime = await memberServer(t, { ...options, farm: {} })
    for (const version of versions) {
      const good = await visit({ port: inTime.port, ...client, ...only(version) })
      t.equal((await resume(inTime.port, good.sessions[0], only(version))).reused, true)
      const first = await visit({ port, ...client, ...only(version) })
      const again = resume(port, first.sessions[0], { ...client, ...only(version) })
      const { reused } = await again.catch(() => ({ reused: false }))
      t.equal(reused, false, `${resumption} ${version}`)
    }
    t.equal(farm.stats().handshakes.resumed, 0)
  }
})

t.test('11: what changed on one member is not undone by another', async t => {
  const [mine, ca] = [await clientOf('CA of ann'), (await authority('CA of ann')).cert]
  const members = await memberServers(t, 2, { server: { requestCert: true, ca } })
  const [a, b] = members as [(typeof members)[0], (typeof members)[0]]
  const pair = await p256('localhost')
  for (const version of versions) {
    a.server.setSecureContext({ ...pair, ca })
    b.server.setSecureContext({ ...pair, ca })
    const first = await visit({ port: a.port, ...mine, ...only(version) })
    const offer = (port: number) =>
      resume(port, first.sessions.at(-1), { ...mine, ...only(version) })
    t.equal(
      (await resume(b.port, first.sessions[0], { ...mine, ...only(version) })).reused,
      true,
    )
    b.server.setSecureContext({ ...pair, ca: (await authority('CA of bob')).cert })
    await t.rejects(offer(b.port), `${version}: refused where it was changed`)
    t.equal((await offer(a.port)).reused, true, 'and only there')
  }
})

t.test('12: ids that we did not make cost the farm nothing, or little', async t => {
  const members = await memberServers(t, 2, {
    farm: { lookupBudget: 20 },
    attach: { resumption: 'stateful' },
  })
  const [a] = members as [(typeof members)[0]]
  const asked = () => Number(a.farm.stats().transport['fetches'])
  const hello = await captureHello(only('TLSv1.3'))
  const before = asked()
  for (let n = 0; n < 300; n += 1) {
    randomBytes(32).copy(hello, sessionIdAt)
    await sayHello(a.port, hello)
  }
  t.equal(asked(), before, 'none for the noise of TLS 1.3')
  t.match(a.farm.stats().handshakes, { full: 0, resumed: 0 })

  const { sessions } = await visit({ port: a.port, ...only('TLSv1.3') })
  const offering = await captureHello({
    rejectUnauthorized: false,
    session: sessions[0],
    ...only('TLSv1.3'),
  } as object)
  const ticket = ticketOf(sessions[0] ?? Buffer.alloc(0))
  const at = offering.indexOf(ticket)
  t.equal(ticket.length, 32)
  t.ok(at > 0)
  for (let n = 0; n < 100; n += 1) {
    randomBytes(32).copy(offering, at)
    await sayHello(a.port, offering)
  }
  t.equal(asked(), before + 100, 'one question for an identity that could be ours')
  // As fast as no socket can: what is beyond the bucket is a miss at once.
  const began = performance.now()
  const flood = Array.from({ length: 20_000 }, () =>
    cacheOf(a.farm).get(tables.session, randomBytes(32), 20),
  )
  t.ok((await Promise.all(flood)).every(found => found === undefined))
  const refilled = 8_000 * ((performance.now() - began) / 1000)
  t.ok(asked() - before - 100 <= 4_000 + refilled, `${asked()} of 20,000 asked`)
  t.ok(Number(a.farm.stats().transport['fetchesLimited']) > 1_000)
})

t.test('13: a flood of full handshakes stays within the table', async t => {
  // Node keeps no session of more than 10 KiB.
  const names = Array.from({ length: 50 }, (_, n) => `${n}.${'x'.repeat(150)}.test`)
  const large = await p256('large', ...names)
  const memory = 4 * 1024 * 1024
  const { farm, port } = await memberServer(t, {
    // Without the limit that keeps one address from filling the table.
    farm: { memory, mintLimit: 0 },
    server: { requestCert: true, rejectUnauthorized: false },
  })
  for (let n = 0; n < 330; n += 1) {
    const version = n % 10 === 0 ? 'TLSv1.2' : 'TLSv1.3'
    await visit({ port, ...large, ...only(version), handshakeOnly: true })
    if (farm.stats().table.bytes > memory) t.fail('over its limit')
  }
  const { bytes, maxBytes, evicted } = farm.stats().table
  t.ok(bytes <= maxBytes && maxBytes <= memory)
  t.ok(evicted > 20, `${evicted} evicted`)
})

t.test('14: resumptions leave nothing behind', async t => {
  const { farm, port } = await memberServer(t, { farm: { memory: 4 * 1024 * 1024 } })
  const chains = await Promise.all(
    versions.map(async version => {
      const { sessions } = await visit({ port, ...only(version) })
      return { version, session: sessions[0] }
    }),
  )
  const round = async (count: number) => {
    for (let n = 0; n < count; n += 1) {
      for (const chain of chains) {
        const again = await resume(port, chain.session, {
          ...only(chain.version),
          handshakeOnly: true,
        })
        if (!again.reused) t.fail(`${chain.version} was not resumed`)
        chain.session = again.sessions[0] ?? chain.session
      }
    }
    return collectedMemory().rss
  }
  await round(100)
  const before = await round(100)
  const grown = (await round(500)) - before
  t.ok(grown < 32 * 1024 * 1024, `${Math.round(grown / 1024)} KiB in 1000 resumptions`)
  t.equal(farm.stats().handshakes.resumed, 1400)
})

for (const version of versions) {
  t.test(`17: ${version}: the wrong session for an id ends no connection`, async t => {
    const { farm, port } = await memberServer(t, { attach: { resumption: 'stateful' } })
    const [one, two] = [
      await visit({ port, ...only(version) }),
      await visit({ port, ...only(version) }),
    ]
    const ids = [one, two].map(visited => Buffer.from(told(visited).lineage ?? '', 'hex'))
    const values = ids.map(
      id => cacheOf(farm).getLocal(tables.session, id)?.value ?? Buffer.alloc(0),
    )
    const put = (id: Buffer | undefined, value: Buffer | undefined) =>
      cacheOf(farm).add(tables.session, id as Buffer, value as Buffer, { ttl: 60_000 })
    await put(ids[0], values[1])
    await put(ids[1], values[0])
    for (const visited of [one, two]) {
      const again = await resume(port, visited.sessions[0], only(version))
      t.match(told(again), { resumed: false, cause: 'corrupt' })
    }
    for (const value of [Buffer.alloc(1000), values[0]?.subarray(0, -1), Buffer.of(1)]) {
      await put(ids[0], value)
      const again = await resume(port, one.sessions[0], only(version))
      t.match(told(again), { resumed: false, cause: 'corrupt' })
    }
    await put(ids[0], values[0])
    t.equal((await resume(port, one.sessions[0], only(version))).reused, true)
  })
}

t.test('18: a client that changes its mind on extended master secret', async t => {
  const withIt = only('TLSv1.2')
  const without = { secureOptions: 0x1, ...withIt }
  const { farm, port } = await memberServer(t)
  const plain = await visit({ port, ...without })
  const gained = await resume(port, plain.sessions[0], withIt)
  t.match(told(gained), { resumed: false, cause: 'policy' }, 'is served when it gains it')
  t.equal((await resume(port, plain.sessions[0], without)).reused, true)
  t.equal(farm.stats().handshakes.failed, 0)
  const minted = await visit({ port, ...withIt })
  const dropping = resume(port, minted.sessions[0], without)
  await t.rejects(dropping, { code: /ALERT/ }, 'and hears of it when it drops it')
  t.equal((await resume(port, minted.sessions[0], withIt)).reused, true)
  t.equal(farm.stats().handshakes.failed, 1)
})

t.test('20: a session of one version is nothing in another', async t => {
  const { port, farm, server } = await memberServer(t)
  const modern = await visit({ port, ...only('TLSv1.3') })
  const old = await visit({ port, ...only('TLSv1.2') })
  const [id] = [Buffer.from(told(modern).lineage ?? '', 'hex')]
  // The id of a TLS 1.3 session as a session ID of TLS 1.2.
  const hello = await captureHello({
    rejectUnauthorized: false,
    session: old.sessions[0],
    ...only('TLSv1.2'),
  } as object)
  id.copy(hello, sessionIdAt)
  const reply = await sayHello(port, hello)
  t.equal(reply[0], 22)
  t.notOk(reply.includes(id), 'not taken up')
  // And a server that has given up TLS 1.3 since.
  server.setSecureContext({ ...(await p256('localhost')), maxVersion: 'TLSv1.2' })
  const both = { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.3' } as const
  t.equal((await resume(port, modern.sessions[0], both)).reused, false)
  t.equal(farm.stats().handshakes.resumed, 0)
})

t.test('22: no session allows early data', async t => {
  const folder = await mkdtemp(join(tmpdir(), 'handfast-'))
  t.teardown(() => rm(folder, { recursive: true }))
  const [session, early] = [join(folder, 'session.pem'), join(folder, 'early')]
  await writeFile(early, 'GET /early HTTP/1.0\r\n\r\n')
  for (const resumption of ['stateful', 'sealed'] as const) {
    const { port } = await memberServer(t, { attach: { resumption } })
    const client = async (...more: string[]) => {
      const command = ['s_client', '-connect', `127.0.0.1:${port}`, '-tls1_3', '-ign_eof']
      const running = promisify(execFile)('openssl', [...command, ...more])
      running.child.stdin?.end('GET / HTTP/1.0\r\n\r\n')
      return (await running).stdout
    }
    const first = await client('-sess_out', session)
    const allowed = [...first.matchAll(/Max Early Data: (\d+)/g)].map(
      ([, bytes]) => bytes,
    )
    t.same(allowed, ['0', '0'], resumption)
    const again = await client('-sess_in', session, '-early_data', early)
    t.match(again, /^Reused, /m)
    t.match(again, /Early data was (not sent|rejected)/)
  }
})

/** Of the first record: header, message header, version, random, length. */
const sessionIdAt = 5 + 4 + 2 + 32 + 1

function answer(_request: object, response: { end(text: string): unknown }): void {
  response.end('ok')
}

function portOf(address: string | undefined): number {
  return Number(address?.split(':').at(-1))
}

/** Sends a hello and hangs up when the server has answered it. */
async function sayHello(port: number, hello: Buffer): Promise<Buffer> {
  const socket = tcpConnect({ port, host: '127.0.0.1', noDelay: true })
  socket.on('error', () => {})
  socket.write(hello)
  const [reply] = (await once(socket, 'data')) as [Buffer]
  socket.destroy()
  return reply
}

/** The ticket in a client's session: [10] of OpenSSL's SSL_SESSION. */
function ticketOf(session: Buffer): Buffer {
  for (let at = 4; at < session.length; ) {
    const long = session.readUInt8(at + 1) & 0x80 ? session.readUInt8(at + 1) & 0x7f : 0
    const start = at + 2 + long
    const length = long ? session.readUIntBE(at + 2, long) : session.readUInt8(at + 1)
    if (session[at] === 0xaa) {
      const inner = session.subarray(start, start + length)
      return inner.subarray(
        inner.readUInt8(1) & 0x80 ? 2 + (inner.readUInt8(1) & 0x7f) : 2,
      )
    }
    at = start + length
  }
  return Buffer.alloc(0)
}
