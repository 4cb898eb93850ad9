import { once } from 'node:events'
import t from 'tap'
import { systemClock } from '../../lib/clock.ts'
import { type TableId, tables } from '../../lib/record/key.ts'
import type { CacheRecord } from '../../lib/record/record.ts'
import {
  frames,
  nonceLength,
  readRecords,
  readRefusal,
  writeHello,
  writeNumber,
} from '../../lib/repository/frames.ts'
import type { Keeper } from '../../lib/repository/keeper.ts'
import { Link } from '../../lib/repository/link.ts'
import { prove } from '../../lib/repository/proof.ts'
import { memoryLog } from '../fixtures/farm/stream-member.ts'
import { seededRandom, testSeed } from '../fixtures/random.ts'
import {
  keeperWorld,
  key,
  linkTo,
  userWorld,
} from '../fixtures/repository/keeper-world.ts'
import { until } from '../fixtures/until.ts'

// The timers of the keeper do not keep the process up.
const alive = setInterval(() => {}, 1_000)
t.teardown(() => clearInterval(alive))

const minute = 60_000
const auth = tables.auth

interface RawUser {
  readonly link: Link
  /** Number of the last record that it was told. */
  last: number
}

/** A process that is another one's child, and says nothing of itself but its pid and ring. */
function rawUser(keeper: Keeper): RawUser {
  const nonce = Buffer.alloc(nonceLength)
  const link = new Link(linkTo(keeper), systemClock, {
    onFrame: (type, body) => {
      if (type === frames.records) user.last = readRecords(body).last
      if (type !== frames.challenge) return
      const proof = prove(key, 'user', body, nonce)
      link.send(frames.hello, writeHello({ pid: process.ppid, ring: 5, nonce, proof }))
    },
    onEnd: () => {},
  })
  const user: RawUser = { link, last: 0 }
  return user
}

function record(table: TableId, name: string, value = 'value'): CacheRecord {
  return {
    table,
    key: Buffer.from(name),
    value: Buffer.from(value),
    version: { ms: Date.now(), logical: 0, node: 1 },
    expiresAt: Date.now() + minute,
    tombstone: false,
  }
}

t.test(
  'what one user puts, the keeper and every other user has when it is done',
  async t => {
    const { cache, keeper, published } = keeperWorld(t)
    const [one, other] = [userWorld(t), userWorld(t)]
    await Promise.all([one.join(keeper), other.join(keeper)])
    const put = record(tables.revocation, 'who')
    t.equal(await one.tier.put(put, 'all', 1_000), true)
    t.same(cache.read(put.table, put.key)?.value, put.value)
    t.same(other.cache.read(put.table, put.key)?.value, put.value)
    t.equal(published.length, 1, 'and those beyond the keeper were told')
    t.equal(one.tier.undone, 0)
  },
)

t.test('sessions go to the keeper alone, and are found by asking', async t => {
  const { cache, keeper } = keeperWorld(t)
  const [one, other] = [userWorld(t), userWorld(t)]
  await Promise.all([one.join(keeper), other.join(keeper)])
  const put = record(tables.session, 'a session')
  t.equal(await one.tier.put(put, 'one', 1_000), true)
  t.ok(cache.read(put.table, put.key))
  t.equal(other.cache.read(put.table, put.key), undefined)
  t.same((await other.tier.get(put.table, put.key, 1_000))?.value, put.value)
  t.equal(await other.tier.get(put.table, Buffer.from('another'), 1_000), undefined)
})

t.test('what nobody here has is asked of those beyond', async t => {
  const far = record(tables.session, 'far away')
  const { keeper } = keeperWorld(t, { fetch: async () => far })
  const user = userWorld(t)
  await user.join(keeper)
  t.same((await user.tier.get(far.table, far.key, 1_000))?.value, far.value)
})

t.test('a user is given all that there is but sessions, before it is held', async t => {
  const { cache, keeper } = keeperWorld(t)
  for (let i = 0; i < 1_000; i += 1) cache.apply(record(auth, `login ${i}`))
  cache.apply(record(tables.session, 'a session'))
  const user = userWorld(t)
  await user.join(keeper)
  for (let i = 0; i < 1_000; i += 1) {
    if (user.cache.read(auth, Buffer.from(`login ${i}`)) === undefined) t.fail(`${i}`)
  }
  t.equal(user.cache.read(tables.session, Buffer.from('a session')), undefined)
})

