import t from 'tap'
import { GuardedTier } from '../../lib/cache/guarded-tier.ts'
import { noTier, type Tier } from '../../lib/cache/tier.ts'
import { silentLog } from '../../lib/log.ts'
import { type TableId, tables } from '../../lib/record/key.ts'
import type { CacheRecord } from '../../lib/record/record.ts'
import { memoryLog } from '../fixtures/farm/stream-member.ts'
import { ManualClock } from '../fixtures/manual-clock.ts'

const key = Buffer.from('key')

function recordOf(table: TableId, name: string): CacheRecord {
  return {
    table,
    key: Buffer.from(name),
    value: Buffer.from('value'),
    version: { ms: 1, logical: 0, node: 2 },
    expiresAt: 2 ** 40,
    tombstone: false,
  }
}

function setUp(tier: Partial<Tier>, here: CacheRecord[] = []) {
  const clock = new ManualClock()
  const guarded = new GuardedTier({
    tier: { ...noTier, source: 'server', ...tier },
    clock,
    log: silentLog,
    scan: () => ({ records: here, next: undefined }),
    apply: () => true,
  })
  const get = (budget = 50) => guarded.get(tables.session, key, budget)
  return { guarded, clock, get }
}

const turn = () => new Promise<void>(resolve => setImmediate(resolve))

t.test('hits, misses, failures and silence are counted, and never reject', async t => {
  const record = recordOf(tables.session, 'key')
  const answers: (() => Promise<CacheRecord | undefined>)[] = [
    async () => record,
    async () => undefined,
    () => Promise.reject(new Error('refused')),
    () => {
      throw new Error('not even a promise')
    },
    () => new Promise(() => {}),
  ]
  const { guarded, clock, get } = setUp({
    get: () => answers.shift()?.() ?? Promise.resolve(undefined),
  })
  t.same(await get(), record)
  for (const _ of [1, 2, 3]) t.equal(await get(), undefined)
  const silent = get()
  clock.advance(50)
  t.equal(await silent, undefined)
  t.match(guarded.stats(), { hits: 1, misses: 1, errors: 2, timeouts: 1, skipped: 0 })
})

t.test('a tier waits no longer than its own budget', async t => {
  const { clock, get, guarded } = setUp({ budget: 10, get: () => new Promise(() => {}) })
  const silent = get(50)
  clock.advance(10)
  t.equal(await silent, undefined)
  t.equal(guarded.stats().timeouts, 1)
})

t.test('after five failures in a row it is passed by, and tried again', async t => {
  let asked = 0
  let works = false
  const { guarded, clock, get } = setUp({
    get: async () => {
      asked += 1
      if (!works) throw new Error('down')
      return undefined
    },
  })
  for (let i = 0; i < 8; i += 1) await get()
  t.equal(asked, 5)
  t.match(guarded.stats(), { open: 1, skipped: 3, errors: 5 })
  clock.advance(1_000)
  await Promise.all([get(), get(), get()])
  t.equal(asked, 6, 'one alone finds out')
  clock.advance(1_000)
  await get()
  t.equal(asked, 6, 'the pause doubles')
  clock.advance(1_000)
  works = true
  await get()
  await get()
  t.equal(asked, 8)
  t.equal(guarded.stats().open, 0)
})

t.test('an answer that had too little time says nothing of the tier', async t => {
  const { guarded, clock, get } = setUp({ get: () => new Promise(() => {}) })
  for (let i = 0; i < 10; i += 1) {
    const silent = get(5)
    clock.advance(5)
    await silent
  }
  t.match(guarded.stats(), { open: 0, timeouts: 10 })
})

t.test('too many lookups at a time are misses', async t => {
  const { guarded, get } = setUp({ get: () => new Promise(() => {}) })
  for (let i = 0; i < 1_024; i += 1) void get()
  t.equal(await get(), undefined)
  t.equal(guarded.stats().limited, 1)
})

t.test(
  'a write that nobody waits for is done at once, and counted when it fails',
  async t => {
    const session = recordOf(tables.session, 'a')
    const { guarded } = setUp({ put: () => Promise.reject(new Error('full')) })
    t.equal(await guarded.put(session, 'local', 0), true)
    t.equal(await guarded.put(session, 'one', 50), false)
    await turn()
    t.match(guarded.stats(), { writes: 2, writeErrors: 2, behind: 0 })
  },
)

