import { X509Certificate } from 'node:crypto'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2'
import { createSecureServer } from 'node:http2'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import type { AuthOptions } from '../../lib/auth/options.ts'
import { generateSecret } from '../../lib/farm/secret.ts'
import { silentLog } from '../../lib/log.ts'
import { createFarm } from '../../lib/member/create-farm.ts'
import type { Farm } from '../../lib/member/farm.ts'
import type { Site } from '../../lib/proxy/options.ts'
import { createProxy } from '../../lib/proxy/proxy.ts'
import { AuthAuthorizer } from '../../lib/proxy/request/auth-authorizer.ts'
import type { Handshake } from '../../lib/resumption/handshake.ts'
import type { RevocationTarget } from '../../lib/resumption/revocation/revocation-target.ts'
import { certificateDigest } from '../../lib/resumption/session/session-record.ts'
import { SessionClient } from '../fixtures/auth/farm.ts'
import {
  acceptUpgrade,
  answerForEver,
  type LongExchange,
  longKinds,
  openLong,
  upgradeForEver,
} from '../fixtures/auth/long-exchanges.ts'
import { signer, token } from '../fixtures/auth/tokens.ts'
import { basic } from '../fixtures/auth/world.ts'
import { reached } from '../fixtures/farm/reached.ts'
import { patientFarm, patientLogins } from '../fixtures/patience.ts'
import { startBackend } from '../fixtures/proxy/servers.ts'
import { authority, clientOf } from '../fixtures/tls/certificates.ts'
import { certificateFor, listening, type TeardownScope } from '../fixtures/tls/servers.ts'
import { until } from '../fixtures/until.ts'

/*
 * What was let in as somebody ends when that somebody is revoked or logs out, on whatever member:
 * each way to be let in, against each thing that can be revoked, for each kind of exchange that
 * stays open; through the proxy and behind the middleware.
 */

const password = 'correct horse battery staple'
const verify = (user: string, given: string) =>
  /^(ann|bob|cid)$/.test(user) && given === password
const signs = signer()
const tokenOf = (sub: string) => {
  const iat = Math.floor(Date.now() / 1_000) - 1
  return token(signs, { iss: 'i', aud: 'a', sub, iat, exp: iat + 600 })
}

interface Visitor {
  readonly headers: Readonly<Record<string, string>>
  readonly tls: object
}

interface Way {
  readonly auth: (t: TeardownScope) => Promise<AuthOptions>
  /** What a user shows, having logged in where that is done apart. */
  readonly visitor: (port: number, user: string) => Promise<Visitor>
  readonly clientCa?: boolean
  /** Site or server without sessions. */
  readonly resumption?: 'off'
  /** A log-out ends what shows the same. */
  readonly logout: boolean
}

const byBasic: Way = {
  auth: async () => ({ basic: verify, logoutPath: '/logout' }),
  visitor: async (_port, user) => ({ headers: { ...basic(user, password) }, tls: {} }),
  logout: false,
}

