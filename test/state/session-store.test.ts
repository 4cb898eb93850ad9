import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import fastifyCookie from '@fastify/cookie'
import fastifySession from '@fastify/session'
import express from 'express'
import session, { Cookie, type SessionData, type Store } from 'express-session'
import fastify from 'fastify'
import t, { type Test } from 'tap'
import { generateSecret } from '../../lib/farm/secret.ts'
import {
  createState,
  memoryDatabase,
  type SessionStoreOptions,
} from '../../lib/state/index.ts'
import { mergeFields } from '../../lib/state/session/merge-fields.ts'
import { storeMaker } from '../fixtures/state/session-stores.ts'
import { SharedPlace } from '../fixtures/state/shared-database.ts'
import { sessionContract } from './session-contract.ts'

const secret = generateSecret()

async function setUp(
  t: Test,
  options?: SessionStoreOptions,
  place: SharedPlace = new SharedPlace(),
) {
  const state = await createState({ database: place.open(), secret })
  t.teardown(() => state.close())
  const store: Store = state.sessionStore(session, options)
  return { state, place, store }
}

/** A session as express-session makes it. */
function loaded(store: object, sid: string): Promise<Record<string, unknown>> {
  return ask(store, 'load', sid) as Promise<Record<string, unknown>>
}

/** A method of a store as a promise. */
function ask<T = unknown>(
  store: object,
  method: string,
  ...args: unknown[]
): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const done = (error: unknown, value: T) => (error ? reject(error) : resolve(value))
    const call = (store as Record<string, (...all: unknown[]) => void>)[method]
    call?.call(store, ...args, done)
  })
}

function lasting(ms: number, fields: object = {}) {
  const cookie = new Cookie()
  cookie.expires = new Date(Date.now() + ms)
  return { ...fields, cookie } as SessionData
}

t.test('it does what session middleware asks of a store', async t => {
  await sessionContract(t, await storeMaker(t, memoryDatabase()))
})

t.test('callbacks may be left out, and errors come to them', async t => {
  const { store, place } = await setUp(t)
  const promised = store as unknown as Record<
    string,
    (...args: unknown[]) => Promise<unknown>
  >
  await promised['set']?.('a', lasting(60_000, { user: 'ann' }))
  t.match(await promised['get']?.('a'), { user: 'ann' })
  t.equal(await promised['length']?.(), 1)
  place.before = () => {
    throw new Error('down')
  }
  await t.rejects(ask(store, 'get', 'b'), { code: 'ERR_HANDFAST_DATABASE' })
  await t.rejects(ask(store, 'set', 'b', lasting(1_000)))
  await t.rejects(ask(store, 'destroy', 'b'), { code: 'ERR_HANDFAST_OUTCOME_UNKNOWN' })
  t.match(await ask(store, 'get', 'a'), { user: 'ann' }, 'from the cache')
})

t.test('what is no base of a store, and bad options, are refused', async t => {
  const { state } = await setUp(t)
  t.throws(() => state.sessionStore('session'), { code: 'ERR_HANDFAST_USAGE' })
  t.throws(() => state.sessionStore(session, { ttl: 0 }), { code: 'ERR_HANDFAST_CONFIG' })
  t.throws(() => state.sessionStore(session, { onConflict: 'x' } as never), {
    code: 'ERR_HANDFAST_CONFIG',
  })
  const bare = state.sessionStore()
  t.throws(() => bare.createSession({}, {}), { message: /sessionStore\(session\)/ })
})

