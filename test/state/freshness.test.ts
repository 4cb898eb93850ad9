import t, { type Test } from 'tap'
import { systemClock } from '../../lib/clock.ts'
import { generateSecret } from '../../lib/farm/secret.ts'
import { createFarm } from '../../lib/member/create-farm.ts'
import type { Farm } from '../../lib/member/farm.ts'
import { Freshness } from '../../lib/state/cache/freshness.ts'
import { MemoryCache } from '../../lib/state/cache/memory-cache.ts'
import { createState, type State, type StateTable } from '../../lib/state/index.ts'
import { gate, SharedPlace } from '../fixtures/state/shared-database.ts'
import { until } from '../fixtures/until.ts'

const secret = generateSecret()

interface Server {
  readonly state: State
  readonly carts: StateTable<number>
}

interface Member extends Server {
  readonly farm: Farm
}

/** A server without a farm. */
async function server(t: Test, place: SharedPlace, cacheTtl?: number): Promise<Server> {
  const state = await createState({
    database: place.open(),
    secret,
    tables: { carts: { cacheTtl } },
    readBudget: 60_000,
    writeBudget: 60_000,
  })
  t.teardown(() => state.close())
  return { state, carts: state.table<number>('carts') }
}

/** Servers that are members of one farm. */
async function farmOf(t: Test, place: SharedPlace, size: number): Promise<Member[]> {
  const servers: Member[] = []
  const addresses: string[] = []
  for (let number = 0; number < size; number += 1) {
    const listen = { host: '127.0.0.1', port: 0 }
    const farm = await createFarm({ secret, listen, members: addresses.slice(0, 1) })
    addresses.push(farm.address ?? '')
    const state = await createState({
      farm,
      database: place.open(),
      tables: { carts: {} },
      readBudget: 60_000,
      writeBudget: 60_000,
      farmBudget: 60_000,
    })
    t.teardown(async () => {
      await state.close()
      await farm.close()
    })
    servers.push({ farm, state, carts: state.table<number>('carts') })
  }
  return servers
}

