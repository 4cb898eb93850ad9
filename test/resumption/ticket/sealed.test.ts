import { constants, createPrivateKey } from 'node:crypto'
import { connect } from 'node:net'
import { Duplex } from 'node:stream'
import { createSecureContext, type TLSSocket } from 'node:tls'
import t from 'tap'
import { systemClock } from '../../../lib/clock.ts'
import type { ClientHello } from '../../../lib/resumption/hello/client-hello.ts'
import { HelloReader } from '../../../lib/resumption/hello/hello-reader.ts'
import { withOpenKeys } from '../../../lib/resumption/server/open-keys.ts'
import { SealedSessions } from '../../../lib/resumption/server/sealed-sessions.ts'
import { EpochKey } from '../../../lib/resumption/ticket/epoch-key.ts'
import { memoryLog } from '../../fixtures/farm/stream-member.ts'
import {
  type SealedServer,
  sealedServers,
} from '../../fixtures/resumption/sealed-world.ts'
import {
  farmOfOne,
  only,
  resume,
  told,
  versions,
} from '../../fixtures/resumption/world.ts'
import { type VisitOptions, visit } from '../../fixtures/tls/client.ts'
import { captureHello } from '../../fixtures/tls/hello.ts'
import { certificateFor, listening, tellingServer } from '../../fixtures/tls/servers.ts'

const pair = await certificateFor('localhost')
const sealedPolicy = {
  mode: 'sealed',
  asksCertificate: false,
  hash: Buffer.alloc(16),
  certificateHash: undefined,
  clientRequired: false,
} as const

t.test('who may have sealed tickets, and who has a session in the table', async t => {
  const asking = { requestCert: true, rejectUnauthorized: false }
  const noTickets = { secureOptions: constants.SSL_OP_NO_TICKET }
  for (const [resumption, server, expected] of [
    ['auto', {}, 'ticket'],
    ['auto', asking, 'local'],
    ['auto', noTickets, 'local'],
    ['sealed', noTickets, 'ticket'],
    ['sealed', asking, 'ticket'],
    ['stateless', {}, 'ticket'],
    ['stateful', {}, 'local'],
    ['off', {}, false],
  ] as const) {
    for (const form of [resumption, () => resumption]) {
      const [a] = (await sealedServers(t, 1, {
        server,
        attach: { resumption: form },
      })) as [SealedServer]
      for (const version of versions) {
        const { sessions } = await visit({ port: a.port, ...only(version) })
        const again = await resume(a.port, sessions[0], only(version))
        const resumed =
          version === 'TLSv1.2' && expected === 'ticket' ? 'local' : expected
        t.match(told(again), { resumed }, `${resumption} ${version}`)
      }
    }
  }
})

t.test('an owner who begins to want no tickets has none from then on', async t => {
  const [a] = (await sealedServers(t, 1)) as [SealedServer]
  const secureOptions = constants.SSL_OP_NO_TICKET
  for (const [options, expected] of [
    [{ ...pair, secureOptions }, 'local'],
    [pair, 'ticket'],
  ] as const) {
    a.server.setSecureContext(options)
    const { sessions } = await visit({ port: a.port })
    t.match(told(await resume(a.port, sessions[0])), { resumed: expected })
  }
})

t.test('a key with a passphrase is opened once, not for each context', async t => {
  const plain = createPrivateKey(pair.key)
  const passphrase = 'open sesame'
  const terms = {
    type: 'pkcs8',
    format: 'pem',
    cipher: 'aes-256-cbc',
    passphrase,
  } as const
  const key = plain.export(terms) as string
  for (const server of [
    { cert: pair.cert, key, passphrase },
    { cert: pair.cert, key: [{ pem: key, passphrase }] },
  ]) {
    const [a] = (await sealedServers(t, 1, { server })) as [SealedServer]
    const many = await Promise.all(
      Array.from({ length: 20 }, () => visit({ port: a.port })),
    )
    for (const { sessions } of many) {
      t.match(told(await resume(a.port, sessions[0])), { resumed: 'ticket' })
    }
  }
  const opened = withOpenKeys({ key, passphrase, cert: pair.cert })
  t.match(String(opened.key), /^-----BEGIN PRIVATE KEY-----/)
  const wrong = { key, passphrase: 'wrong', cert: pair.cert }
  t.equal(withOpenKeys(wrong), wrong, 'the error is for TLS to tell')
})

t.test('`stateless` is told once that it is called `sealed`', async t => {
  const log = memoryLog()
  const [a] = (await sealedServers(t, 1, {
    attach: { resumption: () => 'stateless' },
    settings: { log },
  })) as [SealedServer]
  for (let n = 0; n < 3; n += 1) await visit({ port: a.port })
  const lines = log.lines.filter(({ message }) => message?.includes("'sealed'"))
  t.equal(lines.length, 1)
})

