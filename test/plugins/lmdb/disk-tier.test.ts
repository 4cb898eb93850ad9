import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { Cache } from '../../../lib/cache/cache.ts'
import { GuardedTier } from '../../../lib/cache/guarded-tier.ts'
import { systemClock } from '../../../lib/clock.ts'
import { silentLog } from '../../../lib/log.ts'
import { HybridClock } from '../../../lib/record/hybrid-clock.ts'
import { tables } from '../../../lib/record/key.ts'
import type { CacheRecord } from '../../../lib/record/record.ts'
import { recordSealer } from '../../../lib/record/record-sealer.ts'
import { OffHeapTable } from '../../../lib/table/off-heap-table.ts'
import { Environment } from '../../../plugins/lmdb/environment.ts'
import { lmdb } from '../../../plugins/lmdb/lmdb.ts'
import { programOf } from '../../fixtures/process/program.ts'
import { until } from '../../fixtures/until.ts'

const maxBytes = 64 * 1024 * 1024
const hour = { ttl: 3_600_000, level: 'all', budget: 30_000 } as const
const key = Buffer.from('key of a record')
const value = Buffer.from('value of a record, which nobody may read')

interface Host {
  readonly cache: Cache
  readonly tier: GuardedTier
  /** Memory of the table. */
  readonly memory: ArrayBuffer[]
}

/** A cache over a disk, as a process has it. */
async function startHost(
  t: Test,
  folder: string,
  secret = 'x',
  prepare: (cache: Cache) => void = () => {},
): Promise<Host> {
  const clock = systemClock
  const memory: ArrayBuffer[] = []
  const table = new OffHeapTable({
    clock,
    memory: length => {
      const bytes = new ArrayBuffer(length)
      memory.push(bytes)
      return bytes
    },
  })
  const versions = new HybridClock(clock, 7)
  const cache = new Cache({ table, versions, clock })
  cache.keep(tables.revocation)
  prepare(cache)
  let guarded: GuardedTier | undefined
  const tier = lmdb({ folder, maxBytes })({
    clock: versions,
    log: silentLog,
    farmName: 'test',
    memberId: 'a',
    memory: 256 * 1024 * 1024,
    sealer: recordSealer(Buffer.alloc(32, secret)),
    replica: cache.tiers.told(cache, () => guarded),
    lost: () => guarded?.lost(),
  })
  const scan = cache.scan.bind(cache)
  const apply = (record: CacheRecord) => cache.apply(record)
  guarded = new GuardedTier({ tier, clock, log: silentLog, scan, apply })
  cache.tiers.extend(guarded)
  await cache.open()
  t.teardown(() => cache.close())
  return { cache, tier: guarded, memory }
}

t.test('what a host had comes back when it is started anew', async t => {
  const folder = join(t.testdir(), 'd')
  const { cache: before } = await startHost(t, folder)
  const own = [tables.session, tables.auth, tables.revocation, tables.state, 200 as never]
  for (const table of own) t.equal(await before.add(table, key, value, hour), true)
  await before.delete(tables.state, key)
  await before.close()
  const { cache: after } = await startHost(t, folder)
  // They are waited for; sessions are there at the latest when they are asked for.
  for (const table of [tables.auth, tables.revocation, 200 as never])
    t.same(after.getLocal(table, key)?.value, value)
  t.same((await after.get(tables.session, key, 10_000))?.value, value)
  t.equal(after.isDeleted(tables.state, key), true)
  t.equal(await after.get(tables.state, key, 10_000), undefined)
})

t.test('what matters comes into a folder that was removed meanwhile', async t => {
  const folder = join(t.testdir(), 'd')
  const { cache: before, tier } = await startHost(t, folder)
  await before.add(tables.revocation, key, value, hour)
  await rm(folder, { recursive: true })
  await until(() => tier.stats()['up'] === 0)
  await until(() => tier.stats()['up'] === 1 && tier.stats().behind === 0)
  await before.close()
  const { cache: after } = await startHost(t, folder)
  t.same(after.getLocal(tables.revocation, key)?.value, value)
})

t.test('a table that was emptied stays so', async t => {
  const folder = join(t.testdir(), 'd')
  const { cache: before } = await startHost(t, folder)
  for (const table of [tables.auth, tables.session])
    await before.add(table, key, value, hour)
  for (const table of [tables.auth, tables.session]) await before.purge(table, 30_000)
  await before.add(tables.auth, Buffer.from('later'), value, hour)
  await before.close()
  const { cache: after } = await startHost(t, folder)
  t.equal(await after.get(tables.auth, key, 10_000), undefined)
  t.equal(await after.get(tables.session, key, 10_000), undefined)
  t.same(after.getLocal(tables.auth, Buffer.from('later'))?.value, value)
})

t.test('a late write overwrites neither a newer one nor a tombstone', async t => {
  const folder = join(t.testdir(), 'd')
  const { cache, tier } = await startHost(t, folder)
  await cache.add(tables.state, key, value, hour)
  const early = cache.read(tables.state, key)
  await cache.add(tables.state, key, Buffer.from('newer'), hour)
  t.ok(early)
  if (early !== undefined) t.equal(await tier.put(early, 'all', 30_000), true)
  t.same((await tier.get(tables.state, key, 10_000))?.value, Buffer.from('newer'))
  await cache.delete(tables.state, key)
  if (early !== undefined) t.equal(await tier.put(early, 'all', 30_000), true)
  t.equal((await tier.get(tables.state, key, 10_000))?.tombstone, true)
})

