import t, { type Test } from 'tap'
import { testSeed } from '../fixtures/random.ts'
import {
  type DatabaseName,
  openShopDatabase,
  withoutDatabase,
} from '../fixtures/shop/shop-databases.ts'
import { type Fault, faults } from '../fixtures/state-trial/broken-database.ts'
import { type Event, judge } from '../fixtures/state-trial/judge.ts'
import { holdTrial } from '../fixtures/state-trial/trial.ts'

/** `npm run test:state` does the same for longer. */
const kills = { kills: 2, databaseKills: 1 }
const seed = testSeed()
t.comment(`SEED=${seed}`)

for (const kind of ['lmdb', 'postgres', 'redis'] as const) {
  t.test(
    `what clients see over ${kind} is linearisable while all are killed`,
    { skip: withoutDatabase(kind) },
    async t => {
      const database = await databaseFor(t, kind)
      const verdict = await holdTrial({ ...kills, database, seed })
      const { requests, unknown, keys } = verdict
      t.comment(`${requests} requests for ${keys} keys, ${unknown} of unknown outcome`)
      t.same(verdict.problems, [])
    },
  )
}

t.test('a database with a fault is found out', async t => {
  const said = /no order of its operations explains what was read|went back/
  const find = async (fault: Fault) =>
    t.match((await problemsWith(t, fault))[0], said, fault)
  await Promise.all(faults.map(find))
})

/** In a history, however long it takes until one has it. */
async function problemsWith(t: Test, fault: Fault): Promise<readonly string[]> {
  for (let round = 0; ; round += 1) {
    const database = await databaseFor(t, 'lmdb')
    const terms = { database, fault, kills: 2, databaseKills: 0, seed: seed + round }
    const { problems } = await holdTrial(terms)
    if (problems.length > 0) return problems
  }
}

async function databaseFor(t: Test, kind: DatabaseName) {
  const database = await openShopDatabase(kind)
  t.teardown(() => database.close())
  return database
}

t.test('the judge of a cache', async t => {
  const event = (
    at: number,
    deed: 'get' | 'set',
    version: number,
    more: { incarnation?: string; table?: 'told' | 'aged' | 'looked' } = {},
  ): Event => {
    const { incarnation = 'one.1', table = 'told' } = more
    return {
      request: { id: at, deed, table, key: 'a', to: deed === 'set' ? version : 0 },
      incarnation,
      calledAt: at,
      answeredAt: at + 1,
      answer: {
        id: at,
        outcome: 'done',
        version: String(version),
        ...(deed === 'get' && { value: version, stale: false }),
      },
    }
  }
  const two = { incarnation: 'two.1' }
  const written = [event(0, 'set', 1), event(10, 'set', 2)]
  t.same(judge([...written, event(20, 'get', 1, two)], false), [], 'old, elsewhere')
  t.match(judge([...written, event(20, 'get', 1, two)], true), [/no order/])
  t.match(judge([...written, event(20, 'get', 1)], false), [/one.1 went back from 2/])
  t.match(
    judge([...written, event(20, 'get', 2, two), event(30, 'get', 1, two)], false),
    [/two.1 went back/],
  )
  t.match(judge([...written, event(20, 'get', 9, two)], false), [/9 was never written/])
  const aged = { ...two, table: 'aged' } as const
  t.same(judge([...written, event(500, 'get', 1, aged)], false), [])
  t.match(judge([...written, event(700, 'get', 1, aged)], false), [/689 ms old/])
  const looked = { ...two, table: 'looked' } as const
  t.match(judge([...written, event(20, 'get', 1, looked)], false), [/no order/])
})
