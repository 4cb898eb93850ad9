import { once } from 'node:events'
import { connect as http2Connect } from 'node:http2'
import type { RequestOptions } from 'node:https'
import { type ConnectionOptions, connect, type Server, type TLSSocket } from 'node:tls'
import t from 'tap'
import type { Site } from '../../../lib/proxy/options.ts'
import { setHandshake } from '../../../lib/resumption/handshake.ts'
import { startBackend, startProxy } from '../../fixtures/proxy/servers.ts'
import { ask, site } from '../../fixtures/proxy/sites.ts'
import { authority, clientOf } from '../../fixtures/tls/certificates.ts'
import { until } from '../../fixtures/until.ts'

const backend = await startBackend(t, (q, r) =>
  r.end(JSON.stringify({ host: q.headers.host, certificate: q.headers['client-cert'] })),
)
const backends = [backend.url]
const ca = await authority('Clients of B')
const otherCa = await authority('Clients of C')
const ann = await clientOf('Clients of B', 'ann')
const bob = await clientOf('Clients of C', 'bob')

const policies = async (): Promise<Site[]> => [
  await site('open.test', backends),
  await site('also-open.test', backends),
  await site('maybe.test', backends, {
    clientCa: ca.cert,
    clientCertificate: 'optional',
  }),
  await site('b.test', backends, { clientCa: ca.cert, clientCertificate: 'required' }),
  await site('b2.test', backends, { clientCa: ca.cert, clientCertificate: 'required' }),
  await site('c.test', backends, {
    clientCa: otherCa.cert,
    clientCertificate: 'required',
  }),
]

t.test('client certificates: who gets in where', async t => {
  const { port, log } = await startProxy(t, { sites: await policies() })
  const cases: [name: string, who: string, options: RequestOptions, status: number][] = [
    ['open.test', 'nobody', {}, 200],
    ['open.test', 'ann', ann, 200],
    ['maybe.test', 'nobody', {}, 200],
    ['maybe.test', 'bob, of another authority', bob, 200],
    ['b.test', 'ann', ann, 200],
    ['b.test', 'nobody', {}, 403],
    ['b.test', 'bob, of another authority', bob, 403],
    ['c.test', 'bob', bob, 200],
    ['c.test', 'ann', ann, 403],
  ]
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    for (const [name, who, options, status] of cases) {
      const answer = await ask(port, name, { ...options, maxVersion })
      t.equal(answer.status, status, `${who} at ${name} over ${maxVersion}: ${status}`)
    }
  }
  await until(() => log.requests.length === 2 * cases.length)
  t.match(
    log.requests.filter(line => line['status'] === 403),
    Array(6).fill({ phase: 'route', backend: undefined }),
  )
})

t.test('the backend gets the certificate that was proved, and no other', async t => {
  const { port } = await startProxy(t, { sites: await policies() })
  const der = Buffer.from(ann.cert.replace(/-----[^-]+-----|\s/g, ''), 'base64').toString(
    'base64',
  )
  const seen = async (name: string, options: RequestOptions) =>
    JSON.parse((await ask(port, name, options)).body).certificate
  t.equal(await seen('b.test', ann), `:${der}:`)
  t.equal(await seen('maybe.test', ann), `:${der}:`)
  t.equal(await seen('maybe.test', bob), undefined)
  t.equal(await seen('maybe.test', {}), undefined)
  t.equal(await seen('open.test', ann), undefined)
  const forged = { headers: { 'Client-Cert': ':AA==:', 'Client-Cert-Chain': ':AA==:' } }
  t.equal(await seen('maybe.test', forged), undefined)
})

t.test('421 when a request leaves the policy its connection was made under', async t => {
  const { port } = await startProxy(t, { sites: await policies() })
  const cases: [sni: string, host: string, status: number][] = [
    ['open.test', 'also-open.test', 200],
    ['open.test', 'b.test', 421],
    ['open.test', 'maybe.test', 421],
    ['maybe.test', 'b.test', 421],
    ['b.test', 'b2.test', 200],
    ['b.test', 'c.test', 421],
    ['b.test', 'open.test', 421],
  ]
  for (const [sni, host, status] of cases) {
    const answer = await ask(port, sni, { ...ann, headers: { host } })
    t.equal(answer.status, status, `HTTP/1.1: ${sni} then ${host}`)
    const session = http2Connect(`https://${sni}:${port}`, {
      ...ann,
      rejectUnauthorized: false,
      createConnection: () =>
        connect({
          ...ann,
          host: '127.0.0.1',
          port,
          servername: sni,
          ALPNProtocols: ['h2'],
          rejectUnauthorized: false,
        }),
    })
    const stream = session.request({ ':path': '/', ':authority': host })
    stream.resume()
    const [fields] = await once(stream, 'response')
    t.equal(fields[':status'], status, `HTTP/2: ${sni} then ${host}`)
    await once(stream, 'close')
    t.notOk(session.closed, 'the connection is still good for its own name')
    session.close()
  }
})

t.test(
  'a resumed connection is as trusted as its record says, never as its socket',
  async t => {
    // Stands in for the farm: a record that says who was behind the first handshake.
    let record: boolean | undefined
    const sessions = {
      attach(server: Server) {
        server.on('secureConnection', (socket: TLSSocket) => {
          if (record === undefined || !socket.isSessionReused()) return
          setHandshake(socket, {
            serverName: 'b.test',
            protocol: socket.getProtocol() ?? '',
            resumed: 'local',
            cause: undefined,
            lineage: undefined,
            originalAt: 0,
            clientAuthorized: record,
          })
        })
      },
      detach() {},
    }
    const { port, log } = await startProxy(t, { sites: await policies(), sessions })
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      const options = { minVersion: version, maxVersion: version }
      const session = await sessionOf(port, 'b.test', options)
      for (const [said, status] of [
        // TLS 1.2 does not even know any more which name it was.
        [undefined, version === 'TLSv1.2' ? 421 : 403],
        [false, 403],
        [true, 200],
      ] as const) {
        record = said
        const answer = await ask(port, 'b.test', { ...options, session })
        t.equal(answer.status, status, `${version}: the record says ${said}`)
      }
    }
    await until(() => log.requests.length >= 6)
    t.match(log.requests.at(-1), { resumed: 'local' })
  },
)

/** A session made without a client certificate. */
async function sessionOf(
  port: number,
  servername: string,
  options: ConnectionOptions,
): Promise<Buffer> {
  const socket = connect({
    host: '127.0.0.1',
    port,
    servername,
    rejectUnauthorized: false,
    ...options,
  })
  const [session] = await once(socket, 'session')
  socket.destroy()
  return session
}
