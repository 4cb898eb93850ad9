import t from 'tap'
import { generateSecret } from '../../../lib/farm/secret.ts'
import { redis } from '../../../plugins/redis/index.ts'
import { ServerClock } from '../../../plugins/redis/server-clock.ts'
import { WrongClock } from '../../fixtures/farm/clock-farm.ts'
import { cacheOf, openFarm } from '../../fixtures/farm/insides.ts'
import { memoryLog } from '../../fixtures/farm/stream-member.ts'
import { ManualClock } from '../../fixtures/manual-clock.ts'
import { patientFarm } from '../../fixtures/patience.ts'
import { noRedis, RedisServer } from '../../fixtures/redis/server.ts'
import { until } from '../../fixtures/until.ts'

const minute = 60_000
const skip = noRedis
const turn = () => new Promise<void>(resolve => setImmediate(resolve))

t.test('the time of a host is compared with that of Redis', async t => {
  const clock = new ManualClock()
  const log = memoryLog()
  let off = 0
  let answers: 'time' | 'nothing' | 'nonsense' = 'nothing'
  const asked = new ServerClock({
    clock,
    log,
    onTime() {},
    async ask() {
      if (answers === 'nothing') throw new Error('away')
      if (answers === 'nonsense') return [Buffer.from('x'), null]
      const time = clock.now() + off
      const micros = (time % 1_000) * 1_000
      return [Math.floor(time / 1_000), micros].map(part => Buffer.from(String(part)))
    },
  })
  t.teardown(() => asked.close())
  const isRightAfter = async (ms: number) => {
    clock.advance(ms)
    await turn()
    return asked.isRight
  }
  t.equal(await isRightAfter(0), false, 'nothing is known')
  answers = 'nonsense'
  t.equal(await isRightAfter(500), false)
  answers = 'time'
  t.equal(await isRightAfter(500), true)
  for (const [ahead, expected] of [
    [9, true],
    [-4, true],
    [11, false],
    [0, true],
    [-6, false],
  ] as const) {
    off = -ahead * minute
    t.equal(await isRightAfter(2_000), expected, `${ahead} min ahead`)
  }
  answers = 'nothing'
  t.equal(await isRightAfter(2_000), false, 'as it was')
  const lines = log.said('time of this host').map(({ message }) => message)
  t.match(lines, [/is 11 min ahead of/, /is that of Redis again/, /is 6 min behind/])
})

for (const [off, words] of [
  [60 * minute, /1 h ahead of/],
  [-60 * minute, /(1 h|59 min 59 s) behind/],
] as const)
  t.test(`of two hosts, the clock of one is ${off} ms off`, { skip }, async t => {
    const server = await RedisServer.start(t)
    const secret = generateSecret()
    const start = async (clock: WrongClock) => {
      const log = memoryLog()
      const tiers = [redis({ url: server.url })]
      const farm = await openFarm({ ...patientFarm, secret, clock, log, tiers })
      t.teardown(() => farm.close())
      return { farm, log, clock, isCurrent: () => cacheOf(farm).isCurrent() }
    }
    const a = await start(new WrongClock(0))
    const b = await start(new WrongClock(off))
    await until(() => a.isCurrent())
    await until(() => b.log.said('time of this host').length > 0)
    t.match(b.log.said('time of this host')[0], { level: 'error', message: words })
    t.equal(b.isCurrent(), false, 'it can not tell what is revoked')
    t.same(a.log.said('time of this host'), [])

    t.match(await b.farm.revoke({ user: 'bob' }), { everywhere: false })
    t.equal(a.isCurrent(), true, 'it is no matter of others')
    t.same(a.farm.revocations(), [])
    await a.farm.revoke({ user: 'ann' })
    if (off > 0) return
    await until(() => b.log.said('from the future').length > 0)
    t.equal(b.farm.revocations().length, 1, 'what the other wrote is not believed')
    b.clock.off = 0
    await until(() => b.farm.revocations().length === 2)
    await until(() => b.isCurrent())
  })
