import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { connect } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as tlsConnect } from 'node:tls'
import { hashSync } from 'bcryptjs'
import t from 'tap'
import type { AuthOptions } from '../../lib/auth/options.ts'
import {
  type AuthFarm,
  authFarm,
  http2Server,
  type Open,
  type Scope,
  SessionClient,
} from '../fixtures/auth/farm.ts'
import { signer, token } from '../fixtures/auth/tokens.ts'
import { basic } from '../fixtures/auth/world.ts'
import { authority, clientOf } from '../fixtures/tls/certificates.ts'

const password = 'correct horse'
const ann = basic('ann', password)
let checked = 0
const verify = (user: string, given: string) => {
  checked += 1
  return user === 'ann' && given === password
}
const ownSite = { 'sec-fetch-site': 'same-origin' }

/** One way to log in on a connection of a farm with these options. */
interface Way {
  readonly options: (t: Scope, tls: string) => AuthOptions | Promise<AuthOptions>
  readonly login: (open: Open) => Promise<unknown>
  /** What the client sends with each request, beside the cookies that it was given. */
  readonly shows: object
  /** What a request is answered that shows the same after a log-out. */
  readonly after: number
  readonly secrets: readonly string[]
}

const key = signer()
const now = Math.floor(Date.now() / 1_000)
const jwt = token(key, { iss: 'i', aud: 'a', sub: 'ann', iat: now, exp: now + 600 })

/** The members have ports of their own here, and yet one name. */
const sso = { cookie: 'sso=sesame', host: 'localhost' }

const ways: Record<string, Way> = {
  basic: {
    options: (t, tls) => {
      // One version does for the file: threads are slow to start here.
      if (tls === 'TLSv1.2') return { basic: verify }
      const folder = mkdtempSync(join(tmpdir(), 'handfast-'))
      t.teardown(() => rmSync(folder, { recursive: true }))
      const htpasswd = join(folder, 'users')
      writeFileSync(htpasswd, `ann:${hashSync(password, 4)}\n`)
      return { basic: { htpasswd } }
    },
    login: open => open.ask(ann),
    shows: ann,
    after: 401,
    secrets: [password, ann.authorization.slice(6)],
  },
  bearer: {
    options: () => ({
      bearer: { key: key.publicPem, issuer: 'i', audience: 'a', algorithms: ['EdDSA'] },
    }),
    login: open => open.ask({ authorization: `Bearer ${jwt}` }),
    shows: { authorization: `Bearer ${jwt}` },
    after: 200,
    secrets: [jwt, jwt.split('.')[2] as string],
  },
  forward: {
    options: async t => {
      const server = createServer((asked, response) => {
        const known = asked.headers.cookie === 'sso=sesame'
        if (known) checked += 1
        response.writeHead(known ? 200 : 401, { 'x-forwarded-user': 'ann' }).end()
      })
      server.listen(0, '127.0.0.1')
      await once(server, 'listening')
      t.teardown(() => {
        server.closeAllConnections()
        server.close()
      })
      const { port } = server.address() as AddressInfo
      return { forward: { url: `http://127.0.0.1:${port}/` } }
    },
    login: open => open.ask(sso),
    shows: sso,
    after: 200,
    secrets: ['sesame'],
  },
  form: {
    options: () => ({ form: { verify } }),
    login: logInByForm,
    shows: {},
    after: 401,
    secrets: [password, 'correct+horse'],
  },
}

for (const [method, { options, login, shows, after, secrets }] of Object.entries(ways)) {
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    t.test(`${method}, ${maxVersion}: asked once on A, known on B and C`, async t => {
      const given = await options(t, maxVersion)
      const farm = await authFarm(t, given, { tls: { maxVersion } })
      const [a, b, c] = farm.members
      const client = new SessionClient()
      const first = client.open(a.port)
      t.equal((await first.ask()).status, 401, 'asked')
      checked = 0
      await login(first)
      const here = await first.ask(shows)
      t.match(here.told, { auth: { subject: 'ann', method }, resumed: false })
      first.close()
      for (const member of [b, c]) {
        const there = await client.once(member.port, shows)
        t.match(there.told, { resumed: /local|peer/, lineage: here.told?.lineage })
        t.same(there.told?.auth, here.told?.auth)
      }
      const counted = typeof given.basic === 'function' || given.forward || given.form
      if (counted) t.equal(checked, 1, 'checked once for the farm')
      const thief = new SessionClient()
      thief.session = client.session
      for (const member of [a, b, c]) {
        const { status } = await thief.once(member.port)
        t.equal(status, 401, 'nobody by the TLS session alone')
      }
      t.equal((await new SessionClient().once(b.port)).status, 401, 'full handshake')

      const open = client.open(b.port)
      const out = await open.ask(
        { ...shows, ...ownSite },
        { method: 'POST', path: '/out' },
      )
      t.match(out.text, '"everywhere":true')
      t.equal((await open.ask(shows)).status, after, 'after the log-out')
      open.close()
      for (const member of [a, c]) {
        const again = client.open(member.port)
        if (method === 'basic') t.equal((await again.ask(ann)).status, 401, 'once more')
        await login(again)
        const back = (await again.ask(shows)).told
        t.match(back, { auth: { subject: 'ann' }, resumed: /local|peer/ }, 'TLS resumed')
        await again.ask({ ...shows, ...ownSite }, { method: 'POST', path: '/out' })
        again.close()
      }
      noneLeaked(t, farm, secrets)
    })
  }
}

