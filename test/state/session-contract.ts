import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import fastifyCookie from '@fastify/cookie'
import fastifySession from '@fastify/session'
import express from 'express'
import session, { Cookie, type SessionData, type Store } from 'express-session'
import fastify from 'fastify'
import type { Test } from 'tap'
import type { SessionStoreOptions } from '../../lib/state/index.ts'
import { until } from '../fixtures/until.ts'

/** A store without sessions, for express-session, and for whoever takes any. */
export type MakeStore = (options?: SessionStoreOptions) => Store

type Answered<T> = (error: unknown, value?: T) => void

/** The store, where no callbacks are given. */
interface PromisedStore {
  get(sid: string): Promise<object | undefined>
  set(sid: string, session: object): Promise<void>
  touch(sid: string, session: object): Promise<void>
  destroy(sid: string): Promise<void>
  all(): Promise<{ readonly id: string }[]>
  length(): Promise<number>
  clear(): Promise<void>
}

declare module 'express-session' {
  interface SessionData {
    count: number
  }
}

/**
 * What the test suites of express-session, @fastify/session, connect-redis and connect-pg-simple
 * demand of a store, in words of our own.
 */
export async function sessionContract(t: Test, make: MakeStore): Promise<void> {
  await t.test('a store by itself', t => byItself(t, make))
  await t.test('a store under express-session', t => underExpress(t, make))
  await t.test('a store under @fastify/session', t => underFastify(t, make))
}

async function byItself(t: Test, make: MakeStore): Promise<void> {
  const { ask } = asking(make())
  const plain = () => ({ foo: 'bar', cookie: { originalMaxAge: null } })

  await t.test('gives back what it was given, and no more', async t => {
    t.equal(await ask('get', '123'), undefined, 'one that is not there is no error')
    await ask('set', '123', plain())
    t.same(await ask('get', '123'), plain())
    await ask('set', '123', { ...plain(), foo: 'baz' })
    t.same(await ask('get', '123'), { ...plain(), foo: 'baz' })
    await ask('set', 'bare', { foo: 1 })
    t.same(await ask('get', 'bare'), { foo: 1 }, 'one without a cookie')
    await ask('set', 'empty', { cookie: {} })
    t.same(await ask('get', 'empty'), { cookie: {} })
    await ask('clear')
  })

  await t.test('counts, lists and takes away', async t => {
    const ends = new Date(Date.now() + 60_000)
    await ask('set', '123', plain())
    await ask('set', '456', { cookie: { originalMaxAge: null, expires: ends } })
    t.equal(await ask('length'), 2)
    const all = (await ask<(SessionData & { id: string })[]>('all')) ?? []
    t.same(
      all.sort((one, other) => one.id.localeCompare(other.id)),
      [
        { id: '123', ...plain() },
        { id: '456', cookie: { originalMaxAge: null, expires: ends.toISOString() } },
      ],
    )
    await ask('destroy', '456')
    await ask('destroy', '456')
    t.equal(await ask('length'), 1)
    // More than a step of a walk over them.
    await Promise.all(
      Array.from({ length: 250 }, (_, n) => ask('set', `s${n}`, lasting(60_000))),
    )
    t.equal(await ask('length'), 251)
    await ask('clear')
    t.equal(await ask('length'), 0)
    t.same(await ask('all'), [])
  })

  await t.test('answers with promises who leaves the callback out', async t => {
    const store = make() as unknown as PromisedStore
    await store.set('123', plain())
    await store.set('456', lasting(60_000))
    t.same(await store.get('123'), plain())
    t.equal(await store.get('nobody'), undefined)
    await store.touch('456', lasting(90_000))
    t.same((await store.all()).map(({ id }) => id).sort(), ['123', '456'])
    t.equal(await store.length(), 2)
    await store.destroy('456')
    t.equal(await store.length(), 1)
    await store.clear()
    t.equal(await store.length(), 0)
  })

  await t.test('has no session whose end has come', async t => {
    await ask('set', '789', lasting(60_000))
    t.equal(await ask('length'), 1)
    await ask('set', '789', lasting(-60_000))
    t.equal(await ask('length'), 0, 'one that ended before it was stored')
    await ask('set', 'soon', lasting(20))
    await until(async () => (await ask('get', 'soon')) === undefined)
    t.same(await ask('all'), [])
  })

  await t.test('puts an end off, and makes nothing by that', async t => {
    await ask('set', '456', lasting(30_000))
    await ask('touch', '456', lasting(90_000))
    const { cookie } = (await ask<SessionData>('get', '456')) ?? {}
    t.ok(Number(new Date(cookie?.expires ?? 0)) > Date.now() + 45_000)
    await ask('touch', 'nobody', lasting(90_000))
    t.equal(await ask('get', 'nobody'), undefined)
    await ask('clear')
  })
}

