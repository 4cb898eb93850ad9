import t from 'tap'
import { Cache } from '../../lib/cache/cache.ts'
import { noTier, type Tier, type WriteLevel } from '../../lib/cache/tier.ts'
import { systemClock } from '../../lib/clock.ts'
import { HybridClock } from '../../lib/record/hybrid-clock.ts'
import { tables } from '../../lib/record/key.ts'
import type { CacheRecord } from '../../lib/record/record.ts'
import { OffHeapTable } from '../../lib/table/off-heap-table.ts'
import { MapTable } from '../fixtures/table/map-table.ts'

const { state } = tables
const key = Buffer.from('key')
const value = Buffer.from('value')
const begin = 1_000_000
const names = ['peer', 'near', 'far', 'disk']

function setUp(...tiers: Partial<Tier>[]) {
  let now = begin
  const clock = { now: () => now, monotonic: () => now, after: () => ({ cancel() {} }) }
  const table = new MapTable({ clock })
  const cache = new Cache({ table, versions: new HybridClock(clock, 1), clock })
  for (const [at, tier] of tiers.entries()) {
    cache.tiers.extend({ ...noTier, source: names[at] ?? '', ...tier })
  }
  const pass = (ms: number) => {
    now += ms
  }
  return { cache, table, pass }
}

const record: CacheRecord = {
  table: state,
  key,
  value,
  version: { ms: begin, logical: 0, node: 2 },
  expiresAt: begin + 60_000,
  tombstone: false,
}

t.test('a cache without tiers is a whole one', async t => {
  const { cache } = setUp()
  await cache.open()
  t.equal(await cache.add(state, key, value, { ttl: 1_000, level: 'all' }), true)
  t.match(await cache.get(state, key), { value, source: 'local' })
  t.equal(await cache.get(state, Buffer.from('other')), undefined)
  t.match(await cache.purge(state), { everywhere: true, missing: [] })
  await cache.close()
})

t.test('no tier keeps nothing and misses nobody', async t => {
  const { cache } = setUp(noTier)
  await cache.open()
  t.equal(await cache.add(state, key, value, { ttl: 1_000 }), true)
  t.equal(await cache.find(state, Buffer.from('other'), 50), undefined)
  await cache.close()
})

t.test('the nearest is asked first, and the farther ones only after a miss', async t => {
  const asked: string[] = []
  const tier = (name: string, found?: CacheRecord): Partial<Tier> => ({
    get: async () => {
      asked.push(name)
      return found
    },
  })
  const { cache } = setUp(tier('near'), tier('far', record), tier('farthest', record))
  t.match(await cache.get(state, key), { value, source: 'near' })
  t.same(asked, ['near', 'far'])
  t.match(await cache.get(state, key), { source: 'local' })
  t.equal(asked.length, 2)
})

t.test(
  'what a far tier has is kept on the disk before it, and told to no members',
  async t => {
    const put: unknown[] = []
    const note =
      (name: string): Tier['put'] =>
      async (...given) => {
        put.push([name, ...given])
        return true
      }
    const { cache, table } = setUp(
      { put: note('peers') },
      { put: note('disk'), isOwn: true },
      { get: async () => record },
    )
    await cache.get(state, key)
    t.same(put, [['disk', record, 'local', 0]])
    t.same(table.read(state, key), record)
    table.purge()
    await cache.get(state, key)
    t.equal(put.length, 2)
  },
)

t.test('a deletion that a near tier knows ends the search', async t => {
  let asked = 0
  const deleted = { ...record, value: Buffer.alloc(0), tombstone: true }
  const { cache } = setUp(
    { get: async () => deleted },
    {
      get: async () => {
        asked += 1
        return record
      },
    },
  )
  t.equal(await cache.get(state, key), undefined)
  t.equal(asked, 0)
  t.equal(cache.isDeleted(state, key), true)
})

t.test('a near tier leaves as much time for each of those behind it', async t => {
  const budgets: number[] = []
  const slow = (ms: number): Partial<Tier> => ({
    get: async (_table, _key, budget) => {
      budgets.push(budget)
      pass(Math.min(ms, budget))
      return undefined
    },
  })
  const { cache, pass } = setUp(slow(10), slow(100), slow(100))
  t.equal(await cache.find(state, key, 100), 'timeout')
  t.same(budgets, [100 / 3, 45, 45])
})