t.test('a write is waited for no longer than its budget', async t => {
  const { guarded, clock } = setUp({ put: () => new Promise(() => {}) })
  const reached = guarded.put(recordOf(tables.session, 'a'), 'one', 10)
  clock.advance(10)
  t.equal(await reached, false)
})

t.test('what matters and was not kept is written again, and no session is', async t => {
  const revocation = recordOf(tables.revocation, 'ann')
  const put: CacheRecord[] = []
  let works = false
  const { guarded, clock } = setUp(
    {
      put: async record => {
        if (!works) throw new Error('down')
        put.push(record)
        return true
      },
    },
    [recordOf(tables.session, 'a'), revocation],
  )
  t.equal(await guarded.put(revocation, 'all', 100), false)
  t.equal(guarded.stats().behind, 1)
  clock.advance(1_000)
  for (let i = 0; i < 5; i += 1) await turn()
  t.equal(guarded.stats().behind, 1, 'it still fails')
  works = true
  clock.advance(2_000)
  for (let i = 0; i < 5; i += 1) await turn()
  t.same(put, [revocation])
  t.equal(guarded.stats().behind, 0)
})

t.test('a server that was started empty is given what matters', async t => {
  const put: CacheRecord[] = []
  const here = [recordOf(tables.farm, 'keys'), recordOf(tables.auth, 'ann')]
  const { guarded, clock } = setUp({ put: async record => put.push(record) > 0 }, here)
  guarded.lost()
  clock.advance(1_000)
  for (let i = 0; i < 5; i += 1) await turn()
  t.same(put, here)
})

t.test(
  'a disk keeps nothing of how other things are now, and is always current',
  async t => {
    let put = 0
    const { guarded } = setUp({
      isOwn: true,
      isCurrent: () => false,
      put: async () => {
        put += 1
        return true
      },
    })
    await guarded.put(recordOf(tables.health, 'a'), 'local', 0)
    await guarded.put(recordOf(tables.connection, 'a'), 'local', 0)
    t.equal(put, 0)
    t.equal(guarded.isCurrent(), true)
  },
)

t.test('after its end nothing is written', async t => {
  let put = 0
  const { guarded } = setUp({
    put: async () => {
      put += 1
      return true
    },
  })
  await guarded.close()
  t.equal(await guarded.put(recordOf(tables.revocation, 'a'), 'all', 10), false)
  t.equal(put, 0)
})

t.test('what is here before a tier is watched is given to it', async t => {
  const put: CacheRecord[] = []
  const keeps: Partial<Tier> = {
    put: async record => {
      put.push(record)
      return true
    },
  }
  const record = recordOf(tables.revocation, 'ann')
  const { guarded, clock } = setUp(keeps, [record])
  await guarded.watch()
  clock.advance(1_000)
  await turn()
  t.same(put, [record])
  const empty = setUp(keeps)
  await empty.guarded.watch()
  t.equal(empty.guarded.stats().behind, 0)
})

t.test('what comes from the future is a miss, and counted', async t => {
  const record = recordOf(tables.session, 'key')
  const guarded = new GuardedTier({
    tier: { ...noTier, source: 'server', get: async () => record },
    clock: new ManualClock(),
    log: silentLog,
    scan: () => ({ records: [], next: undefined }),
    apply: () => true,
    accepts: ({ ms }) => ms <= 0,
  })
  t.equal(await guarded.get(tables.session, key, 50), undefined)
  t.equal(guarded.apply(record), false)
  t.match(guarded.stats(), { hits: 0, misses: 1, refusedFuture: 2, early: 0 })
})

