import { once } from 'node:events'
import { createSecureServer } from 'node:http2'
import type { AddressInfo } from 'node:net'
import type { TLSSocket } from 'node:tls'
import t, { type Test } from 'tap'
import { findProgram } from '../../../bench/systems/program.ts'
import type { AuthOptions } from '../../../lib/auth/options.ts'
import type { Authenticated } from '../../../lib/auth/request/node-request.ts'
import { createFarm } from '../../../lib/member/create-farm.ts'
import { AuthAuthorizer } from '../../../lib/proxy/request/auth-authorizer.ts'
import { basic } from '../../fixtures/auth/world.ts'
import { farmProxies } from '../../fixtures/proxy/farm.ts'
import {
  agentGateway,
  type Gateway,
  type GatewayReply,
  http2Gateway,
  nginxGateway,
} from '../../fixtures/proxy/gateways.ts'
import { defaultSite, startBackend } from '../../fixtures/proxy/servers.ts'
import { p256 } from '../../fixtures/tls/certificates.ts'

/*
 * Users behind a gateway that says nothing of itself: their requests come over the same TLS
 * sessions and connections, and none may pass for another.
 */

const words: Record<string, string> = { ann: 'correct horse', bob: 'battery staple' }
const ann = basic('ann', 'correct horse')
const bob = basic('bob', 'battery staple')
const ownSite = { 'sec-fetch-site': 'same-origin' }
const form = { ...ownSite, 'content-type': 'application/x-www-form-urlencoded' }

interface Guarded {
  readonly port: number
  /** Passwords that were checked. */
  readonly checked: () => number
  /** Handshakes that were resumed. */
  readonly resumed: () => number
}

type Place = (t: Test, options?: Partial<AuthOptions>) => Promise<Guarded>

function counting(): { options: AuthOptions; checked: () => number } {
  let checked = 0
  const verify = (user: string, password: string) => {
    checked += 1
    return words[user] === password
  }
  const options = { basic: verify, form: { verify }, logoutPath: '/logout' }
  return { options, checked: () => checked }
}

/** A server of both versions; each place answers with the user's name. */
const plugin: Place = async (t, more) => {
  const { options, checked } = counting()
  const farm = await createFarm()
  t.teardown(() => farm.close())
  const middleware = farm.auth({ ...options, ...more })
  const server = createSecureServer({ ...(await p256('localhost')), allowHTTP1: true })
  server.on('request', (request, response) => {
    middleware(request, response, () => {
      response.end((request as Authenticated<typeof request>).auth?.subject ?? '')
    })
  })
  const sockets = new Set<TLSSocket>()
  server.on('secureConnection', socket => sockets.add(socket))
  farm.attach(server)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  return { port, checked, resumed: () => farm.stats().handshakes.resumed }
}

const proxy: Place = async (t, more) => {
  const { options, checked } = counting()
  const backend = await startBackend(t, (request, response) => {
    request.resume()
    response.end(request.headers['x-forwarded-user'])
  })
  const site = await defaultSite([backend.url])
  const [one] = await farmProxies(t, {
    count: 1,
    sites: farm => {
      const { auth } = farm.auth({ ...options, ...more })
      return [{ ...site, authorizer: new AuthAuthorizer(auth) }]
    },
  })
  if (one === undefined) throw new Error('no proxy')
  const { farm, port } = one
  return { port, checked, resumed: () => farm.stats().handshakes.resumed }
}

const noNginx = findProgram('nginx').missing ?? false
const gateways: Record<string, (t: Test, port: number) => Gateway | Promise<Gateway>> = {
  'nginx with proxy_pass': (t, port) => nginxGateway(t, port, false),
  'nginx with connections that it keeps': (t, port) => nginxGateway(t, port, true),
  "Node's https.Agent": (t, port) => agentGateway(t, port, false),
  "Node's https.Agent with connections that it keeps": (t, port) =>
    agentGateway(t, port, true),
  'an HTTP/2 connection': (t, port) => http2Gateway(t, port),
}

