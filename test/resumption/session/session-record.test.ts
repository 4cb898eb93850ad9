import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:tls'
import t from 'tap'
import type { ClientHello } from '../../../lib/resumption/hello/client-hello.ts'
import { offerOf, refusal, tls12, tls13 } from '../../../lib/resumption/session/offer.ts'
import { isSessionOf, readSession } from '../../../lib/resumption/session/session-der.ts'
import {
  decodeSessionRecord,
  encodeSessionRecord,
  type SessionRecord,
} from '../../../lib/resumption/session/session-record.ts'
import { seededRandom, testSeed } from '../../fixtures/random.ts'
import { visit } from '../../fixtures/tls/client.ts'
import { certificateFor } from '../../fixtures/tls/servers.ts'

const hour = 3600_000
const id = Buffer.alloc(32, 7)

const record: SessionRecord = {
  protocol: tls12,
  cipher: 0xc02b,
  originalAt: 1_000_000,
  mintedAt: 2_000_000,
  certificateNotAfter: 0,
  policy: Buffer.alloc(16, 1),
  certificate: Buffer.alloc(16),
  clientAuthorized: true,
  extendedMasterSecret: true,
  lineage: Buffer.alloc(32, 2),
  serverName: 'a.test',
  alpn: 'h2',
  session: Buffer.from('session bytes'),
}

const hello: ClientHello = {
  sessionId: id,
  serverName: 'a.test',
  sentName: 'a.test',
  supports13: false,
  identities: [],
  allowsPskDhe: false,
  ticket: undefined,
  extendedMasterSecret: true,
}

t.test('the layout is what its drawing says', async t => {
  const bytes = encodeSessionRecord(record)
  t.equal(bytes.length, 56 + 33 + 7 + 3 + 13)
  t.equal(
    bytes.toString('hex', 0, 24),
    '01030303c02b0000000f42400000001e8480000000000000',
  )
  t.same(decodeSessionRecord(bytes), record)
})

t.test('bytes that are not of this layout are no record', async t => {
  const bytes = encodeSessionRecord(record)
  for (let end = 0; end < bytes.length - record.session.length; end += 1) {
    t.equal(decodeSessionRecord(bytes.subarray(0, end)), undefined)
  }
  bytes[0] = 2
  t.equal(decodeSessionRecord(bytes), undefined)
})