t.test('in a farm', async t => {
  t.test('what one server wrote the others read without the database', async t => {
    const place = new SharedPlace()
    const [a, b, c] = await farmOf(t, place, 3)
    if (!a || !b || !c) throw new Error('three servers')
    await a.carts.set('ann', 1)
    await a.carts.set('ann', 2)
    for (const { carts } of [a, b, c]) t.equal((await carts.get('ann'))?.value, 2)
    for (let round = 3; round < 30; round += 1) {
      const writer = [a, b, c][round % 3]
      const { everywhere } = (await writer?.carts.set('ann', round)) ?? {}
      t.equal(everywhere, true)
      for (const { carts } of [a, b, c]) t.equal((await carts.get('ann'))?.value, round)
    }
    t.equal(place.count('get'), 1, 'to know that nothing was there at first')
    await b.carts.delete('ann')
    for (const { carts } of [a, b, c]) t.equal(await carts.get('ann'), undefined)
  })

  t.test('an end that is earlier holds on all', async t => {
    const place = new SharedPlace()
    const [a, b] = await farmOf(t, place, 2)
    if (!a || !b) throw new Error('two servers')
    await a.carts.set('ann', 1, { ttl: 3_600_000 })
    t.equal((await b.carts.get('ann'))?.value, 1)
    const loads = place.count('get')
    const ends = Date.now() + 60_000
    await a.carts.touch('ann', 60_000)
    const { expiresAt = 0 } = (await b.carts.get('ann')) ?? {}
    t.ok(Math.abs(expiresAt - ends) < 50_000, 'from its cache')
    await a.carts.touch('ann', 1)
    await until(async () => (await b.carts.get('ann')) === undefined)
    t.ok(place.count('get') > loads)
  })

  t.test('what is stored while the farm closes is no failure', async t => {
    const [a] = await farmOf(t, new SharedPlace(), 1)
    await a?.farm.close()
    t.equal((await a?.carts.set('ann', 1))?.everywhere, false)
  })

  t.test('of two writes the later in the database stays, told in any order', async t => {
    const place = new SharedPlace()
    const [a, b] = await farmOf(t, place, 2)
    if (!a || !b) throw new Error('two servers')
    await a.carts.set('ann', 1)
    const held = gate()
    let isFirst = true
    place.after = async call => {
      if (call !== 'compareAndSet' || !isFirst) return
      isFirst = false
      await held.passed
    }
    // It is stored, and its server does not know yet.
    const slow = a.carts.set('ann', 2)
    await until(() => !isFirst)
    await b.carts.set('ann', 3)
    held.open()
    await slow
    for (const { carts } of [a, b]) t.equal((await carts.get('ann'))?.value, 3)
  })

  t.test(
    'a value that was loaded before a write and comes after it is not kept',
    async t => {
      const place = new SharedPlace()
      const [a, b] = await farmOf(t, place, 2)
      if (!a || !b) throw new Error('two servers')
      await a.carts.set('ann', 1)
      a.carts.flush('ann')
      const held = gate()
      let loads = 0
      place.after = async call => {
        if (call === 'get' && loads++ === 0) await held.passed
      }
      const loading = a.carts.get('ann')
      await until(() => loads === 1)
      await b.carts.set('ann', 2)
      held.open()
      t.equal(
        (await loading)?.value,
        2,
        'for the write was acknowledged before the answer',
      )
      t.equal((await a.carts.get('ann'))?.value, 2)
    },
  )

  t.test('nor does a late load bring back what was deleted', async t => {
    const place = new SharedPlace()
    const [a, b] = await farmOf(t, place, 2)
    if (!a || !b) throw new Error('two servers')
    await a.carts.set('ann', 1)
    a.carts.flush('ann')
    const held = gate()
    let loads = 0
    place.after = async call => {
      if (call === 'get' && loads++ === 0) await held.passed
    }
    const loading = a.carts.get('ann')
    await until(() => loads === 1)
    await b.carts.delete('ann')
    held.open()
    t.equal(await loading, undefined)
    t.equal(await a.carts.get('ann'), undefined)
    await b.carts.set('ann', 3)
    t.equal((await a.carts.get('ann'))?.value, 3, 'and what comes after it is new')
  })
})

t.test('where the database tells of changes', async t => {
  t.test('they come to the cache', async t => {
    const place = new SharedPlace(true)
    const [a, b] = [await server(t, place), await server(t, place)]
    await a.carts.set('ann', 1)
    t.equal((await b.carts.get('ann'))?.value, 1)
    const before = place.count('get')
    t.equal((await b.carts.get('ann'))?.value, 1)
    t.equal(place.count('get'), before, 'from the cache')
    await a.carts.set('ann', 2)
    t.equal((await b.carts.get('ann'))?.value, 2)
    await a.carts.delete('ann')
    t.equal(await b.carts.get('ann'), undefined)
  })

  t.test('and so does an end that is earlier', async t => {
    const place = new SharedPlace(true)
    const [a, b] = [await server(t, place), await server(t, place)]
    await a.carts.set('ann', 1, { ttl: 3_600_000 })
    await a.carts.set('bob', 1, { ttl: 3_600_000 })
    for (const key of ['ann', 'bob']) await b.carts.get(key)
    await a.carts.touch('ann', 1)
    await a.carts.touch('bob', 7_200_000)
    await until(async () => (await b.carts.get('ann')) === undefined)
    const loads = place.count('get')
    t.equal((await b.carts.get('bob'))?.value, 1)
    t.equal(place.count('get'), loads, 'a later one is not')
  })

  t.test('a change that is told while a value is loaded is not overlooked', async t => {
    const place = new SharedPlace(true)
    const [a, b] = [await server(t, place), await server(t, place)]
    await a.carts.set('ann', 1)
    const held = gate()
    let loads = 0
    place.after = async call => {
      if (call === 'get' && loads++ === 0) await held.passed
    }
    const loading = b.carts.get('ann')
    await until(() => loads === 1)
    await a.carts.set('ann', 2)
    held.open()
    t.equal((await loading)?.value, 2)
    t.equal((await b.carts.get('ann'))?.value, 2)
  })

  t.test('while it does not, each read looks there', async t => {
    const place = new SharedPlace(true)
    const a = await server(t, place)
    const b = await server(t, place)
    await a.carts.set('ann', 1)
    t.equal((await b.carts.get('ann'))?.value, 1)
    place.deaf()
    // Nobody is told.
    const silent = await server(t, place)
    place.tell = () => {}
    await silent.carts.set('ann', 2)
    t.equal((await b.carts.get('ann'))?.value, 2)
    const before = place.count('get')
    await b.carts.get('ann')
    t.equal(place.count('get'), before + 1)
    await silent.carts.set('ann', 3)
    place.heard()
    t.equal((await b.carts.get('ann'))?.value, 3, 'what was missed meanwhile is loaded')
  })
})

