import t, { type Test } from 'tap'
import { HandfastError } from '../../lib/errors.ts'
import { generateSecret } from '../../lib/farm/secret.ts'
import { RefusedByDatabase } from '../../lib/state/database.ts'
import { createState, memoryDatabase } from '../../lib/state/index.ts'
import { gate, SharedPlace } from '../fixtures/state/shared-database.ts'

const secret = generateSecret()
/** A budget's timer does not keep a process alive. */
const alive = setInterval(() => {}, 1_000)
t.teardown(() => clearInterval(alive))

async function setUp(t: Test, place: SharedPlace, options: object = {}) {
  const state = await createState({
    database: place.open(),
    secret,
    tables: { carts: {} },
    ...options,
  })
  t.teardown(() => state.close())
  return { state, carts: state.table<number>('carts') }
}

t.test('while the database is down', async t => {
  t.test('reads go on from the cache and say that they may be old', async t => {
    const place = new SharedPlace()
    const { state, carts } = await setUp(t, place)
    await carts.set('ann', 1)
    place.before = () => {
      throw new Error('connect ECONNREFUSED')
    }
    t.match(await carts.get('ann'), { value: 1, stale: true })
    await t.rejects(carts.get('bob'), {
      code: 'ERR_HANDFAST_DATABASE',
      message: /shared failed: connect ECONNREFUSED/,
    })
    await t.rejects(carts.get('ann', { fresh: true }), { code: 'ERR_HANDFAST_DATABASE' })
    t.equal(state.stats().stale, 1)
    for (let read = 0; read < 20; read += 1) {
      t.match(await carts.get('ann'), { value: 1, stale: true })
    }
    t.ok(place.count('get') < 10, 'and it is not asked for each of them')
  })

  t.test('an update of what may be old is refused', async t => {
    const place = new SharedPlace()
    const { carts } = await setUp(t, place)
    await carts.set('ann', 1)
    place.before = () => {
      throw new Error('down')
    }
    let called = false
    const update = carts.update('ann', () => {
      called = true
      return 2
    })
    await t.rejects(update, { code: 'ERR_HANDFAST_DATABASE' })
    t.notOk(called)
  })

  t.test('and when it is back all goes on', async t => {
    let now = 0
    const clock = {
      now: () => Date.now(),
      monotonic: () => now,
      after: () => ({ cancel() {} }),
    }
    const place = new SharedPlace()
    const { carts } = await setUp(t, place, { clock })
    place.before = () => {
      throw new Error('down')
    }
    for (let read = 0; read < 20; read += 1) await t.rejects(carts.get('ann'))
    place.before = () => {}
    now += 10_000
    await carts.set('ann', 2)
    t.match(await carts.get('ann'), { value: 2, stale: false })
  })
})

t.test('what is refused of one entry is no fault of the database', async t => {
  const place = new SharedPlace()
  const { carts } = await setUp(t, place)
  await carts.set('bob', 1)
  place.before = () => {
    throw new RefusedByDatabase('somebody has locked it')
  }
  for (let write = 0; write < 20; write += 1) {
    await t.rejects(carts.set('ann', 1), { code: 'ERR_HANDFAST_DATABASE' })
  }
  place.before = () => {}
  await carts.set('bob', 2)
  t.match(await carts.get('bob', { fresh: true }), { value: 2, stale: false })
})