/** Tiers that each answer some levels, and say yes or no. */
function answering(
  ...tiers: readonly (readonly [string, boolean, (boolean | undefined)?])[]
) {
  const put: string[] = []
  const { cache } = setUp(
    ...tiers.map(
      ([levels, yes, isOwn], at): Partial<Tier> => ({
        isOwn,
        answers: level => levels.includes(level),
        put: async (_record, level) => {
          put.push(`${at} ${level}`)
          return yes
        },
      }),
    ),
  )
  const write = (level: WriteLevel) => cache.add(state, key, value, { ttl: 1_000, level })
  return { write, put }
}

const ofMembers = 'one all'
const ofServer = 'one repositories'
const ofDisk = 'all'

t.test('level local waits for nobody, and each tier is given the record', async t => {
  const { write, put } = answering([ofMembers, false], [ofServer, false])
  t.equal(await write('local'), true)
  t.same(put, ['0 local', '1 local'])
})

t.test('level one is reached with the first place that another host sees', async t => {
  t.equal(await answering([ofMembers, false], [ofServer, true]).write('one'), true)
  t.equal(await answering([ofMembers, true], [ofServer, false]).write('one'), true)
  t.equal(await answering([ofMembers, false], [ofServer, false]).write('one'), false)
})

t.test(
  'a member that is alone answers for no server, and no disk for other hosts',
  async t => {
    t.equal(await answering(['', true], [ofServer, false]).write('one'), false)
    const { write, put } = answering(['', true], [ofDisk, false, true])
    t.equal(await write('one'), true, 'a farm of one')
    t.same(put, ['0 local', '1 local'])
  },
)

t.test('level repositories is reached with each of them', async t => {
  const both = 'one all repositories'
  t.equal(await answering([both, true], [ofServer, true]).write('repositories'), true)
  t.equal(await answering([both, true], [ofServer, false]).write('repositories'), false)
  t.equal(
    await answering([ofMembers, false], [ofServer, true]).write('repositories'),
    true,
  )
  const without = answering([ofMembers, true], [ofDisk, false, true])
  t.equal(await without.write('repositories'), true, 'where there is none, as one')
  t.same(without.put, ['0 one', '1 local'])
})

t.test('level all is reached with all members, servers and the disk', async t => {
  const all = [
    [ofMembers, true],
    [ofServer, true],
    [ofDisk, true, true],
  ] as const
  const { write, put } = answering(...all)
  t.equal(await write('all'), true)
  t.same(put, ['0 all', '1 repositories', '2 all'])
  for (const at of [0, 1, 2]) {
    const tiers = all.map(([levels, , isOwn], i) => [levels, i !== at, isOwn] as const)
    t.equal(await answering(...tiers).write('all'), false, `but not tier ${at}`)
  }
})

t.test('a server can not say that all members have applied it', async t => {
  t.equal(await answering(['', true], [ofServer, true]).write('all'), false)
  t.equal(await answering(['', true], [`${ofServer} all`, true]).write('all'), true)
})

t.test('who is away is told', async t => {
  const member = { id: 'b', address: undefined, away: 1 }
  const reach = await setUp({}, { absent: () => [member] }).cache.purge(state)
  t.same(reach, { everywhere: false, reachable: true, missing: [member] })
})

t.test('two tiers of one name, and one without, are refused', async t => {
  const { cache } = setUp({})
  for (const source of ['peer', 'local', '', 'Redis', 'a b'])
    t.throws(() => cache.tiers.extend({ ...noTier, source }), {
      code: 'ERR_HANDFAST_CONFIG',
    })
})

t.test('what others write is kept on the disk, but for what came from there', async t => {
  const kept: CacheRecord[] = []
  const disk: Tier = {
    ...noTier,
    source: 'disk',
    isOwn: true,
    put: async put => {
      kept.push(put)
      return true
    },
  }
  const { cache } = setUp({})
  cache.tiers.extend(disk)
  cache.tiers.told(cache, () => disk).apply(record)
  t.same(kept, [])
  const newer = { ...record, version: { ...record.version, logical: 1 } }
  cache.tiers.told(cache).apply(newer)
  cache.tiers.told(cache).apply(newer)
  t.same(kept, [newer], 'once')
})