t.test('nothing is settled before every user has applied it', async t => {
  const { keeper } = keeperWorld(t)
  const applied: CacheRecord[] = []
  const user = userWorld(t, {
    apply: told => {
      t.equal(keeper.isSettled, false)
      applied.push(told)
    },
  })
  await user.join(keeper)
  t.equal(keeper.isSettled, true, 'nothing is under way')
  const told = keeper.tell(record(tables.revocation, 'who'))
  t.equal(keeper.isSettled, false)
  t.same([await told, applied.length], [true, 1])
  t.equal(keeper.isSettled, true)
})

t.test('a user that can not take a record does not say that it has', async t => {
  const { keeper } = keeperWorld(t)
  const user = userWorld(t, {
    apply: () => {
      throw new Error('no room')
    },
  })
  await user.join(keeper)
  t.equal(await keeper.tell(record(tables.revocation, 'who')), false)
  t.equal(keeper.isSettled, false, 'nor does the keeper')
  t.match(user.lost, [{ message: 'no room' }])
  t.match(keeper.absent(), [{ id: `host-1/${process.pid}` }], 'the process is there')
})

t.test(
  'a process that is back by another link lacks what there is until it has it',
  async t => {
    const { cache, keeper } = keeperWorld(t)
    cache.apply(record(tables.revocation, 'who'))
    const first = rawUser(keeper)
    await until(() => first.last > 0)
    first.link.send(frames.applied, writeNumber(first.last))
    await until(() => keeper.isSettled)
    const again = rawUser(keeper)
    await until(() => again.last > 0)
    t.equal(keeper.isSettled, false)
    first.link.destroy()
    t.equal(keeper.isSettled, false)
    again.link.send(frames.applied, writeNumber(again.last))
    await until(() => keeper.isSettled)
  },
)

t.test(
  'the ring of a process that lost its link, and may still write, is its own',
  async t => {
    const taken: ReadonlySet<number>[] = []
    const { keeper } = keeperWorld(t, {
      ring: (own, others) => {
        taken.push(new Set(others))
        return own ?? 7
      },
    })
    const { link } = rawUser(keeper)
    while (keeper.users.size === 0) await new Promise(resolve => setImmediate(resolve))
    link.destroy()
    while (keeper.users.size > 0) await new Promise(resolve => setImmediate(resolve))
    await userWorld(t).join(keeper)
    t.same(taken, [new Set(), new Set([5])])
  },
)

t.test('one that took its leave is not waited for', async t => {
  const { keeper } = keeperWorld(t)
  const user = userWorld(t)
  await user.join(keeper)
  user.tier.close()
  while (keeper.users.size > 0) await new Promise(resolve => setImmediate(resolve))
  t.same([keeper.tell(record(auth, 'who')), keeper.absent()], [true, []])
})

t.test('what was not done on one link is done on the next', async t => {
  const { cache, keeper } = keeperWorld(t)
  const user = userWorld(t)
  const early = user.tier.put(record(auth, 'early'), 'all', 5_000)
  t.equal(user.tier.undone, 1)
  await user.join(keeper)
  t.equal(await early, true)
  user.tier.leave()
  const between = user.tier.put(record(auth, 'between'), 'one', 5_000)
  const late = user.tier.put(record(auth, 'late'), 'one', 0)
  t.equal(await late, false, 'its time is over, and it is written all the same')
  await user.join(keeper)
  t.equal(await between, true)
  while (user.tier.undone > 0) await new Promise(resolve => setImmediate(resolve))
  for (const name of ['early', 'between', 'late'])
    t.ok(cache.read(auth, Buffer.from(name)), name)
})