t.test('each name has its own mode', async t => {
  const modes: Record<string, 'stateful' | 'sealed' | 'off'> = {
    'a.test': 'stateful',
    'b.test': 'sealed',
    'c.test': 'off',
  }
  const [a, b] = (await sealedServers(t, 2, {
    attach: { resumption: name => modes[name] ?? 'off' },
  })) as [SealedServer, SealedServer]
  for (const [servername, resumed] of [
    ['a.test', 'local'],
    ['b.test', 'ticket'],
    ['c.test', false],
  ] as const) {
    const { sessions } = await visit({ port: a.port, servername })
    t.match(told(await resume(a.port, sessions[0], { servername })), { resumed })
    const there = resumed === 'ticket' ? 'ticket' : false
    const elsewhere = await resume(b.port, sessions.at(-1), { servername })
    t.match(told(elsewhere), { resumed: there }, 'the table of the other knows nothing')
  }
})

t.test('a session in the table resumes where tickets are sealed now', async t => {
  let resumption: 'stateful' | 'auto' = 'stateful'
  const [a] = (await sealedServers(t, 1, {
    attach: { resumption: () => resumption },
  })) as [SealedServer]
  const first = await visit({ port: a.port })
  resumption = 'auto'
  const again = await resume(a.port, first.sessions[0])
  t.match(told(again), { resumed: 'local', lineage: told(first).lineage })
  const sealed = await visit({ port: a.port })
  resumption = 'stateful'
  const back = await resume(a.port, sealed.sessions[0])
  t.match(told(back), { resumed: false, cause: 'unknown' })
})

t.test('a ticket resumes under the name and policy that it was made under', async t => {
  const [ann, bob] = [await certificateFor('ann'), await certificateFor('bob')]
  const servers = (await sealedServers(t, 2, {
    server: { requestCert: true, rejectUnauthorized: false, ca: ann.cert },
    attach: { resumption: 'sealed' },
    prepare: server => {
      server.addContext('b.test', { ...pair, ca: bob.cert })
      server.addContext('c.test', pair)
    },
  })) as [SealedServer, SealedServer]
  const [a, b] = servers
  // No client may send an empty server_name: without one there is none.
  const names = ['a.test', 'b.test', 'c.test', 'd.test', '']
  for (const from of names) {
    for (const to of names) {
      const { sessions } = await visit({ port: a.port, servername: from, ...ann })
      const back = await resume(b.port, sessions[0], { servername: to, ...ann })
      t.equal(back.reused, from === to, `${from || 'none'} -> ${to || 'none'}`)
      if (from === to) continue
      // One in 256 has the same tag, and TLS sees the difference.
      t.match(told(back), { resumed: false, cause: /policy|declined/ })
    }
  }
  const { sessions } = await visit({ port: a.port, servername: 'a.test' })
  const loud = await resume(b.port, sessions[0], { servername: 'A.TEST' })
  t.equal(loud.reused, true, 'names have no case')
})

t.test('new settings end the old tickets, and new ones resume', async t => {
  const [ann, bob] = [await certificateFor('ann'), await certificateFor('bob')]
  const [a] = (await sealedServers(t, 1, {
    server: { requestCert: true, rejectUnauthorized: false, ca: ann.cert },
    attach: { resumption: 'sealed' },
  })) as [SealedServer]
  const first = await visit({ port: a.port, ...ann })
  t.match(told(first), { authorized: true })
  a.server.setSecureContext({ ...pair, ca: bob.cert })
  const again = await resume(a.port, first.sessions[0], ann)
  t.match(told(again), { resumed: false, authorized: false, clientAuthorized: false })
  const mine = await visit({ port: a.port, ...bob })
  const good = await resume(a.port, mine.sessions[0], bob)
  t.match(told(good), { resumed: 'ticket', authorized: true, clientAuthorized: true })
})

t.test("the owner's own ticket keys come back when it is detached", async t => {
  const ticketKeys = Buffer.alloc(48, 9)
  const bare = await tellingServer({ ticketKeys })
  const bareAt = await listening(t, bare)
  const [a] = (await sealedServers(t, 1, { server: { ticketKeys } })) as [SealedServer]
  const before = (await visit({ port: bareAt })).sessions[0]
  t.equal((await resume(a.port, before)).reused, false)
  const during = await visit({ port: a.port })
  t.equal((await resume(a.port, during.sessions[0])).reused, true)
  a.resumption.detach(a.server)
  a.server.setSecureContext({ ...pair, sessionIdContext: undefined, ticketKeys })
  t.equal((await resume(a.port, during.sessions[1])).reused, false)
  const own = (await visit({ port: a.port })).sessions[0]
  t.equal((await resume(a.port, own)).reused, true)
})