t.test('what others write is backed when the disk has it, and all before it', async t => {
  const settles: ((kept: boolean) => void)[] = []
  let isUp = true
  const disk: Tier = {
    ...noTier,
    source: 'disk',
    isOwn: true,
    answers: level => level === 'all' && isUp,
    put: () => new Promise(resolve => settles.push(resolve)),
  }
  const { cache } = setUp({})
  cache.tiers.extend(disk)
  const told = cache.tiers.told(cache)
  const write = (name: string) => told.apply({ ...record, key: Buffer.from(name) })
  const turn = () => new Promise(resolve => setImmediate(resolve))
  for (const name of ['a', 'b', 'c']) write(name)
  t.match(told.backing, { given: 3, stored: 0 })
  settles[1]?.(true)
  await turn()
  t.match(told.backing, { stored: 0 })
  settles[0]?.(false)
  await turn()
  t.match(told.backing, { stored: 2 }, 'one that it did not keep holds up nobody')
  settles[2]?.(true)
  isUp = false
  write('d')
  await turn()
  t.match(told.backing, { given: 3, stored: 3 }, 'a disk that is off holds up nobody')
})

t.test('what this host had is here before the members are asked', async t => {
  const begun: string[] = []
  const watch = (name: string) => async () => void begun.push(name)
  const { cache } = setUp(
    { watch: watch('members') },
    { watch: watch('server') },
    { watch: watch('disk'), isOwn: true },
  )
  await cache.open()
  t.same(begun, ['disk', 'members', 'server'])
})

t.test('a cache is as current as the least of its tiers', async t => {
  t.equal(setUp().cache.isCurrent(), true)
  t.equal(setUp({}, {}).cache.isCurrent(), true)
  t.equal(setUp({}, { isCurrent: () => false }, {}).cache.isCurrent(), false)
})

t.test('a tier that refuses ends them all', async t => {
  const closed: string[] = []
  const close = (name: string) => async () => void closed.push(name)
  const { cache } = setUp(
    { close: close('near') },
    { watch: () => Promise.reject(new Error('refused')), close: close('far') },
  )
  await t.rejects(cache.open(), { message: 'refused' })
  t.same(closed, ['near', 'far'])
})

t.test(
  'a record with a flipped byte is a miss, and repaired from a tier (row A12)',
  async t => {
    const chunks: Uint8Array[] = []
    const memory = (length: number) => {
      const chunk = new ArrayBuffer(length)
      chunks.push(new Uint8Array(chunk))
      return chunk
    }
    const now = systemClock.now()
    const clock = systemClock
    const table = new OffHeapTable({ clock, maxBytes: 4 * 1024 * 1024, memory })
    t.teardown(() => table.close())
    const cache = new Cache({ table, versions: new HybridClock(clock, 1), clock })
    const kept = {
      ...record,
      version: { ms: now, logical: 0, node: 2 },
      expiresAt: now + 60_000,
    }
    cache.tiers.extend({ ...noTier, source: 'disk', get: async () => kept })
    cache.apply(kept)
    for (const bytes of chunks) {
      const at = Buffer.from(bytes.buffer).indexOf(value)
      if (at >= 0) bytes[at] = (bytes[at] ?? 0) ^ 1
    }
    t.equal(cache.getLocal(state, key), undefined)
    t.equal(table.stats().corrupt, 1)
    t.match(await cache.get(state, key), { value, source: 'disk' })
    t.match(cache.getLocal(state, key), { value, source: 'local' })
  },
)

t.test('what a disk brings later a server that hosts share may lack', async t => {
  const lost: string[] = []
  const noting = (name: string, isOwn = false): Tier => ({
    ...noTier,
    source: name,
    isOwn,
    lost: () => lost.push(name),
  })
  const { cache } = setUp()
  const disk = noting('disk', true)
  for (const tier of [noting('peer'), disk, noting('server')]) cache.tiers.extend(tier)
  const fromDisk = cache.tiers.told(cache, () => disk)
  fromDisk.apply({ ...record, table: tables.session })
  t.same(lost, [], 'a session that is missing costs a handshake')
  fromDisk.apply(record)
  t.same(lost, ['peer', 'server'])
  fromDisk.apply(record)
  t.equal(lost.length, 2, 'once, while it is news')
  cache.tiers.told(cache).apply({ ...record, key: Buffer.from('told') })
  t.equal(lost.length, 2, 'what others have told they know')
})
