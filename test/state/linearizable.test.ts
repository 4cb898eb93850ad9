import { join } from 'node:path'
import t, { type Test } from 'tap'
import { generateSecret } from '../../lib/farm/secret.ts'
import { createState, type StateTable } from '../../lib/state/index.ts'
import { lmdbDatabase } from '../../plugins/lmdb/database.ts'
import { seededRandom, testSeed } from '../fixtures/random.ts'
import { recordHistory } from '../fixtures/state/history.ts'
import { isLinearizable, type Operation } from '../fixtures/state/linearizable.ts'
import { SharedPlace } from '../fixtures/state/shared-database.ts'

const secret = generateSecret()
const seed = testSeed()
t.comment(`seed ${seed}`)

t.test('the checker knows what can be from what can not', async t => {
  const read = (calledAt: number, answeredAt: number, from?: number): Operation => ({
    kind: 'read',
    calledAt,
    answeredAt,
    from,
  })
  const write = (calledAt: number, answeredAt: number, to: number): Operation => ({
    kind: 'write',
    calledAt,
    answeredAt,
    to,
  })
  t.ok(isLinearizable([write(0, 1, 1), read(2, 3, 1)], undefined))
  t.notOk(isLinearizable([write(0, 1, 1), read(2, 3, undefined)], undefined), 'stale')
  t.ok(isLinearizable([write(0, 3, 1), read(1, 2, undefined)], undefined), 'at a time')
  const back = [write(0, 9, 1), read(1, 2, 1), read(3, 4, undefined)]
  t.notOk(isLinearizable(back, undefined), 'new, then old')
  const lost: Operation[] = [
    { kind: 'cas', calledAt: 0, answeredAt: 2, from: 0, to: 1 },
    { kind: 'cas', calledAt: 1, answeredAt: 3, from: 0, to: 2 },
  ]
  t.notOk(isLinearizable(lost, 0), 'a lost update')
  const unknown = [write(0, Infinity, 1), read(1, 2, undefined), read(3, 4, 1)]
  t.ok(isLinearizable(unknown, undefined), 'it took effect late')
})

async function serversOf(t: Test, place: SharedPlace, cacheTtl = 0) {
  const tables: StateTable<number>[] = []
  for (let number = 0; number < 3; number += 1) {
    const state = await createState({
      database: place.open(),
      secret,
      tables: { counts: { cacheTtl } },
    })
    t.teardown(() => state.close())
    tables.push(state.table<number>('counts'), state.table<number>('counts'))
  }
  return tables
}

t.test('three servers over one database, whose answers are lost at random', async t => {
  const random = seededRandom(seed)
  const place = new SharedPlace()
  const tables = await serversOf(t, place)
  const turn = () => new Promise<void>(resolve => setImmediate(resolve))
  place.before = async () => {
    while (random() < 0.5) await turn()
  }
  place.after = async call => {
    while (random() < 0.5) await turn()
    if (call === 'compareAndSet' && random() < 0.05) throw new Error('connection lost')
  }
  for (let round = 0; round < 10; round += 1) {
    const history = await recordHistory(tables, `key ${round}`, random, 8)
    t.ok(isLinearizable(history, undefined), `round ${round}: ${history.length}`)
  }
})

t.test('LMDB, and many clients of one server', async t => {
  const database = lmdbDatabase({ folder: join(t.testdir({}), 'state'), fsync: false })
  const state = await createState({ database, secret, tables: { counts: {} } })
  t.teardown(() => state.close())
  const random = seededRandom(seed)
  const tables = Array.from({ length: 6 }, () => state.table<number>('counts'))
  for (let round = 0; round < 5; round += 1) {
    const history = await recordHistory(tables, `key ${round}`, random, 8)
    t.ok(isLinearizable(history, undefined), `round ${round}: ${history.length}`)
  }
})

t.test('a broken store is found', async t => {
  t.test('one whose servers trust their caches without being told', async t => {
    const random = seededRandom(seed)
    const tables = await serversOf(t, new SharedPlace(), 3_600_000)
    const found: boolean[] = []
    for (let round = 0; round < 20; round += 1) {
      const history = await recordHistory(tables, `key ${round}`, random, 8)
      found.push(!isLinearizable(history, undefined))
    }
    t.ok(found.includes(true))
  })

  t.test('one that stores whatever the version', async t => {
    const random = seededRandom(seed)
    const place = new SharedPlace()
    const open = place.open.bind(place)
    place.open = () => {
      const database = open()
      return {
        ...database,
        compareAndSet: async (table, key, _expected, value, expiresAt) => {
          const stored = await database.get(table, key)
          await new Promise(resolve => setImmediate(resolve))
          const { version } = stored ?? {}
          return (
            (await database.compareAndSet(table, key, version, value, expiresAt)) ??
            (await database.get(table, key))?.version
          )
        },
      }
    }
    const tables = await serversOf(t, place)
    const found: boolean[] = []
    for (let round = 0; round < 20; round += 1) {
      const history = await recordHistory(tables, `key ${round}`, random, 8)
      found.push(!isLinearizable(history, undefined))
    }
    t.ok(found.includes(true))
  })
})