t.test('each byte of name and IV tampered with: none resumes', async t => {
  const [a] = (await sealedServers(t, 1)) as [SealedServer]
  const first = await visit({ port: a.port })
  const session = first.sessions[0] as Buffer
  const at = ticketAt(session)
  const untouched = told(await resume(a.port, session))
  t.match(untouched, { resumed: 'ticket' })
  for (let n = 0; n < 48; n += 1) {
    const bad = Buffer.from(session)
    bad[at + n] = (bad[at + n] ?? 0) ^ (1 << (n % 8))
    const back = told(await resume(a.port, bad))
    t.match(back, { resumed: false }, `byte ${n}`)
    t.not(back.lineage, untouched.lineage)
  }
})

t.test('a ticket goes on under the newest key, and ends with the last', async t => {
  const keys = [new EpochKey(Buffer.alloc(32, 1))]
  const [a, b] = (await sealedServers(t, 2, { keys })) as [SealedServer, SealedServer]
  const first = await visit({ port: a.port })
  keys.unshift(new EpochKey(Buffer.alloc(32, 2)))
  const rotated = await resume(b.port, first.sessions[0])
  t.match(told(rotated), { resumed: 'ticket', lineage: told(first).lineage })
  keys.pop()?.destroy()
  const late = await resume(a.port, first.sessions[1])
  t.match(told(late), { resumed: false, cause: 'unknown' })
  const on = await resume(a.port, rotated.sessions[0])
  const { lineage, originalAt } = told(first)
  t.match(told(on), { resumed: 'ticket', lineage, originalAt })
})

t.test('who does not seal yet opens what others seal, and renews it', async t => {
  const key = new EpochKey(Buffer.alloc(32, 7))
  const known = { prepare() {}, sealing: () => undefined, opening: () => [key] }
  const [ahead] = (await sealedServers(t, 1, { keys: [key] })) as [SealedServer]
  const late = { settings: { ticketKeys: known } }
  const [behind] = (await sealedServers(t, 1, late)) as [SealedServer]
  const first = await visit({ port: ahead.port })
  const { lineage } = told(first)
  const again = await resume(behind.port, first.sessions[0])
  t.match(told(again), { resumed: 'ticket', lineage })
  const back = await resume(ahead.port, again.sessions[0])
  t.match(told(back), { resumed: 'ticket', lineage })
  // All else has a session in its table.
  const own = await visit({ port: behind.port })
  t.match(told(await resume(behind.port, own.sessions[0])), { resumed: 'local' })
  const [, other] = first.sessions
  const elsewhere = await resume(behind.port, other, { servername: 'b.test' })
  t.match(told(elsewhere), { resumed: false, cause: 'policy' })
})

t.test('without a key that seals there is a session in the table', async t => {
  const keys: EpochKey[] = []
  const [a] = (await sealedServers(t, 1, { keys })) as [SealedServer]
  const first = await visit({ port: a.port })
  keys.push(new EpochKey(Buffer.alloc(32, 1)))
  t.match(told(await resume(a.port, first.sessions[0])), { resumed: 'local' })
  const sealed = await visit({ port: a.port })
  t.match(told(await resume(a.port, sealed.sessions[0])), { resumed: 'ticket' })
})

t.test('who gets no context has a session in the table', async t => {
  const key = new EpochKey(Buffer.alloc(32, 1))
  const met: string[] = []
  let speaks13 = true
  // Beforehand: it is not their making that is to be the limit here.
  const contexts = Array.from({ length: 1_000 }, () => createSecureContext())
  const sealed = new SealedSessions(
    {
      keys: { sealing: () => key, opening: () => [key] },
      clock: systemClock,
      log: memoryLog(),
      lineageTimeout: 3600_000,
      isCut: () => false,
      isRevoked: () => false,
      isTicketRevoked: () => false,
      knowsRevocations: () => true,
      limitCounters: { met: (limit: string) => met.push(limit) } as never,
    },
    {
      get speaks13() {
        return speaks13
      },
      sessionTimeout: 3600_000,
    },
    () => contexts.pop() ?? createSecureContext(),
  )
  const read = new HelloReader().push(await captureHello(only('TLSv1.3')))
  if (typeof read === 'string') throw new Error(read)
  const identities = (count: number) => ({
    ...read,
    identities: Array.from({ length: count }, () => Buffer.alloc(200)),
  })
  const socket = () => new Duplex()
  const offered = (hello: ClientHello) =>
    sealed.for(socket(), hello, sealedPolicy, 'unknown')
  t.ok(offered(identities(8)))
  t.equal(
    offered(identities(9)),
    undefined,
    'no client has so many tickets of one server',
  )
  t.equal(offered({ ...read, supports13: false }), undefined, 'nor TLS 1.2')
  t.equal(
    sealed.for(socket(), read, { ...sealedPolicy, mode: 'stateful' }, 'unknown'),
    undefined,
  )
  speaks13 = false
  t.equal(offered(read), undefined, 'nor where the server does not speak TLS 1.3')
  speaks13 = true
  for (let n = 1; n < 1_000; n += 1) offered(read)
  t.same(met, [])
  t.equal(offered(read), undefined, 'nor when a thousand are under way')
  t.same(met, ['sealedContexts'])
  sealed.clear()
  t.ok(offered(read), 'with new settings there are others')
})

