import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { hashSync } from 'bcryptjs'
import t from 'tap'
import { AuthAuthorizer } from '../../../lib/proxy/request/auth-authorizer.ts'
import {
  answerForEver,
  longKinds,
  openLong,
  upgradeForEver,
} from '../../fixtures/auth/long-exchanges.ts'
import { basic } from '../../fixtures/auth/world.ts'
import { patience, patientLogins } from '../../fixtures/patience.ts'
import { type FarmProxy, farmProxies } from '../../fixtures/proxy/farm.ts'
import {
  agentGateway,
  type Gateway,
  http2Gateway,
} from '../../fixtures/proxy/gateways.ts'
import { defaultSite, startBackend } from '../../fixtures/proxy/servers.ts'
import { until } from '../../fixtures/until.ts'

t.test('a new password ends the old one on open connections of all proxies', async t => {
  const file = join(t.testdir({}), 'users')
  const write = (users: Record<string, string>) =>
    writeFileSync(
      file,
      Object.entries(users)
        .map(([user, password]) => `${user}:${hashSync(password, 4)}\n`)
        .join(''),
    )
  write({ ann: 'first', bob: 'staple' })
  const backend = await startBackend(t, (request, response) => {
    request.resume()
    response.end(request.headers['x-forwarded-user'])
  })
  const site = await defaultSite([backend.url])
  const [one, two] = (await farmProxies(t, {
    count: 2,
    sites: farm => {
      const users = { htpasswd: file }
      const { auth } = farm.auth({ ...patientLogins, basic: users, form: users })
      return [{ ...site, authorizer: new AuthAuthorizer(auth) }]
    },
  })) as [FarmProxy, FarmProxy]
  const clients = [
    agentGateway(t, one.port, true),
    agentGateway(t, two.port, true),
    http2Gateway(t, one.port),
    http2Gateway(t, two.port),
  ]
  const all = async (headers: Record<string, string>) =>
    await Promise.all(clients.map(client => who(client, headers)))
  const page = await clients[0]?.ask({ path: '/login' })
  const [, token = ''] = /name="token" value="([^"]+)"/.exec(page?.text ?? '') ?? []
  const fields = { username: 'ann', password: 'first', token, to: '/' }
  const posted = await clients[0]?.ask({
    method: 'POST',
    path: '/login',
    headers: {
      'content-type': 'application/x-www-form-urlencoded',
      cookie: cookieOf(page?.headers['set-cookie']),
    },
    body: String(new URLSearchParams(fields)),
  })
  const cookie = { cookie: cookieOf(posted?.headers['set-cookie']) }
  t.same(await all(basic('ann', 'first')), Array(4).fill('ann'))
  t.same(await all(cookie), Array(4).fill('ann'))

  write({ ann: 'second', bob: 'staple' })
  const end = Date.now() + patience
  // A proxy looks at the file once a second.
  for (const client of clients) {
    while ((await who(client, cookie)) === 'ann') {
      if (Date.now() > end) throw new Error('still known')
    }
  }
  t.same(await all(cookie), Array(4).fill(401))
  t.same(await all(basic('ann', 'first')), Array(4).fill(401))
  t.same(await all(basic('ann', 'second')), Array(4).fill('ann'))
  t.same(await all(basic('bob', 'staple')), Array(4).fill('bob'))
})

for (const reloaded of [false, true]) {
  const when = reloaded
    ? 'after a reload has put another in its place'
    : 'where no request comes to see it'
  t.test(`and what is open, ${when}`, async t => {
    const file = join(t.testdir({}), 'users')
    const hash = (password: string) => hashSync(password, 4)
    const bobs = `bob:${hash('staple')}\n`
    writeFileSync(file, `ann:${hash('first')}\n${bobs}`)
    const backend = await startBackend(t, answerForEver)
    upgradeForEver(backend.server)
    const site = await defaultSite([backend.url])
    let authorizer: AuthAuthorizer | undefined
    const [proxy] = (await farmProxies(t, {
      count: 1,
      sites: farm => {
        const { auth } = farm.auth({ basic: { htpasswd: file } })
        authorizer = new AuthAuthorizer(auth)
        return [{ ...site, authorizer }]
      },
    })) as [FarmProxy]
    const open = async (headers: Record<string, string>) =>
      await Promise.all(
        longKinds.map(kind => openLong(kind, { port: proxy.port, headers, tls: {} })),
      )
    const anns = await open(basic('ann', 'first'))
    const others = await open(basic('bob', 'staple'))
    t.teardown(() => {
      for (const one of [...anns, ...others]) one.close()
    })
    if (reloaded) authorizer?.retire()
    writeFileSync(file, `ann:${hash('second')}\n${bobs}`)
    await until(() => anns.every(one => one.ended()), 'all of ann to end')
    t.notOk(
      others.some(one => one.ended()),
      'and of nobody else',
    )
    writeFileSync(file, '')
    await until(() => others.every(one => one.ended()), 'all of bob to end')
  })
}

/** The user, or the status. A busy machine may be late with a check of a password: 503. */
async function who(gateway: Gateway, headers: Record<string, string>) {
  const end = Date.now() + patience
  for (;;) {
    const { status, text } = await gateway.ask({ headers })
    if (status !== 503 || Date.now() > end) return status === 200 ? text : status
  }
}

function cookieOf(set: string | string[] | undefined): string {
  const [first = ''] = [set ?? ''].flat()
  return first.split(';')[0] ?? ''
}
