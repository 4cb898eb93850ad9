import { createServer, type Server } from 'node:https'
import { createSecureContext, type TLSSocket } from 'node:tls'
import t from 'tap'
import { handshakeOf } from '../../../lib/resumption/handshake.ts'
import type { AttachOptions } from '../../../lib/resumption/server/attachment.ts'
import { farmOfOne, only } from '../../fixtures/resumption/world.ts'
import { authority, clientOf, p256 } from '../../fixtures/tls/certificates.ts'
import { type Visit, visit } from '../../fixtures/tls/client.ts'
import { listening, type TeardownScope } from '../../fixtures/tls/servers.ts'

/*
 * A server that asks for no certificate until a request wants one, and then renegotiates, which
 * TLS 1.2 allows. The session that comes of it holds the client's certificate.
 */

const pair = await p256('localhost', 'a.test')
const [trusted, other] = [await authority('CA 1'), await authority('CA 2')]
const ann = await clientOf('CA 1', 'ann')
const client = { servername: 'a.test', ...only('TLSv1.2') }
/** Of neither authority: with any list at all, a certificate is good only if its own is there. */
const crl = `-----BEGIN X509 CRL-----
MIGpMFICAQEwCgYIKoZIzj0EAwIwEzERMA8GA1UEAwwIVGVzdCBDUkwXDTI2MTEy
ODEyMDg1NVoXDTM2MTEyNTEyMDg1NVqgDjAMMAoGA1UdFAQDAgEBMAoGCCqGSM49
BAMCA0cAMEQCIANatRBpK/4jBRoA6M3DC63SgwlsEaZdiPygaI8zPjBsAiB2j2P4
hdaj7n1Y13bkHj+Yf7Db2v+Fot9tEkOr7VQqDQ==
-----END X509 CRL-----
`

interface World {
  readonly server: Server
  readonly port: number
  readonly proved: Visit
}

/** A server, and a client that has proved its certificate there. */
async function world(t: TeardownScope, setting: Setting = {}): Promise<World> {
  const options = { ...pair, ca: trusted.cert, ...setting.options }
  const server = createServer(options, (request, response) => {
    const socket = request.socket as TLSSocket
    const tell = () => {
      const { resumed, clientAuthorized } = handshakeOf(socket) ?? {}
      const { authorized } = socket
      response.end(JSON.stringify({ resumed, clientAuthorized, authorized }))
    }
    if (request.url === '/') tell()
    else socket.renegotiate({ requestCert: true, rejectUnauthorized: false }, tell)
  })
  setting.before?.(server)
  const farm = await farmOfOne(t)
  farm.attach(server, setting.attach)
  const port = await listening(t, server)
  const proved = await visit({ port, ...client, ...ann, target: '/prove' })
  return { server, port, proved }
}

interface Setting {
  readonly options?: object
  readonly attach?: AttachOptions
  readonly before?: (server: Server) => void
}

/** Comes back with the session made when it proved its certificate, and without that. */
async function back({ port, proved }: World) {
  const session = proved.sessions.at(-1)
  const again = await visit({ port, ...client, ...(session && { session }) })
  return { reused: again.reused, ...JSON.parse(again.body) }
}

const changes: { readonly [name: string]: (server: Server) => void } = {
  'its authority was dropped': server =>
    server.setSecureContext({ ...pair, ca: other.cert }),
  'its authority and another were dropped': server => server.setSecureContext(pair),
  'an authority was added': server =>
    server.setSecureContext({ ...pair, ca: [trusted.cert, other.cert] }),
  'a revocation list was added': server =>
    server.setSecureContext({ ...pair, ca: trusted.cert, crl }),
  'certificates are asked for at once': server => {
    Object.assign(server, { requestCert: true, rejectUnauthorized: false })
  },
  'its name got authorities of its own': server =>
    server.addContext('a.test', { ...pair, ca: other.cert }),
  'its name got a context nobody can look into': server =>
    server.addContext('a.test', createSecureContext({ ...pair, ca: other.cert })),
}

for (const [change, make] of Object.entries(changes)) {
  t.test(`a certificate proved later does not count after ${change}`, async t => {
    const before = await world(t)
    t.match(JSON.parse(before.proved.body), { authorized: true })
    t.match(await back(before), { resumed: 'local', clientAuthorized: true })
    make(before.server)
    t.match(await back(before), {
      reused: false,
      resumed: false,
      clientAuthorized: false,
      authorized: false,
    })
  })
}

t.test('a connection that outlives a change proves it under the old policy', async t => {
  const { server, port } = await world(t)
  server.on('request', request => {
    if (request.url === '/late') server.setSecureContext({ ...pair, ca: other.cert })
  })
  const proved = await visit({ port, ...client, ...ann, target: '/late' })
  t.match(JSON.parse(proved.body), { authorized: true })
  t.match(await back({ server, port, proved }), { reused: false, authorized: false })
})

t.test('a certificate proved later is not kept where authorities are hidden', async t => {
  const hidden: { readonly [name: string]: Setting } = {
    'an SNICallback': {
      options: {
        SNICallback: (_name: string, done: (error: null, context: object) => void) =>
          done(null, createSecureContext({ ...pair, ca: trusted.cert })),
      },
    },
    'a context made beforehand': {
      before: server =>
        server.addContext('a.test', createSecureContext({ ...pair, ca: trusted.cert })),
    },
  }
  for (const [name, setting] of Object.entries(hidden)) {
    const before = await world(t, setting)
    t.match(JSON.parse(before.proved.body), { authorized: true }, name)
    t.match(await back(before), { reused: false, authorized: false }, name)
    const plain = await visit({ port: before.port, ...client })
    t.match(await back({ ...before, proved: plain }), { reused: true }, name)
    const told = await world(t, { ...setting, attach: { policyOf: () => 'CA 1' } })
    t.match(await back(told), { resumed: 'local', clientAuthorized: true }, name)
  }
})

t.test(
  'where authorities are hidden, no session outlives the wish to see one',
  async t => {
    const before = await world(t, {
      before: server => server.addContext('a.test', createSecureContext(pair)),
    })
    Object.assign(before.server, { requestCert: true, rejectUnauthorized: false })
    const first = await visit({ port: before.port, ...client })
    t.match(await back({ ...before, proved: first }), { reused: false })
  },
)

t.test('sessions without a certificate outlive a change of authorities', async t => {
  const before = await world(t)
  const proved = await visit({ port: before.port, ...client })
  before.server.setSecureContext({ ...pair, ca: other.cert })
  t.match(await back({ ...before, proved }), { resumed: 'local', authorized: false })
})