t.test('form: known on a full handshake by the cookie', async t => {
  const { members } = await authFarm(t, { form: { verify } })
  const [a, b] = members
  const client = new SessionClient()
  const open = client.open(a.port)
  await logInByForm(open)
  open.close()
  client.session = undefined
  t.match((await client.once(b.port)).told, { auth: { subject: 'ann' }, resumed: false })
})

t.test('certificate', async t => {
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    await t.test(maxVersion, async t => {
      const { cert: ca } = await authority('Clients')
      const tls = { ca, requestCert: true, rejectUnauthorized: false, maxVersion }
      const { members } = await authFarm(t, { certificate: true }, { tls })
      const [a, b, c] = members
      const carl = new SessionClient(await clientOf('Clients', 'carl'))
      const first = await carl.once(a.port)
      t.match(first.told, { auth: { subject: 'carl', method: 'certificate' } })
      for (const member of [b, c]) {
        const there = (await carl.once(member.port)).told
        t.match(there, { resumed: /local|peer/ })
        t.same(there?.auth, first.told?.auth)
      }
      await t.test('without one the resumed session is nobody either', async t => {
        const nobody = new SessionClient()
        t.equal((await nobody.once(a.port)).status, 403)
        t.ok(nobody.session)
        t.equal((await nobody.once(b.port)).status, 403)
        const open = nobody.open(c.port)
        t.equal((await open.ask()).status, 403)
        t.equal((await open.ask()).status, 403)
        open.close()
      })
      await t.test('of another authority is nobody', async t => {
        const mallory = new SessionClient(await clientOf('Others', 'carl'))
        t.equal((await mallory.once(a.port)).status, 403)
        t.equal((await mallory.once(b.port)).status, 403)
      })
      await t.test('logs in again after a log-out with a full handshake', async t => {
        const out = { method: 'POST', path: '/out' }
        t.equal((await carl.once(b.port, ownSite, out)).status, 200)
        t.equal((await carl.once(c.port)).status, 403)
        carl.session = undefined
        t.match((await carl.once(c.port)).told, { auth: { subject: 'carl' } })
      })
    })
  }
})

t.test('HTTP/2: known across streams of one connection and across members', async t => {
  const { members } = await authFarm(
    t,
    { basic: verify },
    { make: http2Server, tls: { ALPNProtocols: ['h2'] } as object },
  )
  const [a, b] = members
  let session: Buffer | undefined
  const visit = async (port: number, requests: readonly object[]) => {
    const socket = tlsConnect({
      host: '127.0.0.1',
      port,
      servername: 'localhost',
      rejectUnauthorized: false,
      ALPNProtocols: ['h2'],
      ...(session && { session }),
    })
    socket.on('session', given => {
      session = given
    })
    const h2 = connect(`https://localhost:${port}`, { createConnection: () => socket })
    const replies: { status: unknown; told: unknown }[] = []
    for (const headers of requests) {
      const stream = h2.request({ ':path': '/', ...headers })
      const [head] = await once(stream, 'response')
      let text = ''
      for await (const chunk of stream.setEncoding('utf8')) text += chunk
      const told = text.startsWith('{') ? JSON.parse(text) : undefined
      replies.push({ status: head[':status'], told })
    }
    h2.close()
    await once(h2, 'close')
    return replies
  }
  checked = 0
  const [asked, first, bare, second] = await visit(a.port, [{}, ann, {}, ann])
  t.equal(asked?.status, 401)
  t.match(first?.told, { auth: { subject: 'ann' }, resumed: false })
  t.equal(bare?.status, 401, 'each request must show it')
  t.match(second?.told, { auth: { subject: 'ann' } })
  const [there, nobody] = await visit(b.port, [ann, {}])
  t.match(there?.told, { auth: { subject: 'ann' }, resumed: /local|peer/ })
  t.equal(nobody?.status, 401)
  t.equal(checked, 1)
})

async function logInByForm(open: Open): Promise<unknown> {
  const form = await open.ask({}, { path: '/login' })
  const value = /name="token" value="([^"]*)"/.exec(form.text)?.[1] as string
  const fields = { username: 'ann', password, token: value, to: '/' }
  return await open.ask(
    { ...ownSite, 'content-type': 'application/x-www-form-urlencoded' },
    { method: 'POST', path: '/login', body: String(new URLSearchParams(fields)) },
  )
}

function noneLeaked(
  t: { notOk(value: unknown, message: string): void },
  { log }: AuthFarm,
  secrets: readonly string[],
): void {
  const lines = log.lines.join('\n')
  for (const secret of secrets) t.notOk(lines.includes(secret), 'no secret in the log')
}