t.test(
  'a byte of a record that flips in memory is a miss, repaired from disk',
  async t => {
    const { cache, memory } = await startHost(t, join(t.testdir(), 'd'))
    await cache.add(tables.session, key, value, hour)
    let flipped = 0
    for (const bytes of memory.map(each => Buffer.from(each))) {
      const at = bytes.indexOf(value)
      if (at < 0) continue
      bytes[at + 5] = (bytes[at + 5] ?? 0) ^ 1
      flipped += 1
    }
    t.equal(flipped, 1)
    t.equal(cache.getLocal(tables.session, key), undefined)
    const found = await cache.get(tables.session, key, 10_000)
    t.match(found, { value, source: 'disk' })
    t.match(cache.getLocal(tables.session, key), { value, source: 'local' })
  },
)

t.test('a byte that flips on disk is a miss, and counted', async t => {
  const folder = join(t.testdir(), 'd')
  const { cache } = await startHost(t, folder)
  await cache.add(tables.session, key, value, hour)
  await cache.close()
  const parts = { folder, maxBytes, clock: systemClock, log: silentLog }
  const environment = await Environment.open(parts)
  const all = { prefix: Buffer.alloc(0), after: undefined, limit: 100, mostBytes: 1e6 }
  for (const entry of await environment.scan(all)) {
    const altered = Buffer.from(entry.value)
    altered[altered.length - 20] = (altered[altered.length - 20] ?? 0) ^ 1
    await environment.write([{ when: 'always', put: { ...entry, value: altered } }])
  }
  await environment.close()
  const { cache: after, tier } = await startHost(t, folder)
  t.equal(await after.get(tables.session, key, 10_000), undefined)
  t.ok((tier.stats()['foreign'] ?? 0) >= 1)
})

t.test('who has the disk and not the secret has nothing', async t => {
  const folder = join(t.testdir(), 'd')
  const { cache } = await startHost(t, folder, 'right')
  await cache.add(tables.session, key, value, hour)
  await cache.add(tables.auth, key, value, hour)
  await cache.close()
  const { cache: thief, tier } = await startHost(t, folder, 'wrong')
  t.equal(await thief.get(tables.session, key, 10_000), undefined)
  t.equal(thief.getLocal(tables.auth, key), undefined)
  t.equal(tier.stats()['errors'], 0)
  await thief.close()
  const file = readFileSync(join(folder, 'data.mdb'))
  for (const secret of [key, value, value.subarray(0, 12)])
    t.equal(file.indexOf(secret), -1)
})

t.test('what is read at the start leaves others their turn', async t => {
  const folder = join(t.testdir(), 'd')
  const { cache: before } = await startHost(t, folder)
  const names = Array.from({ length: 5_000 }, (_, i) => Buffer.from(`state ${i}`))
  await Promise.all(names.map(name => before.add(tables.state, name, value, hour)))
  await before.close()
  let turns = 0
  let isOver = false
  const count = () => {
    turns += 1
    if (!isOver) setImmediate(count)
  }
  count()
  const { cache: after } = await startHost(t, folder)
  isOver = true
  t.ok(names.every(name => after.getLocal(tables.state, name) !== undefined))
  t.ok(turns > 10, `${turns} turns of others`)
})

t.test('a folder that is held when a host starts is taken when it is free', async t => {
  const folder = join(t.testdir(), 'd')
  const { cache: before } = await startHost(t, folder)
  await before.add(tables.auth, key, value, hour)
  await before.close()
  const { path, execArgv } = programOf('lmdb/environment-process')
  const holder = spawn(process.execPath, [...execArgv, path, 'hold', folder], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.teardown(() => holder.kill('SIGKILL'))
  await once(holder.stdout, 'data')
  const { cache, tier } = await startHost(t, folder)
  t.match(tier.stats(), { up: 0 })
  t.equal(await cache.add(tables.state, key, value, hour), true, 'nobody waits for it')
  t.equal(cache.getLocal(tables.auth, key), undefined)
  holder.kill('SIGKILL')
  const end = Date.now() + 60_000
  const isBack = () => tier.stats()['up'] === 1 && tier.stats().behind === 0
  while (!isBack() && Date.now() < end) await wait(20)
  t.same(cache.getLocal(tables.auth, key)?.value, value)
  t.same((await tier.get(tables.state, key, 10_000))?.value, value)
})

t.test('what could not be read to its end is read again', async t => {
  const folder = join(t.testdir(), 'd')
  const { cache: before } = await startHost(t, folder)
  for (const table of [tables.auth, 200 as never, tables.session])
    await before.add(table, key, value, hour)
  await before.close()
  let failures = 0
  const { cache } = await startHost(t, folder, 'x', preparing => {
    for (const table of [tables.auth, tables.session])
      preparing.watch(table, () => {
        failures += 1
        throw new Error('not now')
      })
  })
  const end = Date.now() + 60_000
  const isThere = () =>
    [200 as never, tables.session].every(table => cache.getLocal(table, key))
  while (!isThere() && Date.now() < end) await wait(20)
  t.same(cache.getLocal(200 as never, key)?.value, value)
  t.same(cache.getLocal(tables.session, key)?.value, value)
  t.equal(failures, 2, 'each of them kept it from the rest')
})

t.test('options that can not be are refused', async t => {
  const wrong = [
    {},
    { folder: '' },
    { folder: 'd', maxBytes: 1_000 },
    { folder: 'd', fsync: 'never' },
    { folder: 'd', loadTimeout: -1 },
    { folder: 'd', maxbytes: 1e9 },
  ]
  for (const options of wrong)
    t.throws(() => lmdb(options as never), { code: 'ERR_HANDFAST_CONFIG' })
})
