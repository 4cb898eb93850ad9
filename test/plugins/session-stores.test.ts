import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import express from 'express'
import session, { type SessionData, type Store } from 'express-session'
import t, { type Test } from 'tap'
import { lmdbDatabase } from '../../plugins/lmdb/database.ts'
import { PostgresServer, withoutPostgres } from '../fixtures/postgres/server.ts'
import { noRedis, RedisServer } from '../fixtures/redis/server.ts'
import {
  type OpenStore,
  openStore,
  patientPostgres,
  patientRedis,
  type StoreName,
  storeMaker,
  storeNames,
} from '../fixtures/state/session-stores.ts'
import { until } from '../fixtures/until.ts'
import { sessionContract } from '../state/session-contract.ts'

/** What the stores that one would use instead do, ours must do, and where it does better is here. */
const postgresStores: readonly StoreName[] = storeNames.slice(0, 2)
const redisStores: readonly StoreName[] = storeNames.slice(2, 4)

t.test('session stores on PostgreSQL', { skip: withoutPostgres }, async t => {
  const { url } = await PostgresServer.start(t)
  for (const name of postgresStores) await t.test(name, t => behaviours(t, name, url))
  await sessionContract(t, await storeMaker(t, patientPostgres(url)))
})

t.test('session stores on Redis', { skip: noRedis }, async t => {
  const { url } = await RedisServer.start(t)
  for (const name of redisStores) await t.test(name, t => behaviours(t, name, url))
  await sessionContract(t, await storeMaker(t, patientRedis(url)))
})

t.test('a session store on LMDB', async t => {
  const database = lmdbDatabase({ folder: join(t.testdir({}), 'state') })
  await sessionContract(t, await storeMaker(t, database))
})

async function behaviours(t: Test, name: StoreName, url: string): Promise<void> {
  const [first, second] = await Promise.all([
    openStore(t, name, url),
    openStore(t, name, url),
  ])
  const isOurs = name.startsWith('handfast')

  await t.test('what is set is got, on each server, until it is destroyed', async t => {
    const [one, other] = [promised(first.store), promised(second.store)]
    t.notOk(await one.get('nobody'))
    await one.set('sid', sessionOf(60_000, { user: 'ann' }))
    t.match(await one.get('sid'), { user: 'ann' })
    t.match(await other.get('sid'), { user: 'ann' })
    await one.set('sid', sessionOf(60_000, { user: 'eve' }))
    await until(async () => Reflect.get((await other.get('sid')) ?? {}, 'user') === 'eve')
    await other.destroy('sid')
    await until(async () => !(await one.get('sid')))
    await other.destroy('sid')
  })

  await t.test('it ends with its cookie, and a touch puts that off', async t => {
    const [one, other] = [promised(first.store), promised(second.store)]
    // Anew where the machine took so long that it had ended before the touch.
    await until(async () => {
      const setAt = Date.now()
      await one.set('goes-on', sessionOf(1_000))
      await other.touch('goes-on', sessionOf(60_000))
      return Date.now() - setAt < 1_000
    })
    await one.set('ends', sessionOf(1_000))
    await one.set('no-end', sessionOf(undefined))
    await other.touch('nobody', sessionOf(60_000))
    await until(async () => !(await one.get('ends')))
    t.ok(await one.get('goes-on'))
    t.ok(await one.get('no-end'), 'a cookie without an end')
    t.notOk(await one.get('nobody'), 'a touch makes none')
    await one.set('past', sessionOf(-60_000))
    t.notOk(await one.get('past'))
  })

  await t.test('two requests at a time each change a field', async t => {
    const shop = await Shop.open(t, first, second)
    await shop.ask(0, '/set/user')
    const slow = await shop.begin(0, '/slow/a')
    await shop.ask(1, '/set/b')
    slow.goOn()
    await slow.answered
    // The second server has a copy, and is told a moment later that it is old.
    if (isOurs) await until(async () => (await shop.ask(1, '/show')) === 'a,b,user')
    else t.equal(await shop.ask(1, '/show'), 'a,user', 'one is lost')
  })

  await t.test('who logs out while a request is under way', async t => {
    const shop = await Shop.open(t, first, second)
    await shop.ask(0, '/set/user')
    const slow = await shop.begin(0, '/slow/a')
    await shop.ask(1, '/logout')
    slow.goOn()
    await slow.answered
    const shown = await shop.ask(1, '/show')
    t.equal(shown, isOurs ? '' : 'a,user', isOurs ? 'is out' : 'is in again')
  })
}

function sessionOf(life: number | undefined, fields: object = {}): SessionData {
  const expires = life === undefined ? null : new Date(Date.now() + life)
  const cookie = { originalMaxAge: life ?? null, expires, httpOnly: true, path: '/' }
  return { cookie, ...fields } as unknown as SessionData
}

function promised(store: Store) {
  return {
    get: promisify(store.get.bind(store)) as (sid: string) => Promise<SessionData>,
    set: promisify(store.set.bind(store)) as (sid: string, s: object) => Promise<void>,
    touch: promisify(store.touch?.bind(store) as never) as (
      sid: string,
      s: object,
    ) => Promise<void>,
    destroy: promisify(store.destroy.bind(store)) as (sid: string) => Promise<void>,
  }
}

/** Two servers that share sessions, and a client of both. */
class Shop {
  readonly #ports: number[] = []
  readonly #held = new Map<string, { began(): void; goOn: Promise<void> }>()
  readonly #cookies = new Map<string, string>()

  static async open(t: Test, ...stores: readonly OpenStore[]): Promise<Shop> {
    const shop = new Shop()
    for (const store of stores) {
      const server = shop.#app(store).listen(0, '127.0.0.1')
      t.teardown(() => server.close())
      await once(server, 'listening')
      shop.#ports.push((server.address() as AddressInfo).port)
    }
    return shop
  }

  async ask(server: number, path: string): Promise<string> {
    const cookie = [...this.#cookies]
      .map(([name, value]) => `${name}=${value}`)
      .join('; ')
    const response = await fetch(`http://127.0.0.1:${this.#ports[server]}${path}`, {
      headers: { cookie, connection: 'close' },
    })
    for (const line of response.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? []
      this.#cookies.set(name, value)
    }
    return await response.text()
  }

  /** Resolves when the request has its session, and waits with what it does. */
  async begin(server: number, path: string) {
    let goOn = () => {}
    const waits = new Promise<void>(resolve => {
      goOn = resolve
    })
    const began = new Promise<void>(resolve => {
      this.#held.set(path, { began: resolve, goOn: waits })
    })
    const answered = this.ask(server, path)
    await began
    return { goOn, answered }
  }

  #app({ store, instance }: OpenStore): express.Express {
    const app = express()
    if (instance !== undefined) app.use(instance)
    app.use(session({ secret: 'x', resave: false, saveUninitialized: false, store }))
    app.get('/set/:field', (request, response) => {
      Reflect.set(request.session, request.params.field, 1)
      response.end()
    })
    app.get('/slow/:field', async (request, response) => {
      const held = this.#held.get(request.path)
      held?.began()
      await held?.goOn
      Reflect.set(request.session, request.params.field, 1)
      response.end()
    })
    app.get('/logout', (request, response) => {
      request.session.destroy(() => response.end())
    })
    app.get('/show', (request, response) => {
      const { cookie: _, ...fields } = request.session
      response.end(Object.keys(fields).sort().join())
    })
    // A save that was refused comes here when all has been said.
    app.use(((_error, _request, response, _next) => {
      response.end()
    }) as express.ErrorRequestHandler)
    return app
  }
}