const ways: { readonly [name: string]: Way } = {
  basic: byBasic,
  'basic, all on one session': {
    ...byBasic,
    visitor: async (port, user) => {
      const headers = { ...basic(user, password) }
      return { headers, tls: { session: await sessionOf(port, headers) } }
    },
    logout: true,
  },
  'a TLS session alone': {
    auth: async () => ({
      basic: verify,
      logoutPath: '/logout',
      rememberBy: 'tls-session',
    }),
    visitor: async (port, user) => {
      const session = await sessionOf(port, basic(user, password))
      return { headers: {}, tls: { session } }
    },
    logout: true,
  },
  'basic from behind a gateway': {
    ...byBasic,
    visitor: async (_port, user) => {
      const fields = { via: '1.1 gateway', 'x-forwarded-for': '192.0.2.1' }
      return { headers: { ...basic(user, password), ...fields }, tls: {} }
    },
  },
  'basic without sessions': { ...byBasic, resumption: 'off' },
  bearer: {
    auth: async () => ({
      bearer: { key: signs.publicPem, issuer: 'i', audience: 'a', algorithms: ['EdDSA'] },
    }),
    visitor: async (_port, user) => {
      return { headers: { authorization: `Bearer ${tokenOf(user)}` }, tls: {} }
    },
    logout: false,
  },
  certificate: {
    auth: async () => ({ certificate: true, logoutPath: '/logout' }),
    visitor: async (port, user) => {
      const pair = await clientOf('Clients', user)
      return { headers: {}, tls: { ...pair, session: await sessionOf(port, {}, pair) } }
    },
    clientCa: true,
    logout: true,
  },
  forward: {
    auth: async t => {
      const server = createServer((asked, response) => {
        const [, user = ''] = /^sso=(\w+)$/.exec(asked.headers.cookie ?? '') ?? []
        response.writeHead(user ? 200 : 401, { 'x-forwarded-user': user }).end()
      })
      return { forward: { url: `http://127.0.0.1:${await listening(t, server)}/` } }
    },
    visitor: async (_port, user) => ({ headers: { cookie: `sso=${user}` }, tls: {} }),
    logout: false,
  },
  'form cookie on fresh connections': {
    auth: async () => ({ form: { verify } }),
    visitor: async (port, user) => {
      const client = new SessionClient()
      const page = await client.once(port, {}, { path: '/login' })
      const [, secret = ''] = /name="token" value="([^"]+)"/.exec(page.text) ?? []
      const fields = { username: user, password, token: secret, to: '/' }
      const type = 'application/x-www-form-urlencoded'
      await client.once(
        port,
        { 'sec-fetch-site': 'same-origin', 'content-type': type },
        { method: 'POST', path: '/login', body: String(new URLSearchParams(fields)) },
      )
      const cookie = [...client.cookies].map(pair => pair.join('=')).join('; ')
      return { headers: { cookie }, tls: {} }
    },
    logout: true,
  },
}

/** A session under which these have been shown once, on a path that ends. */
async function sessionOf(
  port: number,
  headers: object,
  tls: object = {},
): Promise<Buffer> {
  const client = new SessionClient(tls)
  await client.once(port, headers, { path: '/short' })
  if (client.session === undefined) throw new Error('no session')
  return client.session
}

interface Place {
  readonly port: number
  readonly farm: Farm
}

type Surface = (
  t: TeardownScope,
  farm: Farm,
  auth: AuthOptions,
  way: Way,
) => Promise<number>

const surfaces: { readonly [name: string]: Surface } = {
  proxy: async (t, farm, options, way) => {
    const backend = await startBackend(t, answerForEver)
    upgradeForEver(backend.server)
    const { key, cert } = await certificateFor('localhost')
    const { auth } = farm.auth(options)
    const site: Site = {
      names: [],
      key,
      cert,
      backends: [backend.url],
      authorizer: new AuthAuthorizer(auth),
      ...(way.clientCa
        ? { clientCa: (await authority('Clients')).cert, clientCertificate: 'optional' }
        : {}),
      ...(way.resumption ? { resumption: way.resumption } : {}),
    } as Site
    const proxy = await createProxy({
      host: '127.0.0.1',
      port: 0,
      sites: [site],
      sessions: farm,
      log: silentLog,
    })
    t.teardown(() => proxy.close())
    return proxy.port
  },
  middleware: async (t, farm, options, way) => {
    const handle = farm.auth(options)
    const { key, cert } = await certificateFor('localhost')
    const clients = way.clientCa
      ? {
          ca: (await authority('Clients')).cert,
          requestCert: true,
          rejectUnauthorized: false,
        }
      : {}
    const settings = { enableConnectProtocol: true }
    const server = createSecureServer({
      key,
      cert,
      allowHTTP1: true,
      settings,
      ...clients,
    })
    const serve = (request: Http2ServerRequest, response: Http2ServerResponse) => {
      handle(request, response, () => {
        response.writeHead(200)
        if (request.url === '/short') {
          response.end()
          return
        }
        response.write('begun\n')
      })
    }
    server.on('request', serve)
    server.on('connect', serve)
    server.on('upgrade', (request, socket) => {
      handle(request, {} as Http2ServerResponse, () => acceptUpgrade(request, socket))
    })
    farm.attach(server, way.resumption ? { resumption: way.resumption } : {})
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    t.teardown(() => server.close())
    return (server.address() as AddressInfo).port
  },
}

