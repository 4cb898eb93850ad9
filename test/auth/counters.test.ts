import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { createServer } from 'node:https'
import t, { type Test } from 'tap'
import type { AuthOptions } from '../../lib/auth/options.ts'
import { createFarm } from '../../lib/member/create-farm.ts'
import { SessionClient } from '../fixtures/auth/farm.ts'
import { basic } from '../fixtures/auth/world.ts'
import { authority, clientOf, p256 } from '../fixtures/tls/certificates.ts'
import { listening } from '../fixtures/tls/servers.ts'

const password = 'correct horse'
const verify = (user: string, given: string) => {
  if (user === 'broken') throw new Error('on fire')
  return given === password
}
const ownSite = { 'sec-fetch-site': 'same-origin' }

/** A farm of one with a server that everybody must log in to. */
async function guarded(t: Test, options: AuthOptions, tls: object = {}) {
  const farm = await createFarm()
  t.teardown(() => farm.close())
  const middleware = farm.auth({ logoutPath: '/out', ...options })
  const server = createServer(
    { ...(await p256('localhost')), ...tls },
    (request, response) => middleware(request, response, () => response.end('in')),
  )
  farm.attach(server)
  return { farm, port: await listening(t, server) }
}

function heard(t: Test, name: string): unknown[] {
  const messages: unknown[] = []
  const listener = (message: unknown) => void messages.push(message)
  subscribe(`handfast:${name}`, listener)
  t.teardown(() => unsubscribe(`handfast:${name}`, listener))
  return messages
}

t.test('log-ins are counted by method and outcome, and published', async t => {
  const { farm, port } = await guarded(t, { basic: verify, attempts: { perUser: 2 } })
  const logins = heard(t, 'login')
  const logouts = heard(t, 'logout')
  const lookups = heard(t, 'login-lookup')
  const client = new SessionClient()
  t.equal((await client.once(port)).status, 401)
  t.equal((await client.once(port, basic('ann', password))).status, 200)
  t.equal((await client.once(port, basic('ann', password))).status, 200)
  for (const status of [401, 401, 429]) {
    t.equal((await client.once(port, basic('secretword', 'guess'))).status, status)
  }
  t.equal((await client.once(port, basic('broken', 'x'))).status, 503)
  await client.once(port, ownSite, { method: 'POST', path: '/out' })

  const one = { method: 'basic', count: 1 }
  t.same(farm.stats().auth, {
    logins: [
      { ...one, outcome: 'proved' },
      { ...one, outcome: 'refused', count: 2 },
      { ...one, outcome: 'limited' },
      { ...one, outcome: 'unavailable' },
    ],
    logouts: 1,
    lookups: { hit: 1, miss: 5 },
  })
  t.same(
    logins.map(message => Object.values(message as object)),
    [
      ['basic', 'proved', 'ann'],
      ['basic', 'refused', undefined],
      ['basic', 'refused', undefined],
      ['basic', 'limited', undefined],
      ['basic', 'unavailable', undefined],
    ],
    'and only a user that is proved is named',
  )
  t.same(logouts, [{ everywhere: true }])
  t.same(
    lookups.map(message => (message as { found: string }).found),
    ['miss', 'miss', 'hit', 'miss', 'miss', 'miss'],
    'what is limited is not looked up',
  )

  const text = await farm.metrics()
  for (const line of [
    'handfast_logins_total{method="basic",outcome="proved"} 1',
    'handfast_logins_total{method="basic",outcome="refused"} 2',
    'handfast_logins_total{method="basic",outcome="limited"} 1',
    'handfast_logins_total{method="basic",outcome="unavailable"} 1',
    'handfast_logouts_total 1',
    'handfast_login_lookups_total{found="hit"} 1',
    'handfast_login_lookups_total{found="miss"} 5',
  ]) {
    t.ok(text.includes(`${line}\n`), line)
  }
  t.notMatch(text, /ann|secretword|broken/, 'no name of a user')
})

t.test('a certificate counts once for a connection, and once it is void', async t => {
  const tls = {
    ca: (await authority('Clients')).cert,
    requestCert: true,
    rejectUnauthorized: false,
  }
  const { farm, port } = await guarded(t, { certificate: true, basic: verify }, tls)
  const carl = new SessionClient(await clientOf('Clients', 'carl'))
  const open = carl.open(port)
  for (let n = 0; n < 3; n += 1) t.equal((await open.ask()).status, 200)
  open.close()
  t.equal((await carl.once(port)).status, 200, 'remembered')
  t.same(farm.stats().auth, {
    logins: [{ method: 'certificate', outcome: 'proved', count: 1 }],
    logouts: 0,
    lookups: { hit: 3, miss: 1 },
  })
  const form = await guarded(t, { form: { verify } })
  const page = await new SessionClient().once(form.port, {}, { path: '/login' })
  t.equal(page.status, 200)
  t.same(form.farm.stats().auth.logins, [], 'a page is no log-in')
})
