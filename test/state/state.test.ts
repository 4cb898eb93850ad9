import { createHash } from 'node:crypto'
import t, { type Test } from 'tap'
import { generateSecret } from '../../lib/farm/secret.ts'
import { createState, memoryDatabase } from '../../lib/state/index.ts'
import { gate, SharedPlace } from '../fixtures/state/shared-database.ts'

interface Cart {
  readonly items: readonly string[]
}

const secret = generateSecret()
const tables = { carts: {}, files: { as: 'bytes', maxBytes: 100 } } as const

async function setUp(t: Test, place = new SharedPlace(), cacheTtl?: number) {
  const open = async () => {
    const state = await createState({
      database: place.open(),
      secret,
      tables: { ...tables, carts: { cacheTtl } },
      readBudget: 60_000,
      writeBudget: 60_000,
    })
    t.teardown(() => state.close())
    return { state, carts: state.table<Cart>('carts') }
  }
  return { place, open, ...(await open()) }
}

t.test('values', async t => {
  t.test('are what JSON says, or bytes, and belong to the caller', async t => {
    const { state, carts } = await setUp(t)
    const cart = { items: ['a', 'ü'] }
    const { version } = await carts.set('ann', cart)
    const found = await carts.get('ann')
    t.same(found, { value: cart, version, expiresAt: undefined, stale: false })
    const items = found?.value.items as string[]
    items.push('b')
    t.same((await carts.get('ann'))?.value, cart)
    const files = state.table<Buffer>('files')
    const bytes = Buffer.from([0, 255, 1])
    await files.set('ann', bytes)
    bytes.fill(9)
    const file = (await files.get('ann'))?.value
    t.same(file, Buffer.from([0, 255, 1]))
    file?.fill(7)
    t.same((await files.get('ann'))?.value, Buffer.from([0, 255, 1]))
    t.equal(await carts.get('bob'), undefined)
    t.equal(await files.get('bob'), undefined)
  })

  t.test('beyond the bound, of another kind, or under no key are refused', async t => {
    const { state, carts } = await setUp(t)
    const files = state.table('files')
    const usage = { code: 'ERR_HANDFAST_USAGE' }
    await t.rejects(files.set('a', Buffer.alloc(101)), usage)
    await files.set('a', Buffer.alloc(100))
    await t.rejects(files.set('a', 'text'), usage)
    await t.rejects(carts.set('a', undefined as unknown as Cart), usage)
    await t.rejects(carts.set('', { items: [] }), usage)
    await t.rejects(carts.set('x'.repeat(201), { items: [] }), usage)
    await t.rejects(carts.get('nul\0'), usage)
    await t.rejects(carts.get('\ud800'), usage)
    for (const ttl of [0, Number.NaN, 1e300]) {
      await t.rejects(carts.set('a', { items: [] }, { ttl }), usage)
    }
    for (const ifVersion of [-1n, 0n, 2n ** 63n]) {
      const conflict = { code: 'ERR_HANDFAST_CONFLICT' }
      await t.rejects(carts.set('a', { items: [] }, { ifVersion }), conflict)
    }
    t.equal(state.stats().writes, 1, 'and nobody asks the database')
    t.throws(() => state.table('cart'), { message: /did you mean carts/ })
  })

  t.test('end with their time to live, and a touch puts it off', async t => {
    let now = Date.now()
    const clock = { now: () => now, monotonic: () => now, after: () => ({ cancel() {} }) }
    const database = memoryDatabase({ clock })
    const state = await createState({
      database,
      clock,
      tables: { carts: { ttl: 1_000 } },
    })
    t.teardown(() => state.close())
    const carts = state.table('carts')
    await carts.set('ann', 1)
    await carts.set('bob', 1, { ttl: 5_000 })
    now += 999
    t.ok(await carts.get('ann'))
    t.equal(await carts.touch('ann', 2_000), true)
    now += 1_999
    t.ok(await carts.get('ann'))
    now += 1
    t.equal(await carts.get('ann'), undefined)
    t.equal(await carts.touch('ann'), false)
    t.ok(await carts.get('bob'))
  })

  t.test('are told in a walk, and cleared', async t => {
    const { carts } = await setUp(t)
    for (let number = 0; number < 250; number += 1) {
      await carts.set(`key ${number}`, { items: [`${number}`] })
    }
    const seen = new Map<string, Cart>()
    for await (const { key, value } of carts.entries()) seen.set(key, value)
    t.equal(seen.size, 250)
    t.same(seen.get('key 17'), { items: ['17'] })
    t.equal(await carts.clear(), 250)
    t.equal(await carts.get('key 17'), undefined)
  })
})

