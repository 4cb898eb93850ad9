import t from 'tap'
import type { Clock } from '../../lib/clock.ts'
import { HandfastError } from '../../lib/errors.ts'
import { createState, type Database, memoryDatabase } from '../../lib/state/index.ts'
import { MemoryLog } from '../fixtures/proxy/servers.ts'

/** One whose waits are over at once. */
class HastyClock implements Clock {
  time = 1_000_000
  readonly waits: number[] = []

  now(): number {
    return this.time
  }

  monotonic(): number {
    return this.time
  }

  after(ms: number, fn: () => void) {
    const waiting = setImmediate(() => {
      this.time += ms
      this.waits.push(ms)
      fn()
    })
    return { cancel: () => clearImmediate(waiting) }
  }
}

/** A database that fails so many times before it opens. */
function lateDatabase(failures: number, fault: () => Error) {
  const database = memoryDatabase()
  const calls = { opened: 0, closed: 0 }
  const late: Database = {
    name: 'late',
    reach: 'process',
    isVolatile: true,
    open: async () => {
      calls.opened += 1
      if (calls.opened <= failures) throw fault()
    },
    get: (...args) => database.get(...args),
    compareAndSet: (...args) => database.compareAndSet(...args),
    delete: (...args) => database.delete(...args),
    expire: (...args) => database.expire(...args),
    scan: (...args) => database.scan(...args),
    close: async () => {
      calls.closed += 1
    },
  }
  return { database: late, calls }
}

const isAway = () => new HandfastError('ERR_HANDFAST_DATABASE', 'connect ECONNREFUSED')

t.test('a database that does not answer yet is waited for, and the log told', async t => {
  const { database, calls } = lateDatabase(6, isAway)
  const [clock, log] = [new HastyClock(), new MemoryLog()]
  const state = await createState({ database, clock, log, tables: { carts: {} } })
  await state.table('carts').set('ann', 1)
  t.equal((await state.table('carts').get('ann'))?.value, 1)
  t.equal(calls.opened, 7)
  t.equal(calls.closed, 0)
  t.same(clock.waits.slice(0, 6), [100, 200, 400, 800, 1_600, 2_000])
  t.equal(log.lines.length, 1, 'once')
  t.match(log.lines[0], {
    level: 'warn',
    fields: { database: 'late', reason: 'connect ECONNREFUSED', budget: 30_000 },
    message: 'the database does not answer yet, it is asked again',
  })
  await state.close()
  t.equal(calls.closed, 1)
})

t.test('for as long as its budget, and then it is closed', async t => {
  const { database, calls } = lateDatabase(Infinity, isAway)
  const clock = new HastyClock()
  const opening = createState({ database, clock, openBudget: 5_000 })
  await t.rejects(opening, { code: 'ERR_HANDFAST_DATABASE', message: /ECONNREFUSED/ })
  t.equal(
    clock.waits.reduce((sum, ms) => sum + ms, 0),
    5_000,
  )
  t.equal(calls.closed, 1)
})

t.test('with a budget of 0 it is asked once', async t => {
  const { database, calls } = lateDatabase(Infinity, isAway)
  await t.rejects(createState({ database, openBudget: 0 }), {
    code: 'ERR_HANDFAST_DATABASE',
  })
  t.same(calls, { opened: 1, closed: 1 })
})

t.test('what no time mends is told at once', async t => {
  for (const code of ['ERR_HANDFAST_CONFIG', 'ERR_HANDFAST_SCHEMA'] as const) {
    const { database, calls } = lateDatabase(
      Infinity,
      () => new HandfastError(code, 'no'),
    )
    await t.rejects(createState({ database }), { code })
    t.same(calls, { opened: 1, closed: 1 })
  }
  await t.rejects(createState({ database: memoryDatabase(), openBudget: -1 }), {
    code: 'ERR_HANDFAST_CONFIG',
    message: /openBudget must be a whole number from 0 to 3600000/,
  })
})
