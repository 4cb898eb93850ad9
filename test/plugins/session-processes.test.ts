import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import t, { type Test } from 'tap'
import { generateSecret } from '../../lib/farm/secret.ts'
import { programOf } from '../fixtures/process/program.ts'
import { seededRandom, testSeed } from '../fixtures/random.ts'
import {
  type DatabaseName,
  openShopDatabase,
  withoutDatabase,
} from '../fixtures/shop/shop-databases.ts'
import type { CartOrder, CartServing } from '../fixtures/state/cart-process.ts'
import { until } from '../fixtures/until.ts'

const secret = generateSecret()

for (const kind of ['postgres', 'redis', 'lmdb'] as const) {
  // A folder is for one process alone.
  const workers = kind === 'lmdb' ? 1 : 4
  t.test(
    `carts in sessions on ${kind}, node:cluster of ${workers} whose workers are killed`,
    { skip: withoutDatabase(kind) },
    async t => {
      const seed = testSeed()
      t.comment(`SEED=${seed}`)
      const random = seededRandom(seed)
      const database = await databaseFor(t, kind)
      const shop = await Shop.open(t, { framework: 'express', database, secret, workers })
      await until(() => shop.pids.length === workers)
      const browsers = Array.from({ length: 4 }, () => new Browser())
      let put = 0
      const shopping = browsers.map(async browser => {
        for (let item = 0; item < 5; item += 1) {
          await browser.put(shop, `item${item}`)
          put += 1
        }
      })
      const killing = (async () => {
        for (const due of [4, 12]) {
          await until(() => put >= due && shop.pids.length > 0)
          const { pids } = shop
          const victim = pids[Math.floor(random() * pids.length)] as number
          process.kill(victim, 'SIGKILL')
          await until(() => !shop.pids.includes(victim) && shop.pids.length === workers)
        }
      })()
      await Promise.all([killing, ...shopping])
      for (const browser of browsers) {
        t.same((await browser.get(shop)).sort(), browser.acknowledged.sort())
        t.equal(browser.acknowledged.length, 5)
      }
    },
  )
}

t.test('two servers of NestJS', { skip: withoutDatabase('postgres') }, async t => {
  const database = await databaseFor(t, 'postgres')
  const order = { framework: 'nest', database, secret, workers: 0 } as const
  const [first, second] = [await Shop.open(t, order), await Shop.open(t, order)]
  const [ann, bob] = [new Browser(), new Browser()]
  for (let item = 0; item < 6; item += 1) {
    await ann.put(item % 2 === 0 ? first : second, `item${item}`)
  }
  for (const shop of [first, second]) {
    t.same(await ann.get(shop), ann.acknowledged)
    t.same(await bob.get(shop), [], 'whoever has no session has no cart')
  }
  process.kill(first.pids[0] as number, 'SIGKILL')
  await ann.put(second, 'last')
  t.same(await ann.get(second), ann.acknowledged)
  t.equal(ann.acknowledged.length, 7)
})

async function databaseFor(t: Test, kind: DatabaseName) {
  const { place, close } = await openShopDatabase(kind)
  t.teardown(close)
  return place
}

/** The processes that serve one port. */
class Shop {
  pids: readonly number[] = []
  port = 0
  readonly #child: ChildProcess

  static async open(t: Test, order: CartOrder): Promise<Shop> {
    const shop = new Shop(t)
    shop.#child.send(order)
    await until(() => shop.pids.length > 0 || shop.#child.exitCode !== null)
    if (shop.pids.length === 0) throw new Error('the shop ended at its start')
    return shop
  }

  private constructor(t: Test) {
    const { path, execArgv } = programOf('state/cart-process')
    // Nothing of ours that a process could hold open after its end.
    const stdio = ['ignore', 'ignore', 'ignore', 'ipc'] as const
    const child = fork(path, { execArgv, stdio: [...stdio] })
    this.#child = child
    child.on('message', ({ pids, port }: CartServing) => {
      this.pids = pids
      this.port = port
    })
    t.teardown(async () => {
      if (child.exitCode !== null || child.signalCode !== null) return
      // It ends its workers, and itself.
      const ended = once(child, 'exit')
      child.disconnect()
      const timer = setTimeout(() => child.kill('SIGKILL'), 20_000)
      await ended
      clearTimeout(timer)
    })
  }
}

/** A client of whichever process has its connection, a new one each time. */
class Browser {
  readonly acknowledged: string[] = []
  readonly #cookies = new Map<string, string>()

  /** Again until it is acknowledged. What was acknowledged before must be shown with it. */
  async put(shop: Shop, item: string): Promise<void> {
    const items = await this.#ask(shop, 'POST', `/${item}`)
    const lost = [...this.acknowledged, item].filter(one => !items.includes(one))
    if (lost.length > 0) throw new Error(`${lost} not in ${items}`)
    this.acknowledged.push(item)
  }

  get(shop: Shop): Promise<string[]> {
    return this.#ask(shop, 'GET', '/')
  }

  async #ask(shop: Shop, method: string, path: string): Promise<string[]> {
    let items: string[] = []
    await until(async () => {
      const cookie = [...this.#cookies].map(([name, value]) => `${name}=${value}`)
      const response = await fetch(`http://127.0.0.1:${shop.port}${path}`, {
        method,
        headers: { cookie: cookie.join('; '), connection: 'close' },
        // A connection given to a worker that dies before it has it is never answered.
        signal: AbortSignal.timeout(10_000),
      })
      if (!response.ok) throw new Error(await response.text())
      items = (await response.json()) as string[]
      for (const line of response.headers.getSetCookie()) {
        const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? []
        this.#cookies.set(name, value)
      }
      return true
    })
    return items
  }
}
