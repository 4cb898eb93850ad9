import { createServer } from 'node:http'
import t, { type Test } from 'tap'
import { verifyIdentityHeaders } from '../../../lib/auth/identity-headers.ts'
import type { AuthOptions } from '../../../lib/auth/options.ts'
import type { Site } from '../../../lib/proxy/options.ts'
import { AuthAuthorizer } from '../../../lib/proxy/request/auth-authorizer.ts'
import { type Open, type Reply, SessionClient } from '../../fixtures/auth/farm.ts'
import { signer, token } from '../../fixtures/auth/tokens.ts'
import { basic } from '../../fixtures/auth/world.ts'
import { reached } from '../../fixtures/farm/reached.ts'
import { patientLogins } from '../../fixtures/patience.ts'
import { type FarmProxy, farmProxies } from '../../fixtures/proxy/farm.ts'
import { defaultSite, startBackend, type Teardown } from '../../fixtures/proxy/servers.ts'
import { authority, clientOf } from '../../fixtures/tls/certificates.ts'
import { listening } from '../../fixtures/tls/servers.ts'
import { until } from '../../fixtures/until.ts'

/* Every way to log in, through three proxies of one farm and a backend behind them. */

const password = 'correct horse battery staple'
const verify = (user: string, given: string) => user === 'ann' && given === password
const signKey = 'a key that proxy and backend share'
const ownSite = { 'sec-fetch-site': 'same-origin' }
const key = signer()
const now = Math.floor(Date.now() / 1_000)
const claims = { iss: 'i', aud: 'a', sub: 'ann', iat: now, exp: now + 600 }
const jwt = token(key, claims)

interface Way {
  readonly options: (t: Teardown) => AuthOptions | Promise<AuthOptions>
  readonly site?: () => Promise<Partial<Site>>
  /** What the client has beside its session. */
  readonly tls?: () => Promise<object>
  /** What the client sends with each request, beside the cookies that it was given. */
  readonly shows: () => object
  /** Logs in on this connection; answers the first request that is let in. */
  readonly login: (open: Open) => Promise<Reply>
  /** What a request of nobody is answered. */
  readonly asked: number
  /** What a request is answered that shows the same after a log-out. */
  readonly after: number
}

const ways: { readonly [method: string]: Way } = {
  basic: {
    options: () => ({ basic: verify }),
    shows: () => basic('ann', password),
    after: 401,
    login: async open => {
      const first = await open.ask(basic('ann', password))
      // After a log-out a client that sends its password by itself is asked once more.
      return first.status === 200 ? first : await open.ask(basic('ann', password))
    },
    asked: 401,
  },
  bearer: {
    options: () => ({
      bearer: { key: key.publicPem, issuer: 'i', audience: 'a', algorithms: ['EdDSA'] },
    }),
    shows: () => ({ authorization: `Bearer ${jwt}` }),
    after: 200,
    login: open => open.ask({ authorization: `Bearer ${jwt}` }),
    asked: 401,
  },
  forward: {
    options: async t => {
      const server = createServer((asked, response) => {
        const known = asked.headers.cookie === 'sso=sesame'
        response.writeHead(known ? 200 : 401, { 'x-forwarded-user': 'ann' }).end()
      })
      return { forward: { url: `http://127.0.0.1:${await listening(t, server)}/` } }
    },
    shows: () => ({ cookie: 'sso=sesame' }),
    after: 200,
    login: open => open.ask({ cookie: 'sso=sesame' }),
    asked: 401,
  },
  certificate: {
    options: () => ({ certificate: true }),
    site: async () => ({
      clientCa: (await authority('Clients')).cert,
      clientCertificate: 'optional',
    }),
    tls: () => clientOf('Clients', 'ann'),
    shows: () => ({}),
    after: 403,
    login: open => open.ask(),
    asked: 403,
  },
  form: {
    options: () => ({ form: { verify } }),
    shows: () => ({}),
    after: 401,
    login: async open => {
      const page = await open.ask({}, { path: '/login' })
      const [, token = ''] = /name="token" value="([^"]+)"/.exec(page.text) ?? []
      const fields = { username: 'ann', password, token, to: '/' }
      await open.ask(
        { ...ownSite, 'content-type': 'application/x-www-form-urlencoded' },
        { method: 'POST', path: '/login', body: String(new URLSearchParams(fields)) },
      )
      return await open.ask()
    },
    asked: 401,
  },
}