t.test('where nobody tells', async t => {
  t.test('each read looks in the database', async t => {
    const place = new SharedPlace()
    const [a, b] = [await server(t, place), await server(t, place)]
    for (let round = 0; round < 5; round += 1) {
      await a.carts.set('ann', round)
      t.equal((await b.carts.get('ann'))?.value, round)
    }
  })

  t.test('a read that comes after a write does not share an older question', async t => {
    const place = new SharedPlace()
    const [a, b] = [await server(t, place), await server(t, place)]
    await a.carts.set('ann', 1)
    const held = gate()
    let loads = 0
    place.after = async call => {
      if (call === 'get' && loads++ === 0) await held.passed
    }
    const early = b.carts.get('ann')
    await until(() => loads === 1)
    await a.carts.set('ann', 2)
    t.equal((await b.carts.get('ann'))?.value, 2)
    held.open()
    await early
    t.equal((await b.carts.get('ann'))?.value, 2)
  })

  t.test('a late load of what was deleted is not taken for a new value', async t => {
    const place = new SharedPlace()
    const [a, b] = [await server(t, place), await server(t, place)]
    await a.carts.set('ann', 1)
    const [late, look] = [gate(), gate()]
    const held = [late.passed, look.passed]
    let loads = 0
    place.after = call => (call === 'get' ? held[loads++] : undefined)
    const early = b.carts.get('ann')
    await until(() => loads === 1)
    await a.carts.delete('ann')
    const fresh = b.carts.get('ann', { fresh: true })
    await until(() => loads === 2)
    late.open()
    await early
    look.open()
    t.equal(await fresh, undefined)
  })

  t.test('cacheTtl says how old a value may be', async t => {
    const place = new SharedPlace()
    const [a, b] = [await server(t, place), await server(t, place, 3_600_000)]
    await a.carts.set('ann', 1)
    await b.carts.get('ann')
    await a.carts.set('ann', 2)
    t.equal((await b.carts.get('ann'))?.value, 1)
    t.equal((await b.carts.get('ann', { fresh: true }))?.value, 2)
    t.equal((await b.carts.get('ann'))?.value, 2)
  })
})

t.test('many readers of what is not here are one question', async t => {
  const place = new SharedPlace(true)
  const [a, b] = [await server(t, place), await server(t, place)]
  await a.carts.set('ann', 1)
  const before = place.count('get')
  const gets = Array.from({ length: 200 }, () => b.carts.get('ann'))
  for (const found of await Promise.all(gets)) t.equal(found?.value, 1)
  t.equal(place.count('get'), before + 1)
})

