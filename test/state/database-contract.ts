import { randomBytes } from 'node:crypto'
import type { Test } from 'tap'
import type { Database, Stored } from '../../lib/state/database.ts'
import { Watched } from '../fixtures/state/watched.ts'
import { until } from '../fixtures/until.ts'

export interface ContractWorld {
  /** Another one that is not open, on the same place: as another server has it. */
  readonly make: () => Promise<Database> | Database
  /** False where the place is this one object, so that nobody else can have it. */
  readonly isShared: boolean
}

const table = 'carts'
const value = Buffer.from('a value')
const other = Buffer.from('another')

/** What lib/state/database.ts promises, tried on a database. Its place must be empty. */
export async function databaseContract(t: Test, world: ContractWorld): Promise<void> {
  const database = await world.make()
  await database.open()
  t.teardown(() => database.close())
  /** Nothing in one test is in the way of another. */
  const newKey = () => randomBytes(12).toString('base64url')
  const put = async (key: string, bytes = value, expiresAt?: number): Promise<bigint> => {
    const version = await database.compareAndSet(table, key, undefined, bytes, expiresAt)
    if (version === undefined) throw new Error('it was there before')
    return version
  }

  await t.test('what is stored is there, and what is not is undefined', async t => {
    const key = newKey()
    t.equal(await database.get(table, key), undefined)
    const version = await put(key)
    t.same(await database.get(table, key), { value, version, expiresAt: undefined })
    t.equal(await database.get('other', key), undefined, 'tables are apart')
    t.ok(version > 0n && version < 2n ** 63n)
  })

  await t.test('an empty value, a large one, and every byte', async t => {
    const all = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))
    for (const bytes of [Buffer.alloc(0), all, randomBytes(1_000_000)]) {
      const key = newKey()
      await put(key, bytes)
      t.ok((await database.get(table, key))?.value.equals(bytes), `${bytes.length}`)
    }
  })

  await t.test('any text is a key, and its own', async t => {
    const keys = [
      "it's",
      '"quoted"',
      'a b\tc\n',
      'ü€😀',
      '%',
      '*',
      '{a}',
      ':',
      '\\',
      'A',
      'a',
    ]
    keys.push('x'.repeat(200), '../../etc')
    for (const [number, key] of keys.entries()) await put(key, Buffer.from([number]))
    for (const [number, key] of keys.entries()) {
      t.same((await database.get(table, key))?.value, Buffer.from([number]), key)
    }
    for (const key of keys) await database.delete(table, key)
  })

  await t.test('the bytes that were given and got belong to the caller', async t => {
    const key = newKey()
    const given = Buffer.from('mine')
    await put(key, given)
    given.fill(0)
    const got = await database.get(table, key)
    t.same(got?.value, Buffer.from('mine'))
    await put(newKey(), randomBytes(4))
    await database.get(table, newKey())
    t.same(got?.value, Buffer.from('mine'))
  })

  await t.test('a change names the version that is there', async t => {
    const key = newKey()
    const first = await put(key)
    const set = (expected: bigint | undefined) =>
      database.compareAndSet(table, key, expected, other, undefined)
    t.equal(await set(undefined), undefined, 'it is there')
    t.equal(await set(first - 1n), undefined, 'an older one')
    t.equal(await set(first + 1n), undefined, 'one that is not yet')
    t.same(await database.get(table, key), {
      value,
      version: first,
      expiresAt: undefined,
    })
    const second = await set(first)
    t.ok(second !== undefined && second > first, 'the new version is larger')
    t.equal(await set(first), undefined, 'a version is good for one change')
    t.same((await database.get(table, key))?.value, other)
    t.equal(
      await database.compareAndSet(table, newKey(), 1n, value, undefined),
      undefined,
    )
  })

  await t.test('of many changes at a time one wins', async t => {
    const key = newKey()
    let version = await put(key)
    for (let round = 0; round < 5; round += 1) {
      const before = version
      const tries = Array.from({ length: 10 }, (_, number) =>
        database.compareAndSet(table, key, before, Buffer.from([number]), undefined),
      )
      const won = (await Promise.all(tries)).filter(one => one !== undefined)
      t.equal(won.length, 1)
      version = won[0] ?? 0n
    }
    const creations = Array.from({ length: 10 }, () =>
      database.compareAndSet(table, `${key}2`, undefined, value, undefined),
    )
    const made = (await Promise.all(creations)).filter(one => one !== undefined)
    t.equal(made.length, 1, 'one makes it')
  })

  await t.test(
    'what was deleted is gone, and comes back with a larger version',
    async t => {
      const key = newKey()
      const first = await put(key)
      t.equal(await database.delete(table, key, first + 1n), undefined, 'another version')
      t.ok(await database.get(table, key))
      t.equal(await database.delete(table, key, first), first)
      t.equal(await database.get(table, key), undefined)
      t.equal(await database.delete(table, key), undefined, 'it is not there')
      t.equal(
        await database.compareAndSet(table, key, first, value, undefined),
        undefined,
      )
      const second = await put(key)
      t.ok(second > first)
      t.equal(await database.delete(table, key), second, 'whatever its version')
      t.ok((await put(key)) > second)
    },
  )

  await t.test(
    'what has ended is not there, and comes back with a larger version',
    async t => {
      const key = newKey()
      const first = await put(key, value, Date.now() + 30)
      await until(async () => (await database.get(table, key)) === undefined)
      t.equal(await database.delete(table, key), undefined)
      t.equal(await database.expire(table, key, undefined), undefined)
      t.equal(
        await database.compareAndSet(table, key, first, other, undefined),
        undefined,
      )
      t.ok((await put(key)) > first)
      const past = newKey()
      await put(past, value, Date.now() - 1_000)
      t.equal(await database.get(table, past), undefined, 'one that had ended before')
      const ends = Date.now() + 3_600_000
      const far = newKey()
      await put(far, value, ends)
      t.equal((await database.get(table, far))?.expiresAt, ends, 'to the millisecond')
    },
  )

  await t.test('an end is moved, and the version stays', async t => {
    const key = newKey()
    const version = await put(key, value, Date.now() + 3_600_000)
    const ends = Date.now() + 7_200_000
    t.equal(await database.expire(table, key, ends), 'later')
    t.same(await database.get(table, key), { value, version, expiresAt: ends })
    t.equal(await database.expire(table, key, ends - 1), 'earlier')
    t.equal(await database.expire(table, key, ends - 1), 'later', 'or the same')
    t.equal(await database.expire(table, key, undefined), 'later')
    t.same(await database.get(table, key), { value, version, expiresAt: undefined })
    t.equal(await database.expire(table, key, undefined), 'later')
    t.equal(await database.expire(table, key, ends), 'earlier')
    t.equal(await database.expire(table, key, Date.now() - 1), 'earlier')
    t.equal(await database.get(table, key), undefined)
    t.equal(await database.expire(table, newKey(), ends), undefined)
  })

  await t.test('a walk sees all that is there', async t => {
    const there = new Map<string, bigint>()
    for (let number = 0; number < 57; number += 1) {
      const key = newKey()
      const version = await database.compareAndSet(
        'walk',
        key,
        undefined,
        value,
        undefined,
      )
      there.set(key, version ?? 0n)
    }
    await database.compareAndSet('walk2', newKey(), undefined, value, undefined)
    await database.compareAndSet('walk', newKey(), undefined, value, Date.now() - 1)
    const ends = Date.now() + 3_600_000
    const [first = ''] = there.keys()
    await database.expire('walk', first, ends)
    for (const limit of [10, 1_000]) {
      const seen = new Map<string, Stored>()
      let next: string | undefined
      let steps = 0
      do {
        const page = await database.scan('walk', next, limit)
        for (const { key, ...stored } of page.entries) {
          seen.set(key, stored)
        }
        next = page.next
        steps += 1
      } while (next !== undefined)
      t.equal(seen.size, there.size, 'all of the table, and of no other')
      for (const [key, version] of there) t.equal(seen.get(key)?.version, version)
      t.same(seen.get(first)?.value, value)
      t.equal(seen.get(first)?.expiresAt, ends)
      if (limit === 10) t.ok(steps > 3, 'in steps')
    }
    t.same((await database.scan('nothing')).entries, [])
  })

  await t.test('a walk goes on while what it saw is deleted', async t => {
    for (let number = 0; number < 30; number += 1) {
      await database.compareAndSet('walk3', newKey(), undefined, value, undefined)
    }
    let next: string | undefined
    let deleted = 0
    do {
      const page = await database.scan('walk3', next, 7)
      for (const { key } of page.entries) {
        await database.delete('walk3', key)
        deleted += 1
      }
      next = page.next
    } while (next !== undefined)
    t.equal(deleted, 30)
    t.same((await database.scan('walk3')).entries, [])
  })

  if (world.isShared) {
    await t.test('another server sees it, and only one of both changes it', async t => {
      const second = await world.make()
      await second.open()
      t.teardown(() => second.close())
      const key = newKey()
      let version: bigint = await put(key)
      t.equal((await second.get(table, key))?.version, version)
      for (let round = 0; round < 20; round += 1) {
        const tries = [database, second].map(one =>
          one.compareAndSet(table, key, version, Buffer.from([round]), undefined),
        )
        const won = (await Promise.all(tries)).filter(one => one !== undefined)
        t.equal(won.length, 1)
        const before = version
        version = won[0] ?? 0n
        t.ok(version > before)
        for (const one of [database, second]) {
          t.equal((await one.get(table, key))?.version, version)
        }
      }
      await second.delete(table, key)
      t.equal(await database.get(table, key), undefined)
      const again = await database.compareAndSet(table, key, undefined, value, undefined)
      t.ok(again !== undefined && again > version, 'larger, whoever deleted it')
    })

    await t.test('it is there after a restart', async t => {
      const key = newKey()
      const first = await world.make()
      await first.open()
      const version = await first.compareAndSet(table, key, undefined, value, undefined)
      const gone = await first.compareAndSet(
        table,
        `${key}2`,
        undefined,
        value,
        undefined,
      )
      await first.delete(table, `${key}2`)
      await first.close()
      const second = await world.make()
      await second.open()
      t.teardown(() => second.close())
      t.equal((await second.get(table, key))?.version, version)
      const back = await second.compareAndSet(
        table,
        `${key}2`,
        undefined,
        value,
        undefined,
      )
      t.ok(back !== undefined && gone !== undefined && back > gone)
    })
  }

  await t.test('who watches is told of what others change', async t => {
    if (database.watch === undefined || !world.isShared) {
      t.pass('it does not tell')
      return
    }
    const second = await world.make()
    await second.open()
    t.teardown(() => second.close())
    const watcher = new Watched()
    const { floors } = watcher
    const stop = database.watch(watcher)
    await until(() => watcher.isHearing)
    const { deafened } = watcher
    const key = newKey()
    const first = await second.compareAndSet(table, key, undefined, value, undefined)
    await until(() => floors.get(`${table} ${key}`) === first)
    const next = await second.compareAndSet(table, key, first, value, undefined)
    await until(() => floors.get(`${table} ${key}`) === next)
    await second.expire(table, key, Date.now() + 60_000)
    await until(() => watcher.shorter.has(`${table} ${key}`))
    await second.delete(table, key)
    await until(() => (floors.get(`${table} ${key}`) ?? 0n) > (next ?? 0n))
    const back = await second.compareAndSet(table, key, undefined, value, undefined)
    t.ok(
      (back ?? 0n) >= (floors.get(`${table} ${key}`) ?? 0n),
      'a floor is no new version',
    )
    const last = second.compareAndSet(table, key, back, value, undefined)
    await second.close()
    const final = await last
    await until(() => floors.get(`${table} ${key}`) === final)
    t.equal(watcher.deafened, deafened, 'what is made when it closes is told, too')
    stop()
  })

  await t.test(
    'after close nothing is answered, and close may be called twice',
    async t => {
      const last = await world.make()
      await last.open()
      await last.close()
      await t.rejects(last.get(table, 'a'))
      await t.rejects(last.compareAndSet(table, 'a', undefined, value, undefined))
      await last.close()
    },
  )
}
