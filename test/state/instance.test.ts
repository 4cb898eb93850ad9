import { once } from 'node:events'
import {
  createServer,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http'
import type { AddressInfo } from 'node:net'
import express from 'express'
import session from 'express-session'
import t, { type Test } from 'tap'
import { generateSecret } from '../../lib/farm/secret.ts'
import { createState, type State } from '../../lib/state/index.ts'
import { SharedPlace } from '../fixtures/state/shared-database.ts'

const secret = generateSecret()

declare module 'express-session' {
  interface SessionData {
    items: string[]
  }
}

interface Shop {
  readonly state: State
  readonly port: number
}

/** An application server: its cache is trusted for an hour, so that only the cookie saves it. */
async function shop(t: Test, place: SharedPlace, verifies = true): Promise<Shop> {
  const state = await createState({
    database: place.open(),
    secret,
    tables: {
      sessions: { cacheTtl: 3_600_000 },
      addresses: { cacheTtl: 3_600_000 },
    },
  })
  const addresses = state.table<string>('addresses')
  const app = express()
  if (verifies) app.use(state.instance())
  const store = state.sessionStore(session)
  app.use(session({ store, secret, resave: false, saveUninitialized: true }))
  app.post('/items/:name', (request, response) => {
    request.session.items = [...(request.session.items ?? []), request.params.name]
    response.send('ok')
  })
  app.post('/address/:street', async (request, response) => {
    await addresses.set(`${request.sessionID}/billing`, request.params.street)
    response.send('ok')
  })
  app.get('/', async (request, response) => {
    const { value: address } = (await addresses.get(`${request.sessionID}/billing`)) ?? {}
    response.json({ items: request.session.items ?? [], address })
  })
  const server: Server = createServer(app)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(async () => {
    server.closeAllConnections()
    server.close()
    await state.close()
  })
  return { state, port: (server.address() as AddressInfo).port }
}

/** A browser that keeps cookies. */
function browser() {
  const cookies = new Map<string, string>()
  const ask = async ({ port }: Shop, path: string, method = 'GET'): Promise<string> => {
    const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ')
    const response = await fetch(`http://127.0.0.1:${port}${path}`, {
      method,
      headers: { cookie },
    })
    for (const line of response.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? []
      cookies.set(name, value)
    }
    return await response.text()
  }
  return { cookies, ask, post: (to: Shop, path: string) => ask(to, path, 'POST') }
}

t.test('fail-over and fail-back show no stale state (seed 002, Fig 4)', async t => {
  const place = new SharedPlace()
  const a = await shop(t, place)
  const b = await shop(t, place)
  const { ask, post, cookies } = browser()
  // Fig 4A: server A has the session, and the client A's instance ID.
  await post(a, '/items/apple')
  await post(a, '/address/Main%20Street')
  await ask(a, '/')
  const idOfA = cookies.get('__Host-handfast-instance')
  t.match(idOfA, new RegExp(`^${a.state.instanceId}\\.`))
  const before = place.count('get')
  t.same(JSON.parse(await ask(a, '/')), { items: ['apple'], address: 'Main Street' })
  t.equal(place.count('get'), before, 'from its data cache')
  // Fig 4B: A does not answer; B finds the state in the database, and changes it.
  t.same(JSON.parse(await ask(b, '/')), { items: ['apple'], address: 'Main Street' })
  await post(b, '/items/bread')
  await post(b, '/address/High%20Road')
  t.not(cookies.get('__Host-handfast-instance'), idOfA)
  // A answers again. Its cache has what was the truth before.
  t.same(JSON.parse(await ask(a, '/')), {
    items: ['apple', 'bread'],
    address: 'High Road',
  })
  t.equal(cookies.get('__Host-handfast-instance'), idOfA, "A's ID is the client's again")
  const loads = place.count('get')
  await ask(a, '/')
  t.equal(place.count('get'), loads, 'and its cache is good again')
  // Fig 4C: A was started anew.
  const again = await shop(t, place)
  t.not(again.state.instanceId, a.state.instanceId)
  await post(again, '/items/cheese')
  t.same(JSON.parse(await ask(b, '/')), {
    items: ['apple', 'bread', 'cheese'],
    address: 'High Road',
  })
  t.equal(b.state.stats().flushes > 0, true)
})

t.test('without the verification it would be stale', async t => {
  const place = new SharedPlace()
  const [a, b] = [await shop(t, place, false), await shop(t, place, false)]
  const { ask, post } = browser()
  await post(a, '/items/apple')
  await post(b, '/items/bread')
  t.same(JSON.parse(await ask(a, '/')), { items: ['apple'] })
})

t.test('the cookie is for this site, for TLS, and for no script', async t => {
  const a = await shop(t, new SharedPlace())
  const response = await fetch(`http://127.0.0.1:${a.port}/`)
  const line = response.headers
    .getSetCookie()
    .find(one => one.startsWith('__Host-handfast-instance='))
  t.match(line, /; Path=\/; HttpOnly; Secure; SameSite=Lax$/)
})

t.test('a made-up or altered ID is one of another server', async t => {
  const place = new SharedPlace()
  const a = await shop(t, place)
  const { ask, post, cookies } = browser()
  await post(a, '/items/apple')
  await ask(a, '/')
  const own = cookies.get('__Host-handfast-instance') ?? ''
  for (const value of [`${a.state.instanceId}.`, own.slice(0, -1), `${own}x`, '', 'é']) {
    const before = a.state.stats().flushes
    cookies.set('__Host-handfast-instance', encodeURI(value))
    t.same(JSON.parse(await ask(a, '/')).items, ['apple'])
    t.equal(a.state.stats().flushes, before + 1, value)
    t.equal(cookies.get('__Host-handfast-instance'), own)
  }
})

t.test(
  'a session ID that is read from elsewhere, and options that can not be',
  async t => {
    const place = new SharedPlace()
    const state = await createState({ database: place.open(), secret })
    t.teardown(() => state.close())
    const config = { code: 'ERR_HANDFAST_CONFIG' }
    t.throws(() => state.instance({ cookie: 'a b' }), config)
    t.throws(() => state.instance({ sessionCookie: 'a=b' }), config)
    t.throws(() => state.instance({ sesion: () => undefined } as never), config)
    const flushed: string[] = []
    state.flush = id => void flushed.push(id)
    const run = (options: object, headers: Record<string, string>) => {
      const response = { appendHeader: () => {} }
      state.instance(options)({ headers } as never, response as never, error => {
        if (error !== undefined) throw error
      })
    }
    run({}, { cookie: 'connect.sid=s%3Aan%2Fid.signa%2Fture' })
    run({}, { cookie: 'sessionId=an-id.sig.nature' })
    run({ sessionCookie: 'sid' }, { cookie: 'other=x; sid=plain' })
    run({ session: () => 'given' }, {})
    run({}, { cookie: 'connect.sid=%E0%A4%A' })
    run({}, {})
    t.same(flushed, ['an/id', 'an-id.sig', 'plain', 'given', '%E0%A4%A'])
  },
)

t.test('of two session cookies neither hides the other', async t => {
  const { state } = await shop(t, new SharedPlace())
  const flushed: string[] = []
  state.flush = name => void flushed.push(name)
  const headers = { cookie: 'sessionId=b.2; connect.sid=s%3Aa.1' }
  const response = { appendHeader: () => {} }
  state.instance()(
    { headers } as IncomingMessage,
    response as unknown as ServerResponse,
    () => {},
  )
  t.same(flushed, ['a', 'b'])
})