t.test('who asks after a change is not told what was loaded before it', async t => {
  t.test('of others', async t => {
    const place = new SharedPlace(true)
    const { carts } = await server(t, place, 60_000)
    const held = gate()
    place.after = call => (call === 'get' ? held.passed : undefined)
    const before = carts.get('ann')
    await new Promise(setImmediate)
    place.after = () => {}
    const other = await server(t, place)
    await other.carts.set('ann', 1)
    t.equal((await carts.get('ann'))?.value, 1)
    held.open()
    await before
    t.equal((await carts.get('ann'))?.value, 1)
  })

  t.test('or of its own, where the cache has no room', async t => {
    const place = new SharedPlace(true)
    const state = await createState({
      database: place.open(),
      secret,
      tables: { carts: {} },
      cacheBytes: 0,
      readBudget: 60_000,
      writeBudget: 60_000,
    })
    t.teardown(() => state.close())
    const carts = state.table<number>('carts')
    const { version } = await carts.set('ann', 1)
    const held = gate()
    place.after = call => (call === 'get' ? held.passed : undefined)
    const before = carts.get('ann')
    await new Promise(setImmediate)
    place.after = () => {}
    await carts.set('ann', 2, { ifVersion: version })
    t.equal((await carts.get('ann'))?.value, 2)
    held.open()
    await before
  })

  t.test('or after a flush', async t => {
    const place = new SharedPlace(true)
    const { state, carts } = await server(t, place, 60_000)
    await carts.set('ann', 1)
    state.flush('ann')
    const held = gate()
    place.after = call => (call === 'get' ? held.passed : undefined)
    const reads = place.count('get')
    const before = carts.get('ann')
    await new Promise(setImmediate)
    place.after = () => {}
    state.flush('ann')
    t.equal((await carts.get('ann'))?.value, 1)
    t.equal(place.count('get'), reads + 2)
    held.open()
    await before
  })
})

t.test('of sessions that are made up', async t => {
  const flushes = (state: State, count: number, tail = '') => {
    for (let at = 0; at < count; at += 1) state.flush(`made up ${at}${tail}`)
  }
  /** Whether it comes from the cache. */
  const isKnown = async ({ state, carts }: Server) => {
    const { hits } = state.stats()
    await carts.get('ann')
    return state.stats().hits > hits
  }

  t.test('tens of thousands make nobody else load anew', async t => {
    const one = await server(t, new SharedPlace(true), 60_000)
    await one.carts.set('ann', 1)
    flushes(one.state, 50_000)
    t.equal(await isKnown(one), true)
    flushes(one.state, 50_000, 'again')
    t.equal(await isKnown(one), false, 'once, when the first of them are forgotten')
    flushes(one.state, 40_000)
    t.equal(await isKnown(one), true)
  })

  t.test('none makes a flush forgotten', async t => {
    const one = await server(t, new SharedPlace(true), 60_000)
    await one.carts.set('ann', 1)
    one.state.flush('ann')
    flushes(one.state, 60_000)
    t.equal(await isKnown(one), false)
    t.equal(await isKnown(one), true)
  })

  t.test('those that nobody can have are not remembered', async t => {
    const one = await server(t, new SharedPlace(true), 60_000)
    await one.carts.set('ann', 1)
    flushes(one.state, 60_000, 'x'.repeat(200))
    t.equal(await isKnown(one), true)
  })

  t.test('none takes the time ahead', async t => {
    const place = new SharedPlace(true)
    const database = place.open()
    const cache = new MemoryCache(systemClock, 0)
    const freshness = new Freshness({ cache, database }, () => {})
    for (let at = 0; at < 50_000; at += 1) {
      const before = freshness.stamp()
      freshness.flush(`made up ${at}`)
      if (!freshness.isFlushed(`made up ${at}`, '', before)) t.fail('not far enough')
      if (freshness.isFlushed(`made up ${at}`, '', freshness.stamp())) t.fail('too far')
    }
    t.ok(freshness.stamp() < Date.now() + 100)
  })
})
