import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import { connect } from 'node:http2'
import t from 'tap'
import { AuthAuthorizer } from '../../../lib/proxy/request/auth-authorizer.ts'
import { patience } from '../../fixtures/patience.ts'
import { farmProxies } from '../../fixtures/proxy/farm.ts'
import { rawExchange } from '../../fixtures/proxy/raw.ts'
import {
  defaultSite,
  startBackend,
  startProxy,
  type Teardown,
} from '../../fixtures/proxy/servers.ts'
import { listening } from '../../fixtures/tls/servers.ts'

/** What only a proxy may say of who the user is. */
const user = [
  ...['Remote-User', 'Remote-Groups', 'X-Remote-User', 'X-Remote-Group'],
  ...[
    'X-Remote-Extra-Scopes',
    'X-WebAuth-User',
    'X-WEBAUTH-ROLE',
    'X-Authenticated-User',
  ],
  ...['X-Authenticated-Userid', 'X-Auth-Request-User', 'X-Auth-Request-Access-Token'],
  ...['X-Auth-User', 'X-Auth-Groups', 'X-Forwarded-User', 'X-Forwarded-Email'],
  ...['X-Forwarded-Groups', 'X-Forwarded-Preferred-Username', 'X-Forwarded-Access-Token'],
  ...['X-Forwarded-Auth', 'X-Forwarded-Auth-Method', 'X-Forwarded-Auth-Signature'],
  ...['X-Authentik-Username', 'X-Pomerium-Claim-Email', 'X-Vouch-User', 'X-Userinfo'],
  ...['X-MS-Client-Principal-Name', 'X-Goog-Authenticated-User-Email'],
  ...['CF-Access-Authenticated-User-Email', 'Tailscale-User-Login'],
  ...['Auth-User', 'Proxy-User', 'X-Proxy-User', 'X-Grafana-User', 'X-Kubernetes-User'],
  ...['X-Shib-User', 'Shib-Session-ID', 'Gap-Auth'],
  ...['X-Amzn-Oidc-Identity', 'X-Consumer-Username'],
]
/** And of how the request came. */
const way = [
  ...['X-Forwarded', 'X-Forwarded-Prefix', 'X-Forwarded-Ssl', 'X-Forwarded-Scheme'],
  ...['X-Forwarded-Server', 'X-Forwarded-By', 'X-Forwarded-Tls-Client-Cert'],
  ...['X-Forwarded-Anything-New', 'X-Forward-For', 'Forwarded-For', 'X-Real-IP'],
  ...['X-Real-Port', 'X-Client-IP', 'Client-IP', 'True-Client-IP', 'CF-Connecting-IP'],
  ...['X-Cluster-Client-Ip', 'Fastly-Client-IP', 'X-Azure-ClientIP', 'X-Originating-IP'],
  ...['X-Remote-Addr', 'X-ProxyUser-Ip', 'WL-Proxy-Client-IP', 'X-Original-URL'],
  ...['X-Original-Host', 'X-Original-Forwarded-For', 'X-Rewrite-URL', 'X-Host'],
  ...['X-HTTP-Host-Override', 'X-Scheme', 'X-Url-Scheme', 'Front-End-Https'],
  ...['X-SSL', 'X-SSL-Client-Verify', 'X-SSL-Client-S-DN', 'SSL-Client-Cert'],
  ...['X-TLS-Client-Cert', 'X-Client-Cert', 'X-ClientCert', 'X-Client-Verify'],
  ...['X-Client-DN', 'X-ARR-ClientCert', 'X-Amzn-Mtls-Clientcert', 'CF-Client-Cert-Der'],
  ...['X-Envoy-External-Address', 'X-AppEngine-User-IP', 'X-Sendfile-Type'],
]
/** Nobody in front of us says these. */
const ours = ['Proxy', 'Client-Cert', 'Client-Cert-Chain', 'X-Forwarded-Client-Cert']
/** What clients do say. */
const kept = [
  ...['Authorization', 'X-Auth-Token', 'X-Auth-Key', 'X-Access-Token', 'X-Api-Key'],
  ...['X-User-Id', 'X-User-Agent', 'X-Client-Data', 'X-Client-Info', 'X-Client-Version'],
  ...['X-Request-Id', 'Traceparent', 'From', 'Origin', 'X-Requested-With', 'Priority'],
  ...['CF-Access-Jwt-Assertion', 'X-Proxy', 'Proxying', 'X-Hostname', 'Remote', 'my_own'],
  ...['X-HTTP-Method-Override', 'Upgrade-Insecure-Requests', 'Sec-CH-UA', 'DNT', 'x.y~z'],
]
/** The signs that a name may have in place of a hyphen. */
const signs = [..."!#$%&'*+._`|~"]
const spelled = [...user, ...way, ...ours].flatMap((name, i) => [
  name.replaceAll('-', '_'),
  name.replace('-', signs[i % signs.length] as string),
  name.replaceAll('-', '.').toUpperCase(),
])
const framing = [
  'Content_Length',
  'Transfer.Encoding',
  'Content~Length',
  'X!Forwarded!For',
]

const backend = await startBackend(t, (request, response) => {
  request.resume()
  response.end('ok')
})
const plain = await startProxy(t, { backends: [backend.url] })
const trusting = await startProxy(t, {
  backends: [backend.url],
  trustedProxies: ['127.0.0.0/8'],
})