async function underExpress(t: Test, make: MakeStore): Promise<void> {
  await t.test('a session is found again, and another client has another', async t => {
    const { ask, browse, port } = await expressApp(t, make())
    const [ann, bob] = [browse(port), browse(port)]
    t.equal(await ann.get('/count'), '1')
    t.equal(await ann.get('/count'), '2')
    t.equal(await bob.get('/count'), '1')
    t.equal(await ask('length'), 2)
    t.match(await ask('get', ann.sid), { count: 2 })
    const loaded = await ask<session.Session>('load', ann.sid)
    t.equal(loaded?.id, ann.sid, 'it can be loaded as a session')
    t.equal(await ask('load', 'nobody'), undefined)
  })

  await t.test('one that is not there, or has ended, is another one', async t => {
    const { ask, browse, port } = await expressApp(t, make())
    const ann = browse(port)
    await ann.get('/count')
    const [first] = [ann.sid]
    await ask('clear')
    t.equal(await ann.get('/count'), '1')
    t.not(ann.sid, first)
    await ask('set', ann.sid, { count: 5 })
    t.match(await ann.get('/count'), /^error: /, 'one without a cookie is none')
    await ask('set', ann.sid, { ...lasting(10), count: 7 })
    await until(async () => (await ask('get', ann.sid)) === undefined)
    t.equal(await ann.get('/count'), '1')
    t.equal(await ask('length'), 1, 'only the last one goes on')
  })

  await t.test('regenerated, reloaded, saved, unset and destroyed', async t => {
    const { ask, browse, port } = await expressApp(t, make(), { unset: 'destroy' })
    const ann = browse(port)
    await ann.get('/count')
    const first = ann.sid
    t.equal(await ann.get('/regenerate'), 'ok')
    t.not(ann.sid, first)
    t.equal(await ask('get', first), undefined)
    t.equal(await ask('length'), 1)
    t.equal(await ann.get('/reload'), '7', 'what another request stored meanwhile')
    t.equal(await ann.get('/reload-missing'), 'failed to load session')
    t.equal(await ask('length'), 0, 'and what was not changed is not stored again')
    await ann.get('/count')
    t.equal(await ann.get('/unset'), 'ok')
    t.equal(await ask('length'), 0)
    await ann.get('/count')
    t.equal(await ann.get('/destroy'), 'ok')
    t.equal(await ask('length'), 0)
  })

  await t.test('each use puts the end off, where touchInterval is 0', async t => {
    const terms = { resave: false, cookie: { maxAge: 60_000 } }
    const { ask, browse, port } = await expressApp(t, make({ touchInterval: 0 }), terms)
    const ann = browse(port)
    await ann.get('/count')
    const end = async () =>
      Number(new Date((await ask<SessionData>('get', ann.sid))?.cookie.expires ?? 0))
    const before = await end()
    await until(() => Date.now() - 60_000 > before - 119_990)
    t.equal(await ann.get('/look'), '1')
    t.ok((await end()) > before)
  })

  await t.test('one that is used goes on, and one that is not ends', async t => {
    const terms = { resave: false, cookie: { maxAge: 1_000 } }
    const { ask, browse, port } = await expressApp(t, make({ touchInterval: 0 }), terms)
    const [ann, bob] = [browse(port), browse(port)]
    await bob.get('/count')
    await ann.get('/count')
    const { sid } = ann
    // She is there as long as he was, and longer.
    await until(async () => {
      await ann.get('/look')
      return (await ask('get', bob.sid)) === undefined
    })
    const seen = await ann.get('/look')
    // A machine that stood still so long may have ended hers, too: then she has another.
    if (ann.sid === sid) t.equal(seen, '1')
    await ask('clear')
  })

  await t.test('while the store says that it is away there are no sessions', async t => {
    const store = make()
    const { browse, port } = await expressApp(t, store)
    const ann = browse(port)
    store.emit('disconnect')
    t.equal(await ann.get('/has'), 'false')
    store.emit('connect')
    t.equal(await ann.get('/has'), 'true')
  })

  await t.test('what fails in the store fails in the request', async t => {
    const store = make()
    const { browse, port } = await expressApp(t, store)
    const ann = browse(port)
    await ann.get('/count')
    const { get } = store
    store.get = (_sid, callback) => callback(new Error('no session'))
    t.equal(await ann.get('/count'), 'error: no session')
    store.get = get
    t.equal(await ann.get('/count'), '2')
  })
}