for (const [method, way] of Object.entries(ways)) {
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    t.test(`${method}, ${maxVersion}: asked through one proxy, known on all`, async t => {
      const [a, b, c] = (await proxies(t, way)) as [FarmProxy, FarmProxy, FarmProxy]
      const client = new SessionClient({ maxVersion, ...(await way.tls?.()) })
      const resumed = async (proxy: FarmProxy) => {
        const before = proxy.log.requests.length
        const reply = await client.once(proxy.port, way.shows())
        await until(() => proxy.log.requests.length > before, 'its line in the log')
        return { reply, line: proxy.log.requests.at(-1) }
      }
      const login = async (proxy: FarmProxy) => {
        const open = client.open(proxy.port)
        const reply = await way.login(open)
        open.close()
        return reply
      }

      const stranger = new SessionClient({ maxVersion })
      t.equal((await stranger.once(a.port)).status, way.asked, 'asked')
      isAnn(t, await login(a), method)
      for (const proxy of [b, c, a]) {
        const { reply, line } = await resumed(proxy)
        isAnn(t, reply, method)
        t.match(line, { user: 'ann', resumed: /local|peer/ })
      }
      t.equal((await stranger.once(b.port)).status, way.asked, 'nobody else is')
      const thief = new SessionClient({ maxVersion })
      for (const proxy of [a, b, c]) {
        thief.session = client.session
        const { status } = await thief.once(proxy.port)
        // A session under TLS holds the certificate that was proved for it.
        t.equal(status, method === 'certificate' ? 200 : way.asked, 'by the session')
      }
      t.equal(
        (await new SessionClient({ maxVersion }).once(c.port)).status,
        way.asked,
        'nor anybody after a full handshake without cookie',
      )

      const posted = { method: 'POST', path: '/out' }
      t.equal((await client.once(b.port, {}, { path: '/out' })).status, 405)
      const foreign = { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors' }
      t.equal((await client.once(b.port, foreign, posted)).status, 403)
      isAnn(t, (await resumed(b)).reply, method)
      const out = await client.once(b.port, { ...way.shows(), ...ownSite }, posted)
      t.equal(out.status, method === 'form' ? 303 : 200, out.text)
      for (const proxy of [a, b, c]) {
        const { reply, line } = await resumed(proxy)
        t.equal(reply.status, way.after, 'after the log-out')
        const user = way.after === 200 ? 'ann' : undefined
        t.match(line, { user, resumed: /local|peer/ }, 'TLS resumes')
      }

      if (method === 'certificate') client.session = undefined
      isAnn(t, await login(c), method)
      isAnn(t, (await resumed(a)).reply, method)
      const leave = () => b.farm.revoke({ user: 'ann' }, { reason: 'left' })
      const { everywhere } = await reached(leave)
      t.equal(everywhere, true)
      const session = client.session
      for (const proxy of [a, b, c]) {
        client.session = session
        const { reply, line } = await resumed(proxy)
        t.match(line, { resumed: 'no', cause: 'revoked' }, 'no session is left')
        // Proved anew, which a token of before the revocation does not.
        const left = method === 'form' || method === 'bearer'
        t.equal(reply.status, left ? 401 : 200)
      }
      t.ok(b.farm.stats().auth.logouts >= 1)
    })
  }
}

async function proxies(t: Test, way: Way): Promise<FarmProxy[]> {
  const backend = await startBackend(t, (request, response) => {
    request.resume()
    response.end(JSON.stringify(request.headers))
  })
  const options = { ...patientLogins, ...(await way.options(t)), logoutPath: '/out' }
  const site = { ...(await defaultSite([backend.url])), ...(await way.site?.()) }
  return await farmProxies(t, {
    count: 3,
    sites: farm => [
      { ...site, authorizer: new AuthAuthorizer(farm.auth(options).auth, signKey) },
    ],
  })
}

function isAnn(t: Test, reply: Reply, method: string): void {
  t.equal(reply.status, 200)
  const headers = JSON.parse(reply.text)
  t.match(headers, { 'x-forwarded-user': 'ann', 'x-forwarded-auth-method': method })
  t.match(verifyIdentityHeaders(headers, { sign: signKey }), { subject: 'ann' })
}