for (const [surface, serve] of Object.entries(surfaces))
  for (const [name, way] of Object.entries(ways))
    t.test(`${surface}, ${name}`, async t => {
      const secret = generateSecret()
      const listen = { host: '127.0.0.1', port: 0 }
      const farm = await createFarm({ secret, listen, ...patientFarm })
      const members = [farm.address ?? '']
      const other = await createFarm({ secret, listen, members, ...patientFarm })
      t.teardown(() => Promise.all([farm.close(), other.close()]))
      const auth = async () => ({ ...patientLogins, ...(await way.auth(t)) })
      const place: Place = { farm, port: await serve(t, farm, await auth(), way) }
      const elsewhere = await serve(t, other, await auth(), way)
      await until(() => farm.members().length === 2 && farm.absent().length === 0)
      const handshakes = watchHandshakes(t)

      for (const target of [
        'lineage',
        'session',
        'certificate',
        'user',
        'all',
      ] as const) {
        // There is nothing of the kind to revoke.
        if (way.resumption === 'off' && /lineage|session/.test(target)) continue
        if (!way.clientCa && target === 'certificate') continue
        await t.test(`revoked: ${target}`, async t => {
          // A token that was made within a second of a revocation of its user may be void.
          const user = target === 'all' ? 'cid' : 'ann'
          const ann = await way.visitor(place.port, user)
          const bob = await way.visitor(place.port, 'bob')
          const open: LongExchange[] = []
          const targets: RevocationTarget[] = []
          for (const kind of longKinds) {
            handshakes.length = 0
            open.push(await openLong(kind, { port: place.port, ...ann }))
            const { lineage } = handshakes.at(-1) ?? {}
            if (target === 'lineage' && lineage) targets.push({ lineage })
            if (target === 'session' && lineage) targets.push({ session: lineage })
          }
          const others = await Promise.all(
            longKinds.map(kind => openLong(kind, { port: place.port, ...bob })),
          )
          t.teardown(() => {
            for (const { close } of [...open, ...others]) close()
          })
          t.ok(open.every(({ ended }) => !ended()))
          if (target === 'user') targets.push({ user: 'ann' })
          if (target === 'all') targets.push({ all: true })
          if (target === 'certificate') {
            const { cert } = ann.tls as { cert: string }
            targets.push({
              certificate: certificateDigest(new X509Certificate(cert).raw),
            })
          }
          t.equal(targets.length > 0, true)
          for (const one of targets)
            t.match(await reached(() => other.revoke(one)), { everywhere: true })
          await until(() => open.every(({ ended }) => ended()), `${target} ended`)
          if (target === 'all') await until(() => others.every(({ ended }) => ended()))
          else
            t.ok(
              others.every(({ ended }) => !ended()),
              "bob's go on",
            )
        })
      }

      if (way.logout)
        await t.test('logged out on another member', async t => {
          const ann = await way.visitor(place.port, 'cid')
          const bob = await way.visitor(place.port, 'bob')
          const open = await Promise.all(
            longKinds.map(kind => openLong(kind, { port: place.port, ...ann })),
          )
          const others = await Promise.all(
            longKinds.map(kind => openLong(kind, { port: place.port, ...bob })),
          )
          t.teardown(() => {
            for (const { close } of [...open, ...others]) close()
          })
          const headers = { 'sec-fetch-site': 'same-origin', ...ann.headers }
          const leaver = new SessionClient(ann.tls)
          const left = { method: 'POST', path: '/logout' }
          t.ok((await leaver.once(elsewhere, headers, left)).status < 400)
          await until(() => open.every(({ ended }) => ended()), 'all ended')
          t.ok(
            others.every(({ ended }) => !ended()),
            "bob's go on",
          )
        })
    })

/** Handshakes of attached servers as they happen. */
function watchHandshakes(t: TeardownScope): Handshake[] {
  const seen: Handshake[] = []
  const note = (message: unknown) =>
    seen.push((message as { handshake: Handshake }).handshake)
  subscribe('handfast:handshake', note)
  t.teardown(() => unsubscribe('handfast:handshake', note))
  return seen
}