t.test('of two requests that change a session at a time', async t => {
  /** Two requests that have read the session before either stores it. */
  const both = async (t: Test, options?: SessionStoreOptions) => {
    const { store } = await setUp(t, options)
    await ask(store, 'set', 'id', lasting(60_000, { a: 1, b: 1 }))
    const read = async () =>
      store.createSession(
        {} as never,
        (await ask<SessionData>(store, 'get', 'id')) ?? ({} as never),
      )
    const [one, two] = [await read(), await read()] as unknown as Record<
      string,
      unknown
    >[]
    if (one === undefined || two === undefined) throw new Error('two')
    return { store, one, two }
  }

  t.test('each keeps its change', async t => {
    const { store, one, two } = await both(t)
    one['a'] = 2
    two['b'] = 2
    two['c'] = 3
    await ask(store, 'set', 'id', one)
    await ask(store, 'set', 'id', two)
    t.match(await ask(store, 'get', 'id'), { a: 2, b: 2, c: 3 })
    t.equal(two['a'], 2, 'and sees the other one')
    delete two['a']
    await ask(store, 'set', 'id', two)
    const last = await ask<object>(store, 'get', 'id')
    t.notOk('a' in (last ?? {}))
  })

  t.test('the later is refused where both changed the same', async t => {
    const { store, one, two } = await both(t)
    one['a'] = 2
    two['a'] = 3
    await ask(store, 'set', 'id', one)
    await t.rejects(ask(store, 'set', 'id', two), {
      code: 'ERR_HANDFAST_CONFLICT',
      message: /"a"/,
    })
    t.match(await ask(store, 'get', 'id'), { a: 2 })
  })

  t.test('two saves of one request are no conflict', async t => {
    const { store } = await setUp(t)
    const session = { n: 1, ...lasting(60_000) }
    const first = ask(store, 'set', 'a', session)
    session.n = 2
    await Promise.all([first, ask(store, 'set', 'a', session)])
    const found = await loaded(store, 'a')
    found['n'] = 3
    const third = ask(store, 'set', 'a', found)
    found['n'] = 4
    await Promise.all([third, ask(store, 'set', 'a', found)])
    t.equal((await loaded(store, 'a'))['n'], 4)
  })

  t.test('a new session, saved twice, keeps what another did between', async t => {
    const { store } = await setUp(t)
    const session = { n: 1, ...lasting(60_000) }
    await ask(store, 'set', 'a', session)
    const other = await loaded(store, 'a')
    other['other'] = true
    await ask(store, 'set', 'a', other)
    session.n = 2
    await ask(store, 'set', 'a', session)
    t.match(await loaded(store, 'a'), { n: 2, other: true })
  })

  t.test('what the application holds of a session stays in it', async t => {
    const { store } = await setUp(t)
    await ask(store, 'set', 'a', lasting(60_000, { cart: [] }))
    const [one, other] = [await loaded(store, 'a'), await loaded(store, 'a')]
    other['seen'] = true
    await ask(store, 'set', 'a', other)
    const cart = one['cart'] as string[]
    cart.push('apple')
    await ask(store, 'set', 'a', one)
    cart.push('pear')
    await ask(store, 'set', 'a', one)
    t.match(await loaded(store, 'a'), { cart: ['apple', 'pear'], seen: true })
  })

  t.test('no field is a prototype', async t => {
    const fields = (text: string) => JSON.parse(text) as Record<string, unknown>
    const theirs = fields('{"__proto__":{"a":1},"constructor":2}')
    const { merged } = mergeFields(theirs, { ...fields('{"b":3}'), ...theirs }, theirs)
    t.equal(JSON.stringify(merged), '{"__proto__":{"a":1},"constructor":2,"b":3}')
  })

  t.test('a log-out stays one', async t => {
    const { store, one, two } = await both(t)
    await ask(store, 'destroy', 'id')
    await ask(store, 'set', 'id', one)
    t.notOk(await ask(store, 'get', 'id'), 'who changed nothing loses nothing')
    two['b'] = 2
    await t.rejects(ask(store, 'set', 'id', two), { code: 'ERR_HANDFAST_CONFLICT' })
    t.notOk(await ask(store, 'get', 'id'))
  })

  t.test('or as the options say', async t => {
    const refusing = await both(t, { onConflict: 'refuse' })
    await ask(refusing.store, 'set', 'id', refusing.one)
    refusing.two['b'] = 2
    await t.rejects(ask(refusing.store, 'set', 'id', refusing.two), {
      code: 'ERR_HANDFAST_CONFLICT',
    })
    const { store, one, two } = await both(t, { onConflict: 'overwrite' })
    one['a'] = 2
    two['b'] = 2
    await ask(store, 'set', 'id', one)
    await ask(store, 'set', 'id', two)
    t.match(await ask(store, 'get', 'id'), { a: 1, b: 2 })
  })
})

t.test('express 5 keeps its sessions there, over a restart', async t => {
  const place = new SharedPlace()
  const start = async () => {
    const { store } = await setUp(t, {}, place)
    const app = express()
    const cookie = { maxAge: 60_000 }
    app.use(session({ store, secret, resave: false, saveUninitialized: false, cookie }))
    app.get('/', (request, response) => {
      const visits = request.session as unknown as { count?: number }
      visits.count = (visits.count ?? 0) + 1
      response.send(`${visits.count}`)
    })
    app.get('/renew', (request, response) => {
      request.session.regenerate(error => response.send(error ? 'failed' : 'renewed'))
    })
    app.get('/leave', (request, response) => {
      request.session.destroy(error => response.send(error ? 'failed' : 'left'))
    })
    const server = createServer(app)
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    t.teardown(() => {
      server.closeAllConnections()
      server.close()
    })
    return (server.address() as AddressInfo).port
  }
  let cookie = ''
  const get = async (port: number, path = '/') => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, {
      headers: { cookie },
    })
    cookie = response.headers.getSetCookie()[0]?.split(';')[0] ?? cookie
    return await response.text()
  }
  const first = await start()
  t.equal(await get(first), '1')
  t.equal(await get(first), '2')
  const second = await start()
  t.equal(await get(second), '3')
  const before = cookie
  t.equal(await get(second, '/renew'), 'renewed')
  t.equal(await get(second), '1')
  t.not(cookie, before)
  t.equal(await get(second, '/leave'), 'left')
  cookie = before
  t.equal(await get(first), '1', 'the old one is gone')
})

t.test('fastify 5 keeps its sessions there, over a restart', async t => {
  const place = new SharedPlace()
  const start = async () => {
    const state = await createState({ database: place.open(), secret })
    t.teardown(() => state.close())
    const app = fastify()
    await app.register(fastifyCookie)
    const cookie = { secure: false, maxAge: 60_000 }
    await app.register(fastifySession, { secret, cookie, store: state.sessionStore() })
    app.get('/', async request => {
      const visits = request.session as unknown as { count?: number }
      visits.count = (visits.count ?? 0) + 1
      return `${visits.count}`
    })
    app.get('/leave', async request => {
      await request.session.destroy()
      return 'left'
    })
    t.teardown(() => app.close())
    return app
  }
  let cookie = ''
  const get = async (app: Awaited<ReturnType<typeof start>>, url = '/') => {
    const response = await app.inject({ url, headers: { cookie } })
    const [given] = [response.headers['set-cookie'] ?? []].flat()
    cookie = given?.split(';')[0] ?? cookie
    return response.body
  }
  const first = await start()
  t.equal(await get(first), '1')
  t.equal(await get(first), '2')
  const second = await start()
  t.equal(await get(second), '3')
  t.equal(await get(second, '/leave'), 'left')
  t.equal(await get(first), '1')
})

t.test('a session in memory needs no secret', async t => {
  const state = await createState({ database: memoryDatabase() })
  t.teardown(() => state.close())
  const store = state.sessionStore(session)
  await ask(store, 'set', 'a', lasting(60_000, { user: 'ann' }))
  t.match(await ask(store, 'get', 'a'), { user: 'ann' })
})