for (const isOwn of [true, false])
  t.test(
    `what matters and comes from the future is taken in time: ${isOwn ? 'a disk' : 'a server'}`,
    async t => {
      const log = memoryLog()
      const clock = new ManualClock()
      let setRightBy = 0
      const applied: CacheRecord[] = []
      const session = recordOf(tables.session, 'key')
      const guarded = new GuardedTier({
        tier: { ...noTier, source: 'far', isOwn, get: async () => session },
        clock,
        log,
        scan: () => ({ records: [], next: undefined }),
        apply: record => applied.push(record) > 0,
        accepts: ({ ms }) => ms <= clock.now() + setRightBy,
      })
      const at = (ms: number, table: TableId, name: string) => ({
        ...recordOf(table, name),
        version: { ms: clock.now() + ms, logical: 0, node: 2 },
      })
      const [state, first, newer, later] = [
        at(100, tables.state, 'cart'),
        at(200, tables.revocation, 'ann'),
        at(210, tables.revocation, 'ann'),
        at(5_000, tables.revocation, 'bob'),
      ]
      t.equal(guarded.isCurrent(), true)
      for (const record of [state, newer, first, later])
        t.equal(guarded.apply(record), false)
      t.equal(guarded.isCurrent(), false, 'what was revoked is not known')
      t.equal(guarded.withholds, isOwn)
      const [old, cart] = [at(-100, tables.session, 'old'), at(-100, tables.state, 'old')]
      for (const record of [old, cart])
        t.equal(guarded.apply(record), !isOwn, 'what was before may be revoked')
      t.same(applied.splice(0), isOwn ? [] : [old, cart])
      const found = isOwn ? undefined : session
      t.same(await guarded.get(tables.session, key, 50), found, 'it may be revoked')
      t.match(guarded.stats(), { early: isOwn ? 4 : 3, refusedFuture: 4 })
      const [line] = log.said('from the future')
      t.equal(line?.level, 'error')

      clock.advance(1_000)
      t.same(applied, isOwn ? [newer] : [newer, state], 'first what was revoked')
      t.equal(guarded.isCurrent(), false)
      setRightBy = 4_000
      t.equal(guarded.isCurrent(), true, 'looked at when it is asked for, too')
      t.same(applied, isOwn ? [newer, later, cart, state] : [newer, state, later])
      t.same(await guarded.get(tables.session, key, 50), session)
      t.equal(guarded.stats().early, 0)
    },
  )

t.test(
  'what a server with the right time has from the future is a fault of others',
  async t => {
    const clock = new ManualClock()
    let isTimeRight = true
    const guarded = new GuardedTier({
      tier: {
        ...{ ...noTier, source: 'server' },
        get isTimeRight() {
          return isTimeRight
        },
      },
      clock,
      log: silentLog,
      scan: () => ({ records: [], next: undefined }),
      apply: () => true,
      accepts: ({ ms }) => ms <= clock.now(),
    })
    const version = { ms: clock.now() + 1_000, logical: 0, node: 2 }
    guarded.apply({ ...recordOf(tables.revocation, 'ann'), version })
    t.equal(guarded.isCurrent(), true)
    isTimeRight = false
    t.equal(guarded.isCurrent(), false)
  },
)

t.test('what somebody makes of a record keeps no other back', async t => {
  const clock = new ManualClock()
  const log = memoryLog()
  const applied: CacheRecord[] = []
  const guarded = new GuardedTier({
    tier: { ...noTier, source: 'server' },
    clock,
    log,
    scan: () => ({ records: [], next: undefined }),
    apply(record) {
      applied.push(record)
      throw new Error('a fault of who watches')
    },
    accepts: ({ ms }) => ms <= clock.now(),
  })
  for (const [at, name] of ['ann', 'bob'].entries()) {
    const version = { ms: clock.now() + 100 + at, logical: 0, node: 2 }
    guarded.apply({ ...recordOf(tables.revocation, name), version })
  }
  clock.advance(1_000)
  t.equal(applied.length, 2)
  t.equal(guarded.isCurrent(), true)
  t.equal(log.said('was not taken').length, 2)
})

t.test(
  'a tier that is away for an hour is some lines, and one when it is back',
  async t => {
    const log = memoryLog()
    const clock = new ManualClock()
    let works = false
    const answer = async () => {
      if (!works) throw new Error('no connection')
      return true
    }
    const guarded = new GuardedTier({
      tier: {
        ...noTier,
        source: 'redis',
        put: answer,
        get: async () => void (await answer()),
      },
      clock,
      log,
      scan: () => ({ records: [], next: undefined }),
      apply: () => true,
    })
    t.teardown(() => guarded.close())
    const live = async (seconds: number) => {
      for (let i = 0; i < seconds; i += 1) {
        void guarded.put(recordOf(tables.session, `${i}`), 'local', 0)
        void guarded.get(tables.session, Buffer.of(1), 50)
        await turn()
        clock.advance(1_000)
      }
    }
    await live(3_600)
    const broken = ['lookups pass a tier by', 'does not keep what is written']
    for (const text of broken) {
      const lines = log.said(text)
      t.ok(lines.length > 3 && lines.length <= 12, `${text}: ${lines.length}`)
      t.match(lines.at(-1)?.fields, { tier: 'redis', lasts: /min/, reason: /no conn/ })
    }
    works = true
    await live(60)
    for (const text of ['answers again', 'keeps again'])
      t.match(log.said(text), [{ level: 'info', fields: { lasted: /^(?:1 h|59 min)/ } }])
  },
)
