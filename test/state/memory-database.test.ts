import t from 'tap'
import { memoryDatabase } from '../../lib/state/memory-database.ts'
import { databaseContract } from './database-contract.ts'

t.test('the database in memory keeps the promises of a database', async t => {
  await databaseContract(t, { make: () => memoryDatabase(), isShared: false })
})

t.test('a full one refuses what is new, and keeps what it has', async t => {
  const database = memoryDatabase({ maxBytes: 2_500 })
  const put = (key: string, size: number) =>
    database.compareAndSet('carts', key, undefined, Buffer.alloc(size), undefined)
  const version = await put('a', 1_000)
  await t.rejects(put('b', 1_000), { code: 'ERR_HANDFAST_DATABASE_FULL' })
  t.equal((await database.get('carts', 'a'))?.version, version)
  const smaller = Buffer.alloc(10)
  await database.compareAndSet('carts', 'a', version, smaller, undefined)
  t.ok(await put('b', 1_000), 'there is room again')
  await database.delete('carts', 'b')
  t.ok(await put('c', 1_000))
})

t.test('what has ended makes room without being asked for', async t => {
  let now = 1_000
  const clock = { now: () => now, monotonic: () => now, after: () => ({ cancel() {} }) }
  const database = memoryDatabase({ maxBytes: 10_000, clock })
  for (let number = 0; number < 1_000; number += 1) {
    now += 100
    const key = `key ${number}`
    t.ok(
      await database.compareAndSet('carts', key, undefined, Buffer.alloc(1), now + 500),
    )
  }
})

t.test('a value has memory of its own', async t => {
  const database = memoryDatabase()
  const large = Buffer.alloc(100_000)
  await database.compareAndSet(
    'carts',
    'ann',
    undefined,
    large.subarray(7, 10),
    undefined,
  )
  const stored = await database.get('carts', 'ann')
  t.equal(stored?.value.buffer.byteLength, 3)
})

t.test('a walk over many sees each once, whatever comes and goes meanwhile', async t => {
  const database = memoryDatabase()
  const put = (key: string) =>
    database.compareAndSet('carts', key, undefined, Buffer.alloc(1), undefined)
  const stays = Array.from({ length: 3_000 }, (_, number) => `stays ${number}`)
  const goes = Array.from({ length: 1_000 }, (_, number) => `goes ${number}`)
  for (const key of [...stays, ...goes]) await put(key)
  const seen: string[] = []
  let next: string | undefined
  let steps = 0
  do {
    const page = await database.scan('carts', next, 100)
    t.ok(page.entries.length < 200, 'about as many as were asked for')
    seen.push(...page.entries.map(({ key }) => key))
    await database.delete('carts', goes.pop() ?? '')
    await put(`comes ${steps}`)
    next = page.next
    steps += 1
  } while (next !== undefined)
  t.ok(steps >= 20)
  const kept = seen.filter(key => key.startsWith('stays'))
  t.same(kept.sort(), stays.sort())
})