t.test('in the database', async t => {
  t.test('neither keys nor values are to be read', async t => {
    const place = new SharedPlace()
    const { carts } = await setUp(t, place)
    const id = 'a session id that is a secret'
    await carts.set(id, { items: ['a thing nobody should know of'] })
    const { entries } = await place.open().scan('carts')
    t.equal(entries.length, 1)
    const [entry] = entries
    const all = `${entry?.key} ${entry?.value.toString('latin1')}`
    t.notMatch(all, /secret|thing/)
    const hash = createHash('sha256').update(id).digest()
    t.notMatch(entry?.key, hash.toString('base64url'), 'a hash anybody can make')
  })

  t.test('another secret finds nothing, and an altered value is refused', async t => {
    const place = new SharedPlace()
    const { carts } = await setUp(t, place)
    await carts.set('ann', { items: ['a'] })
    const other = await createState({
      database: place.open(),
      secret: generateSecret(),
      tables,
    })
    t.teardown(() => other.close())
    t.equal(await other.table('carts').get('ann'), undefined)
    for await (const _ of other.table('carts').entries()) t.fail('it can be read')
    t.equal(other.stats().unreadable, 1)
    await carts.set('eve', { items: ['e'] })
    await other.table<Cart>('carts').set('joe', { items: ['j'] })
    t.equal(await other.table('carts').clear(), 3, 'what can not be read is cleared, too')
    t.equal(await carts.get('eve', { fresh: true }), undefined)
    await carts.set('ann', { items: ['a'] })
    await carts.set('bob', { items: ['b'] })
    const database = place.open()
    const { entries } = await database.scan('carts')
    const [one, two] = entries
    if (one === undefined || two === undefined) throw new Error('there are two')
    const fresh = { fresh: true }
    for (const at of [0, 3, 10, 25, 40, one.value.length - 1]) {
      const altered = Buffer.from(one.value)
      altered[at] = (altered[at] ?? 0) ^ 1
      const stored = await database.get('carts', one.key)
      await database.compareAndSet('carts', one.key, stored?.version, altered, undefined)
      const gets = [carts.get('ann', fresh), carts.get('bob', fresh)]
      const results = await Promise.allSettled(gets)
      const refused = results.filter(({ status }) => status === 'rejected')
      t.match(refused, [{ reason: { code: 'ERR_HANDFAST_PROTOCOL' } }], `byte ${at}`)
      t.equal(refused.length, 1)
    }
    const stored = await database.get('carts', one.key)
    const { value } = two
    await database.compareAndSet('carts', one.key, stored?.version, value, undefined)
    const results = await Promise.allSettled([
      carts.get('ann', fresh),
      carts.get('bob', fresh),
    ])
    const refused = results.filter(({ status }) => status === 'rejected')
    t.equal(refused.length, 1, "another user's value in its place")
  })

  t.test('nothing is kept in clear without being asked for', async t => {
    const place = new SharedPlace()
    await t.rejects(createState({ database: place.open() }), {
      code: 'ERR_HANDFAST_CONFIG',
      message: /sealed: false/,
    })
    const state = await createState({ database: place.open(), sealed: false, tables })
    t.teardown(() => state.close())
    await state.table('carts').set('ann', 'in clear')
    const { entries } = await place.open().scan('carts')
    t.match(entries[0]?.value.toString(), /in clear/)
    t.equal(entries[0]?.key, 'ann')
  })
})