t.test("what is read from OpenSSL's own session", async t => {
  const pair = await certificateFor('localhost')
  const client = await certificateFor('client')
  const sessions: Buffer[] = []
  const server = createServer({
    ...pair,
    requestCert: true,
    ca: client.cert,
    rejectUnauthorized: false,
    ALPNProtocols: ['x-test'],
  })
  server.on('newSession', (_id, session, done) => {
    sessions.push(session)
    done()
  })
  server.on('secureConnection', socket => {
    socket.on('error', () => {})
    socket.end('HTTP/1.1 200 OK\r\n\r\nok')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  const facts = async (options: object) => {
    sessions.length = 0
    await visit({ port, handshakeOnly: true, ...options })
    return readSession(sessions[0] ?? Buffer.alloc(0))
  }
  const common = { secureOptions: 0x4000, maxVersion: 'TLSv1.2' }
  t.match(await facts({ ...common, ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256' }), {
    protocol: tls12,
    cipher: 0xc02b,
    peerCertificate: undefined,
    peerVerified: false,
    extendedMasterSecret: true,
    alpn: '',
  })
  const known = await facts({ ...client, minVersion: 'TLSv1.3' })
  t.match(known, { protocol: tls13, peerVerified: true })
  t.match(await facts({ ...pair, minVersion: 'TLSv1.3' }), { peerVerified: false })
  const { X509Certificate } = await import('node:crypto')
  const seen = new X509Certificate(known?.peerCertificate ?? '')
  t.equal(seen.fingerprint256, new X509Certificate(client.cert).fingerprint256)

  const seed = testSeed()
  t.comment(`SEED=${seed}`)
  const random = seededRandom(seed)
  const whole = sessions[0] ?? Buffer.alloc(0)
  const own = readSession(whole)?.id ?? Buffer.alloc(0)
  t.ok(isSessionOf(whole, own), 'it names its id')
  t.notOk(isSessionOf(whole, Buffer.alloc(own.length)), 'and no other')
  t.notOk(isSessionOf(whole, own.subarray(1)), 'nor a part of it')
  t.notOk(isSessionOf(whole.subarray(0, -1), own), 'cut short')
  t.notOk(isSessionOf(Buffer.alloc(0), own), 'empty')
  for (let round = 0; round < 5000; round += 1) {
    const bytes = Buffer.from(whole.subarray(0, Math.ceil(random() * whole.length)))
    bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256)
    readSession(bytes)
    isSessionOf(bytes, own)
  }
  t.equal(readSession(whole.subarray(0, -1)), undefined, 'cut short')
  t.equal(readSession(Buffer.alloc(0)), undefined, 'empty')
})

t.test('which session a hello offers', async t => {
  const psk = { ...hello, supports13: true, allowsPskDhe: true, identities: [id] }
  t.match(offerOf(hello, true), { id, protocol: tls12 })
  t.match(offerOf(psk, true), { id, protocol: tls13 })
  t.match(offerOf(psk, false), { id, protocol: tls12 }, 'a server without TLS 1.3')
  const foreign = Buffer.alloc(200)
  t.match(offerOf({ ...psk, identities: [foreign, id] }, true), { id, protocol: tls13 })
  const none = {
    'no session id': offerOf({ ...hello, sessionId: Buffer.alloc(0) }, true),
    'an id that is not of our length': offerOf({ ...hello, sessionId: foreign }, true),
    'the noise that TLS 1.3 sends as session id': offerOf(
      { ...psk, identities: [] },
      true,
    ),
    'a ticket that carries its session': offerOf({ ...psk, identities: [foreign] }, true),
    'a PSK without key exchange': offerOf({ ...psk, allowsPskDhe: false }, true),
  }
  for (const [name, offer] of Object.entries(none)) t.equal(offer, undefined, name)
})

t.test('a session resumes only where everything fits', async t => {
  const offer = { id, protocol: tls12 } as const
  const terms = {
    policy: {
      mode: 'stateful',
      asksCertificate: true,
      hash: record.policy,
      certificateHash: Buffer.alloc(16, 3),
      clientRequired: true,
    } as const,
    sessionTimeout: hour,
    lineageTimeout: 24 * hour,
    now: record.mintedAt + 1,
  }
  t.equal(refusal(record, offer, hello, terms), undefined)
  const forbidden = {
    'another protocol version': refusal(record, { id, protocol: tls13 }, hello, terms),
    'another server name': refusal(
      record,
      offer,
      { ...hello, serverName: 'b.test' },
      terms,
    ),
    'no server name': refusal(record, offer, { ...hello, serverName: '' }, terms),
    'another policy': refusal(record, offer, hello, {
      ...terms,
      policy: { ...terms.policy, hash: Buffer.alloc(16) },
    }),
    'a certificate under the policy of those without': refusal(
      { ...record, certificateNotAfter: terms.now + hour },
      offer,
      hello,
      terms,
    ),
    'a certificate of whom nobody sees who vouches for it': refusal(
      { ...record, certificateNotAfter: terms.now + hour },
      offer,
      hello,
      { ...terms, policy: { ...terms.policy, certificateHash: undefined } },
    ),
    'a client that proved nothing': refusal(
      { ...record, clientAuthorized: false },
      offer,
      hello,
      terms,
    ),
    'extended master secret all of a sudden': refusal(
      { ...record, extendedMasterSecret: false },
      offer,
      hello,
      terms,
    ),
  }
  for (const [name, cause] of Object.entries(forbidden)) t.equal(cause, 'policy', name)
  const dropped = { ...hello, extendedMasterSecret: false }
  t.equal(refusal(record, offer, dropped, terms), undefined, 'for TLS to abort')
  const at = (now: number, changes = {}) =>
    refusal({ ...record, ...changes }, offer, hello, { ...terms, now })
  t.equal(at(record.mintedAt + hour), undefined)
  t.equal(at(record.mintedAt + hour + 1), 'expired')
  t.equal(at(record.mintedAt - 5 * 60_000), undefined, 'minted by a clock 5 min ahead')
  t.equal(at(record.mintedAt - 5 * 60_000 - 1), 'expired', 'minted in the far future')
  t.equal(
    at(record.mintedAt, { originalAt: record.mintedAt - 24 * hour - 1 }),
    'lineage-expired',
  )
  const policy = terms.policy.certificateHash
  t.equal(
    at(record.mintedAt, { certificateNotAfter: record.mintedAt, policy }),
    undefined,
  )
  t.equal(
    at(record.mintedAt, { certificateNotAfter: record.mintedAt - 1, policy }),
    'lineage-expired',
  )
})
