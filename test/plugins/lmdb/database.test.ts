import { join } from 'node:path'
import t from 'tap'
import { systemClock } from '../../../lib/clock.ts'
import { silentLog } from '../../../lib/log.ts'
import { lmdbDatabase } from '../../../plugins/lmdb/database.ts'
import { Environment } from '../../../plugins/lmdb/environment.ts'
import { killWhileStoring } from '../../fixtures/lmdb/database-kills.ts'
import { testSeed } from '../../fixtures/random.ts'
import { databaseContract } from '../../state/database-contract.ts'

const maxBytes = 64 * 1024 * 1024

t.test('LMDB keeps the promises of a database', async t => {
  const folder = join(t.testdir({}), 'state')
  let count = 0
  // One object has a folder at a time, so nobody else can have it open meanwhile.
  const make = () =>
    lmdbDatabase({ folder: `${folder}${count++}`, maxBytes, fsync: false })
  await databaseContract(t, { make, isShared: false })
})

t.test(
  'it is there after a restart, and versions go on, even with a slow clock',
  async t => {
    const folder = join(t.testdir({}), 'state')
    const value = Buffer.from('value')
    const first = lmdbDatabase({ folder })
    await first.open()
    const version = await first.compareAndSet('carts', 'ann', undefined, value, undefined)
    await first.compareAndSet('carts', 'bob', undefined, value, undefined)
    const deleted = await first.delete('carts', 'bob')
    await t.rejects(lmdbDatabase({ folder }).open(), {
      code: 'ERR_HANDFAST_DATABASE',
      message: new RegExp(`process ${process.pid} holds`),
    })
    await first.close()
    const clock = { ...systemClock, now: () => Date.now() - 1_800_000 }
    const second = lmdbDatabase({ folder, clock })
    await second.open()
    t.teardown(() => second.close())
    t.equal((await second.get('carts', 'ann'))?.version, version)
    const back = await second.compareAndSet('carts', 'bob', undefined, value, undefined)
    t.ok((back ?? 0n) > (deleted ?? 0n))
  },
)

t.test('a folder of a later release is left alone', async t => {
  const folder = join(t.testdir({}), 'state')
  const environment = await Environment.open({
    folder,
    maxBytes,
    clock: systemClock,
    log: silentLog,
  })
  const rank = Buffer.alloc(16)
  const put = { key: Buffer.from('\0about'), rank, value: Buffer.alloc(9, 2), kept: true }
  await environment.write([{ when: 'always', put: { ...put, expiresAt: 2 ** 47 } }])
  await environment.close()
  await t.rejects(lmdbDatabase({ folder }).open(), { code: 'ERR_HANDFAST_SCHEMA' })
})

t.test('a full one refuses what is new, and keeps what it has', async t => {
  const folder = join(t.testdir({}), 'state')
  const database = lmdbDatabase({ folder, maxBytes, fsync: false })
  await database.open()
  t.teardown(() => database.close())
  const value = Buffer.alloc(1024 * 1024, 1)
  const stored: string[] = []
  let refusal: { code?: string } = {}
  for (let number = 0; number < 100 && refusal.code === undefined; number += 1) {
    try {
      await database.compareAndSet('files', `${number}`, undefined, value, undefined)
      stored.push(`${number}`)
    } catch (error) {
      refusal = error as { code?: string }
    }
  }
  t.equal(refusal.code, 'ERR_HANDFAST_DATABASE_FULL')
  t.ok(stored.length > 20)
  for (const key of stored) t.ok(await database.get('files', key))
  t.ok(await database.delete('files', stored[0] ?? ''), 'room can be made')
})

t.test('kill -9 at random loses nothing that was acknowledged', async t => {
  const seed = testSeed()
  t.comment(`seed ${seed}`)
  const folder = join(t.testdir({}), 'state')
  const { acknowledged, problems } = await killWhileStoring(folder, seed, 2)
  t.same(problems, [])
  t.ok(acknowledged > 0, `${acknowledged} acknowledged`)
})

t.test('bad options are named', async t => {
  const config = { code: 'ERR_HANDFAST_CONFIG' }
  t.throws(() => lmdbDatabase({} as never), config)
  t.throws(() => lmdbDatabase({ folder: 'x', maxBytes: 1 }), config)
  t.throws(() => lmdbDatabase({ folder: 'x', maxbytes: 1 } as never), config)
})