t.test('who does not know the key is told nothing, and told nothing by', async t => {
  const log = memoryLog()
  const { keeper } = keeperWorld(t, { log })
  const stranger = userWorld(t, { key: Buffer.alloc(32, 8) })
  const error = { code: 'ERR_HANDFAST_JOIN', message: /secret or another farm name/ }
  await t.rejects(stranger.join(keeper), error)
  t.equal(keeper.users.size, 0)
  t.match(log.said('is refused'), [{ level: 'warn', message: /another secret/ }])
  const impostor = keeperWorld(t, { key: Buffer.alloc(32, 8) })
  const user = userWorld(t)
  await t.rejects(user.join(impostor.keeper))
  t.equal(user.tier.isLinked, false)
})

t.test('a process of another release is told that it is', async t => {
  const { keeper } = keeperWorld(t)
  const stream = linkTo(keeper)
  const told = new Promise<{ type: number; body: Buffer }>(resolve => {
    const link = new Link(stream, systemClock, {
      onFrame: (type, body) => {
        if (type !== frames.challenge) resolve({ type, body: Buffer.from(body) })
        else link.send(frames.hello, Buffer.from([99]))
      },
      onEnd() {},
    })
  })
  const { type, body } = await told
  t.equal(type, frames.refused)
  t.match(readRefusal(body), /another release/)
  t.equal(keeper.users.size, 0)
})

t.test('hostile bytes end their own link and nothing else', async t => {
  const seed = testSeed()
  t.comment(`SEED=${seed}`)
  const random = seededRandom(seed)
  const { keeper } = keeperWorld(t)
  const user = userWorld(t)
  await user.join(keeper)
  const ended: Promise<unknown>[] = []
  for (let i = 0; i < 100; i += 1) {
    const stream = linkTo(keeper)
    stream.on('error', () => {})
    stream.resume()
    ended.push(once(stream, 'close'))
    const bytes = Buffer.alloc(5 + Math.floor(random() * 300))
    for (let j = 0; j < bytes.length; j += 1) bytes[j] = Math.floor(random() * 256)
    // A frame that is whole, most of the time.
    bytes.writeUInt32BE(bytes.length - 5, 0)
    if (random() < 0.2) bytes.writeUInt32BE(0xffffffff, 0)
    stream.write(bytes)
  }
  await Promise.all(ended)
  t.equal(keeper.users.size, 1)
  t.equal(await user.tier.put(record(auth, 'still'), 'all', 1_000), true)
})

t.test('a census asks every process', async t => {
  const { keeper } = keeperWorld(t)
  const users = [userWorld(t), userWorld(t)]
  for (const user of users) await user.join(keeper)
  const all = [{ of: 'the keeper' }, { of: 'a user' }, { of: 'a user' }]
  t.same(await keeper.census(), all)
  t.same(await users[0]?.tier.census(), all)
  users[0]?.tier.leave()
  t.same(
    await users[0]?.tier.census(),
    [{ of: 'a user' }],
    'without a keeper one tells of itself',
  )
})

t.test(
  'who had a link to the keeper before is not said to know what it was not told',
  async t => {
    const { keeper } = keeperWorld(t, { before: [process.ppid, process.pid, 2 ** 30] })
    t.match(keeper.absent(), [{ id: `host-1/${process.ppid}` }], 'the dead are left out')
    t.equal(keeper.absent().length, 1)
    t.equal(await keeper.tell(record(tables.revocation, 'who')), false)
    t.equal(keeper.isSettled, false)
  },
)

t.test(
  'a keeper that came later is given what its users have, and tells the others',
  async t => {
    const { cache, keeper, published } = keeperWorld(t)
    const [one, other] = [userWorld(t), userWorld(t)]
    const revoked = record(tables.revocation, 'who')
    one.cache.apply(revoked)
    one.cache.apply(record(tables.session, 'a session'))
    await Promise.all([one.join(keeper), other.join(keeper)])
    await one.tier.bring((cursor, limit) => one.cache.scan(cursor, limit))
    const { table, key: name } = revoked
    while (other.cache.read(table, name) === undefined) await new Promise(setImmediate)
    t.same(cache.read(table, name)?.value, revoked.value)
    await one.tier.bring((cursor, limit) => one.cache.scan(cursor, limit))
    await one.tier.put(record(auth, 'behind it'), 'one', 1_000)
    t.same(
      published.map(told => told.key.toString()),
      ['who', 'behind it'],
      'once, and no session',
    )
  },
)