async function underFastify(t: Test, make: MakeStore): Promise<void> {
  const store = make()
  const { ask } = asking(store)
  const app = fastify()
  t.teardown(() => app.close())
  await app.register(fastifyCookie)
  await app.register(fastifySession, {
    secret: 'x'.repeat(32),
    cookie: { secure: false },
    store: store as never,
  })
  app.get('/count', async ({ session }) => {
    const count = Number(Reflect.get(session, 'count') ?? 0) + 1
    Reflect.set(session, 'count', count)
    await session.save()
    return String(count)
  })
  app.get('/regenerate', async ({ session }) => {
    await session.regenerate(['count'] as never)
    return 'ok'
  })
  app.get('/reload', async request => {
    await ask('set', request.session.sessionId, { ...lasting(60_000), count: 7 })
    await request.session.reload()
    return String(Reflect.get(request.session, 'count'))
  })
  app.get('/destroy', async ({ session }) => {
    await session.destroy()
    return 'ok'
  })
  let cookie = ''
  const get = async (url: string) => {
    const response = await app.inject({ url, headers: { cookie } })
    const [given] = [response.headers['set-cookie'] ?? []].flat()
    cookie = given?.split(';')[0] ?? cookie
    return response.body
  }
  const sid = () => decodeURIComponent(cookie.split('=')[1] ?? '').split('.')[0] ?? ''

  await t.test('a session is found again', async t => {
    t.equal(await get('/count'), '1')
    t.equal(await get('/count'), '2')
    const stored = (await ask<object>('get', sid())) ?? {}
    t.same(Object.keys(stored).sort(), ['cookie', 'count'], 'its fields and no others')
    await ask('set', sid(), { cookie: {}, count: 4 })
    t.equal(await get('/count'), '5', 'one with an empty cookie')
  })

  await t.test('regenerated, reloaded and destroyed', async t => {
    const first = sid()
    t.equal(await get('/regenerate'), 'ok')
    t.not(sid(), first)
    t.equal(await ask('get', first), undefined)
    t.equal(await get('/count'), '6', 'with the fields that were to be kept')
    t.equal(await get('/reload'), '7')
    t.equal(await get('/destroy'), 'ok')
    t.equal(await ask('length'), 0)
    t.equal(await get('/count'), '1')
  })

  await t.test('one that has ended is another one', async t => {
    const first = sid()
    await ask('set', first, { ...lasting(10), count: 9 })
    await until(async () => (await ask('get', first)) === undefined)
    t.equal(await get('/count'), '1')
    t.not(sid(), first)
  })
}

/** The methods of a store, as promises. */
function asking(store: Store) {
  const methods = store as unknown as Record<string, (...args: unknown[]) => void>
  const ask = <T = unknown>(method: string, ...args: unknown[]) =>
    new Promise<T | undefined>((resolve, reject) => {
      const done: Answered<T> = (error, value) => (error ? reject(error) : resolve(value))
      methods[method]?.call(store, ...args, done)
    })
  return { ask }
}

function lasting(ms: number): SessionData {
  const cookie = new Cookie()
  cookie.expires = new Date(Date.now() + ms)
  return { cookie } as SessionData
}

async function expressApp(
  t: Test,
  store: Store,
  terms: Partial<session.SessionOptions> = {},
) {
  const { ask } = asking(store)
  const app = express()
  // As it is by default, although its documentation advises against it.
  const usual = { secret: 'x', resave: true, saveUninitialized: true }
  app.use(session({ ...usual, store, ...terms }))
  app.get('/has', (request, response) => {
    response.end(String(request.session !== undefined))
  })
  app.get('/count', (request, response) => {
    request.session.count = (request.session.count ?? 0) + 1
    response.end(String(request.session.count))
  })
  app.get('/look', (request, response) => {
    response.end(String(request.session.count))
  })
  app.get('/regenerate', (request, response) => {
    request.session.regenerate(error => response.end(error ? 'failed' : 'ok'))
  })
  app.get('/destroy', (request, response) => {
    request.session.destroy(error => response.end(error ? 'failed' : 'ok'))
  })
  app.get('/unset', (request, response) => {
    Reflect.set(request, 'session', null)
    response.end('ok')
  })
  app.get('/reload', async (request, response) => {
    await ask('set', request.sessionID, { ...lasting(60_000), count: 7 })
    request.session.reload(error =>
      response.end(error ? error.message : String(request.session.count)),
    )
  })
  app.get('/reload-missing', async (request, response) => {
    await ask('clear')
    request.session.reload((error: Error | undefined) => response.end(error?.message))
  })
  app.use(((error, _request, response, _next) => {
    response.end(`error: ${error.message}`)
  }) as express.ErrorRequestHandler)
  const server = app.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return { ask, browse, port: (server.address() as AddressInfo).port }
}

function browse(port: number) {
  let cookie = ''
  return {
    get sid(): string {
      const value = decodeURIComponent(cookie.split('=')[1] ?? '')
      return value.slice(2, value.lastIndexOf('.'))
    },
    async get(path: string): Promise<string> {
      const url = `http://127.0.0.1:${port}${path}`
      const response = await fetch(url, { headers: { cookie } })
      cookie = response.headers.getSetCookie()[0]?.split(';')[0] ?? cookie
      return await response.text()
    },
  }
}