for (const [where, place] of Object.entries({ plugin, proxy })) {
  for (const [name, open] of Object.entries(gateways)) {
    const skip = name.startsWith('nginx') && noNginx
    t.test(`${where} behind ${name}: each is who they show to be`, { skip }, async t => {
      const guarded = await place(t)
      const gateway = await open(t, guarded.port)
      const { checked } = guarded
      t.equal(await who(gateway), 401, 'nobody yet')
      t.equal(await who(gateway, ann), 'ann')
      for (let i = 0; i < 3; i++) t.equal(await who(gateway), 401, 'a stranger')
      t.equal(await who(gateway, bob), 'bob')
      t.equal(await who(gateway, ann), 'ann')
      t.equal(await who(gateway, bob), 'bob')
      t.equal(await who(gateway), 401, 'a stranger, still')
      t.equal(checked(), 2, 'each password once')
      if ('renew' in gateway) (gateway as ReturnType<typeof http2Gateway>).renew()
      t.equal(await who(gateway), 401, 'on a session that came back')
      t.equal(await who(gateway, ann), 'ann')
      t.equal(checked(), 2)
      const keeps = name.endsWith('keeps')
      if (!keeps) t.ok(guarded.resumed() > 0, 'sessions did come back')

      t.equal(await who(gateway, basic('ann', 'battery staple')), 401, 'a wrong password')
      t.equal(
        await who(gateway, basic('bob', 'correct horse')),
        401,
        "another's password",
      )
      const all = [ann, {}, bob, ann, {}, bob, ann, {}, bob, {}]
      const together = await Promise.all(all.map(headers => who(gateway, headers)))
      t.same(together, ['ann', 401, 'bob', 'ann', 401, 'bob', 'ann', 401, 'bob', 401])

      const out = { path: '/logout', method: 'POST' }
      await gateway.ask({ ...out, headers: ownSite })
      t.equal(await who(gateway, ann), 'ann', 'a stranger logs nobody out')
      const left = await gateway.ask({ ...out, headers: { ...ann, ...ownSite } })
      t.equal(left.status, 303)
      t.equal(await who(gateway, bob), 'bob', 'nor does ann anybody else')
    })

    t.test(`${where} behind ${name}: a form is by its cookie`, { skip }, async t => {
      const guarded = await place(t)
      const gateway = await open(t, guarded.port)
      const cookie = await logIn(gateway)
      t.equal(await who(gateway, { cookie }), 'ann')
      t.equal(await who(gateway), 401)
      const forged = cookie.replace(/=./, match => (match === '=A' ? '=B' : '=A'))
      t.equal(await who(gateway, { cookie: forged }), 401)
      const stranger = agentGateway(t, guarded.port, false)
      t.equal(await who(stranger, { cookie }), 'ann', 'from elsewhere too')
      const out = { path: '/logout', method: 'POST', headers: { ...ownSite, cookie } }
      t.equal((await gateway.ask(out)).status, 303)
      t.equal(await who(gateway, { cookie }), 401)
    })
  }

  t.test(`${where} that lets TLS sessions tell: it is told what happens`, async t => {
    // What the option is for, and what SECURITY.md says of it.
    const guarded = await place(t, { rememberBy: 'tls-session' })
    const gateway = agentGateway(t, guarded.port, false)
    t.equal(await who(gateway, ann), 'ann')
    t.equal(await who(gateway), 'ann', 'a client need not send it again')
    t.equal(await who(gateway, { via: '1.1 gateway' }), 401)
    t.equal(await who(gateway, bob), 'bob')
    t.equal(await who(gateway), 401, 'after two users it tells nobody')
  })
}

/** The user's name, or the status of a refusal. */
async function who(
  gateway: Gateway,
  headers: Record<string, string> = {},
): Promise<string | number> {
  const { status, text } = await gateway.ask({ headers })
  return status === 200 ? text : status
}

/** The cookie of a log-in by form. */
async function logIn(gateway: Gateway): Promise<string> {
  const page = await gateway.ask({ path: '/login' })
  const [, token = ''] = /name="token" value="([^"]+)"/.exec(page.text) ?? []
  const fields = { username: 'ann', password: words['ann'] as string, token, to: '/' }
  const posted = await gateway.ask({
    method: 'POST',
    path: '/login',
    headers: { ...form, cookie: cookieOf(page) },
    body: String(new URLSearchParams(fields)),
  })
  return cookieOf(posted)
}

function cookieOf({ headers }: GatewayReply): string {
  const [set] = [headers['set-cookie'] ?? ''].flat()
  return set?.split(';')[0] ?? ''
}