type Ask = (port: number, names: readonly string[]) => Promise<string[]>

/** Names, in lower case, of those fields that reached the backend. */
const versions: Readonly<Record<string, Ask>> = {
  async 'HTTP/1.1'(port, names) {
    const lines = names.map(name => `${name}: forged\r\n`).join('')
    await rawExchange(
      port,
      `GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${lines}\r\n`,
    )
    return forgedOf(backend.requests.at(-1) as IncomingMessage)
  },
  async 'HTTP/2'(port, names) {
    const session = connect(`https://localhost:${port}`, { rejectUnauthorized: false })
    session.on('error', () => {})
    const fields = names.map(name => [name.toLowerCase(), 'forged'])
    const stream = session.request(Object.fromEntries(fields)).resume()
    await once(stream, 'close', { signal: AbortSignal.timeout(patience) })
    session.destroy()
    return forgedOf(backend.requests.at(-1) as IncomingMessage)
  },
}

for (const [version, ask] of Object.entries(versions)) {
  /** A few at a time: there is a limit on how many fields a request has. */
  const reach = async (port: number, names: readonly string[]) => {
    const reached: string[] = []
    for (let i = 0; i < names.length; i += 40)
      reached.push(...(await ask(port, names.slice(i, i + 40))))
    return reached.sort()
  }
  const lower = (names: readonly string[]) => names.map(name => name.toLowerCase()).sort()

  t.test(`what a proxy would say is dropped when a client does: ${version}`, async t => {
    const said = [...user, ...way, ...ours, ...spelled, ...framing]
    t.strictSame(await reach(plain.port, said), [])
    t.strictSame(await reach(plain.port, kept), lower(kept))
  })

  t.test(`a proxy in front may say it, in one spelling: ${version}`, async t => {
    t.strictSame(await reach(trusting.port, [...user, ...way]), lower([...user, ...way]))
    t.strictSame(await reach(trusting.port, [...ours, ...spelled, ...framing]), [])
    t.strictSame(await reach(trusting.port, kept), lower(kept))
  })

  t.test(
    `but who the user is nobody says where we ask ourselves: ${version}`,
    async t => {
      const [asking, own] = await sites(t)
      for (const proxy of [asking, own]) {
        t.strictSame(await reach(proxy.port, user), [])
        t.strictSame(await reach(proxy.port, way), lower(way))
      }
      const names = ['X-Staff-Id', 'x_staff_id', 'X.Staff.Mail', 'X-Staff-Mail']
      t.strictSame(await reach(asking.port, names), lower(names))
      t.strictSame(await reach(own.port, names), [])
      t.strictSame(await reach(own.port, kept), lower(kept))
    },
  )
}

t.test('Connection can neither bring them in nor take ours away', async t => {
  await rawExchange(
    plain.port,
    'GET / HTTP/1.1\r\nHost: a\r\n' +
      'Connection: close, X-Forwarded-For, X-Real-IP, Forwarded, Via, X_Forwarded_User\r\n' +
      'X-Forwarded-For: 6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\nX_Forwarded_User: root\r\n\r\n',
  )
  const { headers } = backend.requests.at(-1) as IncomingMessage
  t.match(headers, {
    'x-forwarded-for': '127.0.0.1',
    forwarded: /^for=127\.0\.0\.1;/,
    via: '1.1 handfast',
  })
  t.notMatch(JSON.stringify(headers), /6\.6\.6\.6|root/)
})

t.test('nor can trailers', async t => {
  await rawExchange(
    plain.port,
    'POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n' +
      '2\r\nhi\r\n0\r\nX-Forwarded-User: root\r\nX-Real-IP: 6.6.6.6\r\nX-A: 1\r\n\r\n',
  )
  const request = backend.requests.at(-1) as IncomingMessage
  t.ok(request.complete)
  t.strictSame(request.rawTrailers, [])
  t.notMatch(request.rawHeaders.join(), /root|6\.6\.6\.6/)
})

/** Two sites that know their users: by the usual fields, and by some of their own. */
async function sites(t: Teardown) {
  const site = await defaultSite([backend.url])
  const server = createServer((_asked, response) => {
    response.writeHead(200, { 'x-forwarded-user': 'ann', 'x-staff-id': 'ann' }).end()
  })
  const url = `http://127.0.0.1:${await listening(t, server)}/`
  const own = { subjectHeader: 'X-Staff-Id', claimHeaders: { email: 'X-Staff_Mail' } }
  const started = []
  for (const forward of [{ url }, { url, ...own }]) {
    const [proxy] = await farmProxies(t, {
      count: 1,
      trustedProxies: ['127.0.0.0/8'],
      sites: farm => [
        { ...site, authorizer: new AuthAuthorizer(farm.auth({ forward }).auth) },
      ],
    })
    started.push(proxy as NonNullable<typeof proxy>)
  }
  return started as [(typeof started)[0], (typeof started)[0]]
}

function forgedOf({ rawHeaders }: IncomingMessage): string[] {
  return rawHeaders.flatMap((value, i) =>
    i % 2 === 1 && value === 'forged'
      ? [(rawHeaders[i - 1] as string).toLowerCase()]
      : [],
  )
}