t.test('a write says what became of it', async t => {
  t.test('nothing, where the database says so', async t => {
    const place = new SharedPlace()
    const { carts } = await setUp(t, place)
    await carts.set('ann', 1)
    for (const code of ['ERR_HANDFAST_DATABASE', 'ERR_HANDFAST_DATABASE_FULL'] as const) {
      place.before = call => {
        if (call === 'compareAndSet') throw new HandfastError(code, 'refused')
      }
      await t.rejects(carts.set('ann', 2), { code })
      place.before = () => {}
      t.match(await carts.get('ann'), { value: 1, stale: false })
    }
  })

  t.test('nobody knows, where the answer was lost; then the next read looks', async t => {
    const place = new SharedPlace(true)
    const { carts } = await setUp(t, place)
    await carts.set('ann', 1)
    place.tell = () => {}
    place.after = call => {
      if (call === 'compareAndSet') throw new Error('read ECONNRESET')
    }
    await t.rejects(carts.set('ann', 2), {
      code: 'ERR_HANDFAST_OUTCOME_UNKNOWN',
      message: /may have been made: read ECONNRESET/,
    })
    place.after = () => {}
    t.match(await carts.get('ann'), { value: 2, stale: false })
    place.after = call => {
      if (call === 'delete') throw new Error('read ECONNRESET')
    }
    await t.rejects(carts.delete('ann'), { code: 'ERR_HANDFAST_OUTCOME_UNKNOWN' })
    place.after = () => {}
    t.equal(await carts.get('ann'), undefined)
  })

  t.test('within its budget, and an answer that comes later is heard', async t => {
    const place = new SharedPlace(true)
    const { carts } = await setUp(t, place, { writeBudget: 20 })
    const held = gate()
    place.tell = () => {}
    place.after = async call => {
      if (call === 'compareAndSet') await held.passed
    }
    await t.rejects(carts.set('ann', 2), {
      code: 'ERR_HANDFAST_OUTCOME_UNKNOWN',
      message: /within 20 ms/,
    })
    held.open()
    t.equal((await carts.get('ann'))?.value, 2)
  })

  t.test('the next update of the key does not wait for one that hangs', async t => {
    const place = new SharedPlace()
    const { carts } = await setUp(t, place, { writeBudget: 500 })
    const hanging = carts.update('ann', () => new Promise(() => {}))
    hanging.catch(() => {})
    t.match(await carts.update('ann', () => 1), { value: 1 })
  })
})

t.test('a slow database is asked for no more than it is allowed to owe', async t => {
  const place = new SharedPlace()
  const { carts } = await setUp(t, place, { maxPending: 10, readBudget: 60_000 })
  const held = gate()
  place.before = () => held.passed
  const gets = Array.from({ length: 15 }, (_, number) => carts.get(`key ${number}`))
  const results = Promise.allSettled(gets)
  await t.rejects(carts.set('ann', 1), {
    code: 'ERR_HANDFAST_DATABASE',
    message: /behind: 10 calls/,
  })
  held.open()
  const refused = (await results).filter(({ status }) => status === 'rejected')
  t.equal(refused.length, 5)
  t.equal(place.count('compareAndSet'), 0)
})

t.test('a full database refuses what is new, and what is there stays', async t => {
  const state = await createState({
    database: memoryDatabase({ maxBytes: 1_000 }),
    tables: { carts: {} },
  })
  t.teardown(() => state.close())
  const carts = state.table('carts')
  await carts.set('ann', 1)
  await t.rejects(carts.set('bob', 'x'.repeat(1_000)), {
    code: 'ERR_HANDFAST_DATABASE_FULL',
  })
  t.equal((await carts.get('ann'))?.value, 1)
  await carts.set('ann', 2)
})

t.test('a database of a later release is left alone', async t => {
  const database = memoryDatabase()
  database.open = async () => {
    throw new HandfastError('ERR_HANDFAST_SCHEMA', 'schema 9 is newer than this release')
  }
  await t.rejects(createState({ database }), { code: 'ERR_HANDFAST_SCHEMA' })
})

t.test('after close nothing is answered', async t => {
  const state = await createState({ database: memoryDatabase() })
  await state.close()
  await t.rejects(state.table('sessions').get('a'), { code: 'ERR_HANDFAST_CLOSED' })
  await t.rejects(state.table('sessions').set('a', 1), { code: 'ERR_HANDFAST_CLOSED' })
  await state.close()
})

t.test('a database that could not be opened is closed', async t => {
  let closed = 0
  const database = memoryDatabase()
  database.open = () => Promise.reject(new Error('no'))
  database.close = async () => {
    closed += 1
  }
  await t.rejects(createState({ database }), { message: 'no' })
  t.equal(closed, 1)
})