t.test('a bad option is named', async t => {
  const config = (message: RegExp) => ({ code: 'ERR_HANDFAST_CONFIG', message })
  const database = memoryDatabase()
  const make = (options: object) => createState({ database, ...options })
  await t.rejects(createState({} as never), config(/database/))
  await t.rejects(make({ tabels: {} }), config(/did you mean tables/))
  await t.rejects(make({ tables: { 'a b': {} } }), config(/name of a table/))
  await t.rejects(make({ tables: { a: { tll: 1 } } }), config(/did you mean ttl/))
  await t.rejects(make({ tables: { a: { as: 'xml' } } }), config(/tables.a.as/))
  await t.rejects(make({ tables: { a: { ttl: -1 } } }), config(/tables.a.ttl/))
  await t.rejects(make({ readBudget: 0 }), config(/readBudget/))
  await t.rejects(make({ secret: 'short', sealed: true }), config(/secret/))
})

t.test('writes', async t => {
  t.test('go to the database first', async t => {
    const { place, open, carts } = await setUp(t)
    const other = (await open()).carts
    await carts.set('ann', { items: ['a'] })
    t.same((await other.get('ann'))?.value, { items: ['a'] })
    const { passed, open: letPass } = gate()
    place.before = async call => {
      if (call === 'compareAndSet') await passed
    }
    let acknowledged = false
    const writing = carts.set('ann', { items: ['b'] }).then(() => {
      acknowledged = true
    })
    t.same((await carts.get('ann'))?.value, { items: ['a'] })
    t.notOk(acknowledged)
    letPass()
    await writing
    t.same((await other.get('ann'))?.value, { items: ['b'] })
  })

  t.test('that name a version are refused where it is another one', async t => {
    const { open, carts } = await setUp(t)
    const other = (await open()).carts
    const conflict = { code: 'ERR_HANDFAST_CONFLICT' }
    const { version } = await carts.set('ann', { items: [] }, { ifVersion: 'absent' })
    await t.rejects(carts.set('ann', { items: [] }, { ifVersion: 'absent' }), conflict)
    await other.set('ann', { items: ['theirs'] })
    await t.rejects(
      carts.set('ann', { items: ['mine'] }, { ifVersion: version }),
      conflict,
    )
    t.same((await carts.get('ann'))?.value, { items: ['theirs'] })
  })

  t.test('two tabs on two servers lose nothing', async t => {
    const { open, carts } = await setUp(t)
    const servers = [carts, (await open()).carts, (await open()).carts]
    const names = Array.from({ length: 30 }, (_, number) => `item ${number}`)
    await Promise.all(
      names.map((name, number) =>
        servers[number % 3]?.update('ann', cart => ({
          items: [...(cart?.items ?? []), name],
        })),
      ),
    )
    const cart = await carts.get('ann', { fresh: true })
    t.same([...(cart?.value.items ?? [])].sort(), [...names].sort())
  })

  t.test('an update that changes nothing writes nothing, and may fail', async t => {
    const { place, carts } = await setUp(t)
    t.equal(await carts.update('ann', () => undefined), undefined)
    t.equal(place.count('compareAndSet'), 0)
    await t.rejects(
      carts.update('ann', () => {
        throw new Error('no')
      }),
      { message: 'no' },
    )
    const made = await carts.update('ann', async () => ({ items: ['x'] }))
    t.same(made?.value, { items: ['x'] })
    const same = await carts.update('ann', () => undefined)
    t.equal(same?.version, made?.version)
  })

  t.test('an update gives up with an error when others are always faster', async t => {
    const { place, open, carts } = await setUp(t)
    const other = (await open()).carts
    await carts.set('ann', { items: [] })
    let busy = false
    place.before = async call => {
      if (call !== 'compareAndSet' || busy) return
      busy = true
      await other.set('ann', { items: ['faster'] })
      busy = false
    }
    let tries = 0
    const update = carts.update('ann', () => {
      tries += 1
      return { items: ['mine'] }
    })
    await t.rejects(update, { code: 'ERR_HANDFAST_CONFLICT', message: /20 times/ })
    t.equal(tries, 20)
    t.same((await carts.get('ann'))?.value, { items: ['faster'] })
  })

  t.test('a deleted entry stays deleted', async t => {
    const { open, carts } = await setUp(t)
    const other = (await open()).carts
    await carts.set('ann', { items: [] })
    t.equal(await other.delete('ann'), true)
    t.equal(await carts.get('ann'), undefined)
    t.equal(await carts.delete('ann'), false)
    await t.rejects(carts.set('ann', { items: [] }, { ifVersion: 1n }), {
      code: 'ERR_HANDFAST_CONFLICT',
    })
  })
})