t.test('a client that takes no tickets tells nothing of the hook', async t => {
  const key = new EpochKey(Buffer.alloc(32, 1))
  const terms = {
    keys: { sealing: () => key, opening: () => [key] },
    clock: systemClock,
    log: memoryLog(),
    lineageTimeout: 3600_000,
    isCut: () => false,
    isRevoked: () => false,
    isTicketRevoked: () => false,
    knowsRevocations: () => true,
  }
  const read = new HelloReader().push(await captureHello(only('TLSv1.3')))
  if (typeof read === 'string') throw new Error(read)
  const socket = {} as TLSSocket
  for (const allowsPskDhe of [false, true]) {
    const server = { speaks13: true, sessionTimeout: 3600_000 }
    const sealed = new SealedSessions(terms, server, () => createSecureContext())
    const come = () => {
      const hello = { ...read, allowsPskDhe }
      const mechanism = sealed.for(new Duplex(), hello, sealedPolicy, 'none-offered')
      mechanism?.begin({ acceptedAt: 0, beginChain() {} } as never, socket, 'TLSv1.3')
      return mechanism
    }
    for (let n = 0; n < 8; n += 1) t.ok(come())
    // To the others OpenSSL makes some: that the hook was never called means that it is dead.
    t.equal(come() === undefined, allowsPskDhe)
  }
})

t.test('certificates are compressed as they are without us', async t => {
  const all = ['zlib', 'brotli', 'zstd']
  const compressing = { certificateCompression: all }
  // In bytes. Where Node compresses none there is nothing to save.
  const saved = async (portOf: (server: object) => Promise<number>) =>
    (await received(await portOf({}), compressing)) -
    (await received(await portOf(compressing), compressing))
  const bare = await saved(async server => listening(t, await tellingServer(server)))
  const ours = await saved(async server => {
    const [a] = (await sealedServers(t, 1, { server })) as [SealedServer]
    return a.port
  })
  // A signature may be some bytes shorter than the next.
  t.ok(Math.abs(bare - ours) < 20, `${bare} and ${ours}`)
})

t.test('where Node lacks the hook, or it is dead, sessions are in the table', async t => {
  const context = Object.getPrototypeOf(createSecureContext().context)
  const own = Object.getOwnPropertyDescriptor(context, 'enableTicketKeyCallback')
  t.teardown(() => Object.defineProperty(context, 'enableTicketKeyCallback', own ?? {}))
  for (const value of [undefined, () => {}]) {
    const log = memoryLog()
    const farm = await farmOfOne(t, { log })
    const server = await tellingServer()
    Object.defineProperty(context, 'enableTicketKeyCallback', {
      configurable: true,
      value,
    })
    farm.attach(server)
    const port = await listening(t, server)
    for (let n = 0; n < 8; n += 1) await visit({ port })
    const { sessions } = await visit({ port })
    t.match(told(await resume(port, sessions[0])), { resumed: 'local' })
    const lines = log.lines.filter(({ message }) => message?.includes('missing or dead'))
    t.equal(lines.length, 1)
    t.same(farm.stats().limits, {})
    Object.defineProperty(context, 'enableTicketKeyCallback', own ?? {})
  }
})

/** The bytes of a server's flight. */
async function received(port: number, client: object): Promise<number> {
  const raw = connect(port, '127.0.0.1')
  await visit({ port, socket: raw, handshakeOnly: true, ...client } as VisitOptions)
  return raw.bytesRead
}

/** Where the ticket is in the session of OpenSSL's client: [10], an OCTET STRING. */
function ticketAt(session: Buffer): number {
  const head = (at: number) => {
    const first = session.readUInt8(at + 1)
    const long = first & 0x80 ? first & 0x7f : 0
    const length = long ? session.readUIntBE(at + 2, long) : first
    return { start: at + 2 + long, end: at + 2 + long + length }
  }
  for (let at = head(0).start; at < session.length; at = head(at).end) {
    if (session[at] === 0xaa) return head(head(at).start).start
  }
  throw new Error('no ticket')
}
