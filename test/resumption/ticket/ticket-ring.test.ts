import t from 'tap'
import { tables } from '../../../lib/record/key.ts'
import type { SealKeys } from '../../../lib/resumption/ticket/epoch-key.ts'
import {
  encodeTicketRecord,
  TicketSeal,
  ticketRecordKey,
} from '../../../lib/resumption/ticket/ticket-record.ts'
import { TicketRing } from '../../../lib/resumption/ticket/ticket-ring.ts'
import type { TicketTimesOptions } from '../../../lib/resumption/ticket/ticket-schedule.ts'
import { seededRandom } from '../../fixtures/random.ts'
import {
  opens,
  recordingLog,
  SimulatedFarm,
  type SimulatedMember,
  type SimulatedTicket,
  SimulatedTime,
  sealedBy,
} from '../../fixtures/resumption/ticket-farm.ts'

const second = 1_000
const minute = 60 * second
const hour = 60 * minute
const day = 24 * hour
const period = 8 * hour
const acceptFor = 24 * hour
/** The start of an epoch, in 2026. */
const epochStart = Math.ceil(Date.UTC(2026, 2, 1) / period) * period

function farmAt(
  start: number,
  options: { interval?: number; seed?: number; times?: TicketTimesOptions } = {},
) {
  const time = new SimulatedTime(start)
  const log = recordingLog()
  const random = seededRandom(options.seed ?? 1)
  const { interval = minute } = options
  const times = { period, acceptFor, ...options.times }
  return { time, log, farm: new SimulatedFarm({ time, random, log, interval, times }) }
}

/** Whether a ticket that `from` makes now could be read by `to`. */
function resumes(from: SimulatedMember, to: SimulatedMember): boolean {
  return opens(to.ring, sealedBy(from.ring))
}

/** What the key that seals now makes of a scope. */
function sealKeys({ ring }: SimulatedMember, scope = ''): SealKeys {
  const key = ring.sealing()
  if (key === undefined) throw new Error('no key seals')
  return key.for(scope)
}

/** Keys are zeroed a turn after they have come to their end. */
async function isZero({ hmac, aes }: SealKeys): Promise<boolean> {
  await new Promise(setImmediate)
  return [...hmac, ...aes].every(byte => byte === 0)
}

t.test('a farm of one has a key from the first moment', async t => {
  const times = { settle: 0 }
  const { time, farm } = farmAt(epochStart + hour, { interval: second, times })
  const alone = await farm.join()
  const first = sealedBy(alone.ring)
  t.notOk(await isZero(sealKeys(alone)))
  const zeros = { name: Buffer.alloc(16), iv: Buffer.alloc(16) }
  t.notOk(opens(alone.ring, zeros), 'no key opens zeros')
  await time.advance(10 * second)
  t.equal(alone.ring.status().keys.length, 2, 'the next key is made')
  t.ok(opens(alone.ring, first))
})

t.test('all members start at once, with clocks 10 min apart', async t => {
  const { time, farm } = farmAt(epochStart + hour, { interval: second })
  const members = await Promise.all([-5, 5, 0, 3].map(skew => farm.join(skew * minute)))
  await time.advance(15 * second)
  for (const from of members) {
    t.ok(from.ring.status().shared)
    for (const to of members) t.ok(resumes(from, to), `${from.id} -> ${to.id}`)
  }
})

t.test('whatever a member seals all others open, from the first moment on', async t => {
  for (const start of [epochStart + hour, epochStart, epochStart - 1]) {
    const { time, farm } = farmAt(start, { interval: second })
    const members = await Promise.all([0, 0, 0].map(() => farm.join()))
    let sealed = 0
    for (let at = 0; at < 20; at += 1) {
      for (const from of members) {
        if (from.ring.sealing() === undefined) continue
        sealed += 1
        for (const to of members) {
          if (!resumes(from, to)) t.fail(`${from.id} -> ${to.id} after ${at} s`)
        }
      }
      await time.advance(second)
    }
    t.ok(sealed > 30, 'and before long all do')
  }
})

t.test('a key seals when the others have it, and no sooner', async t => {
  const { time, farm } = farmAt(epochStart + hour, { interval: second })
  const [a, b] = [await farm.join(), await farm.join()]
  let first = 0
  for (let at = 0; at < 20 && first === 0; at += 1) {
    await time.advance(second)
    const had = [a, b].every(({ ring }) => ring.opening().length > 0)
    if (a.ring.sealing() === undefined) continue
    t.ok(had)
    first = at
  }
  t.ok(first >= 4, `${first} s`)
  const late = await farm.join()
  t.ok(resumes(late, a), 'who joins then can seal at once')
})

t.test('a joiner in the middle of an epoch shares its keys at once', async t => {
  const { time, farm } = farmAt(epochStart + hour)
  const old = await farm.join()
  await time.advance(9 * hour)
  const previous = sealedBy(old.ring)
  await time.advance(7 * hour)
  const joiner = await farm.join(-4 * minute)
  t.ok(joiner.ring.status().shared)
  t.ok(resumes(joiner, old))
  t.ok(resumes(old, joiner))
  t.ok(opens(joiner.ring, previous), 'older tickets too')
})

t.test('the next key is everywhere a whole period before it encrypts', async t => {
  const { time, farm } = farmAt(epochStart + hour)
  for (const skew of [0, 5, -5]) await farm.join(skew * minute)
  await time.advance(2 * day)
  const last = farm.members.map(({ ring }) => ring.sealing())
  for (let at = 0; at < 3 * period; at += 10 * minute) {
    for (const [i, { ring, clock }] of farm.members.entries()) {
      const now = ring.sealing()
      if (now === last[i]) continue
      last[i] = now
      const epoch = Math.floor(clock.now() / period)
      const held = farm.members.map(({ ring }) => ring.status().keys)
      t.ok(held.every(keys => keys.some(key => key.epoch === epoch + 1)))
    }
    await time.advance(10 * minute)
  }
  const counts = farm.members.flatMap(({ ring }) =>
    ring.status().keys.map(({ count }) => count),
  )
  t.ok(
    counts.every(count => count === 1),
    'one key for each epoch was enough',
  )
})

t.test('a partition shorter than a period costs no resumption', async t => {
  const { time, farm } = farmAt(epochStart + 3 * hour)
  const [a, b] = [await farm.join(5 * minute), await farm.join(-5 * minute)]
  await time.advance(2 * day)
  b.side = 1
  const lost: number[] = []
  for (let passed = 0; passed < period - 10 * minute; passed += 5 * minute) {
    await time.advance(5 * minute)
    if (!resumes(a, b) || !resumes(b, a)) lost.push(passed / minute)
  }
  t.same(lost, [])
})

t.test('both sides of a long partition accept each other when they meet', async t => {
  const { time, farm } = farmAt(epochStart + hour)
  const [a, b, c] = [await farm.join(), await farm.join(), await farm.join()]
  await time.advance(day)
  c.side = 1
  await time.advance(5 * day)
  t.notOk(resumes(a, c), 'a key of one side is unknown on the other')
  const [ofA, ofC] = [a, c].map(({ ring }) => sealedBy(ring))
  c.side = 0
  await time.advance(15 * minute)
  t.ok(ofA && opens(c.ring, ofA), 'tickets from the time apart')
  t.ok(ofC && opens(b.ring, ofC))
  t.ok(resumes(a, c) && resumes(c, a))
  await time.advance(3 * period)
  t.ok(sealKeys(a).hmac.equals(sealKeys(c).hmac), 'one key again')
})

t.test('what one side lacks is told within seconds of the first word', async t => {
  const { time, farm } = farmAt(epochStart + hour, { interval: second })
  const [a, b] = [await farm.join(0, 0), await farm.join(0, 1)]
  await time.advance(minute)
  const [ofA, ofB] = [a, b].map(({ ring }) => sealedBy(ring))
  b.side = 0
  const knows = (member: SimulatedMember, name: SimulatedTicket | undefined) =>
    name !== undefined && opens(member.ring, name)
  let first = 0
  let both = 0
  for (let passed = 1; passed < 900 && both === 0; passed += 1) {
    await time.advance(second)
    if (first === 0 && (knows(a, ofB) || knows(b, ofA))) first = passed
    if (knows(a, ofB) && knows(b, ofA)) both = passed
  }
  t.ok(first > 0 && both > 0)
  t.ok(both - first <= 3, `${first} s, then ${both} s`)
})

t.test('a member that missed a record asks for it before it makes a key', async t => {
  const times = { lateSpread: 2 * minute, refresh: 10 * hour }
  const { time, farm } = farmAt(epochStart + hour, { interval: second, times, seed: 2 })
  const old = await farm.join()
  await time.advance(10 * minute)
  const cut = await farm.join(0, 1)
  t.equal(cut.ring.status().keys.length, 0)
  cut.side = 0
  await time.advance(5 * second)
  t.ok(cut.ring.status().shared && resumes(cut, old))
  t.ok(cut.ring.status().keys.every(({ count }) => count === 1))
})

t.test(
  'the board is looked at when something is posted, not round and round',
  async t => {
    const { time, farm } = farmAt(epochStart + hour, { interval: second })
    const [a, b] = [await farm.join(), await farm.join()]
    await time.advance(minute)
    let looks = 0
    const read = b.cache.getLocal.bind(b.cache)
    b.cache.getLocal = (...asked) => {
      looks += 1
      return read(...asked)
    }
    farm.published = 0
    await time.advance(10 * second)
    t.ok(looks <= 6 * farm.published, `${looks} looks, ${farm.published} posted`)
    const before = looks
    const ticket = sealedBy(a.ring)
    await a.ring.withdrawAll()
    t.ok(looks > before)
    t.equal(opens(b.ring, ticket), false, 'gone when it is acknowledged')
  },
)

t.test('a key that came before its time is known when its time has come', async t => {
  const start = epochStart + period - minute
  // Whoever is due to make a key makes it at once.
  const { time, farm } = farmAt(start, { interval: second, times: { spread: period } })
  const ahead = await farm.join(period)
  await time.advance(5 * second)
  const behind = await farm.join()
  // From here on neither hears of the other.
  behind.side = 1
  const newest = () => Math.max(...behind.ring.status().keys.map(({ epoch }) => epoch))
  const before = newest()
  await time.advance(minute)
  t.equal(newest(), before + 1)
  await time.advance(2 * period - 2 * minute)
  t.ok(resumes(ahead, behind))
})

t.test('a table that is full loses no ticket keys', async t => {
  const { time, farm } = farmAt(epochStart + hour)
  const [a] = [await farm.join(), await farm.join()]
  await time.advance(day)
  const epoch = Math.floor(time.now / period)
  for (const { table, cache } of farm.members) {
    table.purge()
    t.ok(cache.read(tables.farm, ticketRecordKey(period, epoch)))
  }
  const joiner = await farm.join()
  t.ok(resumes(a as SimulatedMember, joiner))
})

t.test('a key dies in time although the wall clock is turned back', async t => {
  const { time, farm } = farmAt(epochStart)
  const member = await farm.join()
  await farm.join()
  await time.advance(2 * day)
  const old = sealKeys(member)
  const name = sealedBy(member.ring)
  member.skew = -3 * day
  await time.advance(2 * minute)
  t.ok(await isZero(old), 'a key of the far future is not kept')
  member.skew = -12 * hour
  await time.advance(2 * minute)
  t.ok(opens(member.ring, name), 'it is learnt again')
  await time.advance(acceptFor)
  t.equal(opens(member.ring, name), false, 'and its time is not prolonged')
  await time.advance(10 * minute)
  t.equal(opens(member.ring, name), false, 'nor does the table bring it back')
})

t.test('a clock that jumps ahead and back finds the keys of the farm again', async t => {
  const { time, farm } = farmAt(epochStart)
  const [a, b] = [await farm.join(), await farm.join()]
  await time.advance(2 * day)
  b.skew = 30 * day
  await time.advance(10 * minute)
  b.skew = 0
  await time.advance(15 * minute)
  t.ok(resumes(a, b) && resumes(b, a))
})

t.test('withdrawn keys are gone everywhere, and stay gone', async t => {
  const { time, farm, log } = farmAt(epochStart + hour)
  const [a, b, c] = [await farm.join(), await farm.join(), await farm.join()]
  await time.advance(day)
  const old = farm.members.map(member => sealKeys(member))
  const names = farm.members.map(({ ring }) => sealedBy(ring))
  c.side = 1
  t.equal(await a.ring.withdrawAll(), true)
  await time.advance(minute)
  for (const name of names) {
    t.equal(opens(a.ring, name), false)
    t.equal(opens(b.ring, name), false)
    t.ok(opens(c.ring, name), 'who is cut off can not know')
  }
  c.side = 0
  await time.advance(15 * minute)
  for (const { ring } of farm.members) {
    for (const name of names) t.equal(opens(ring, name), false)
  }
  for (const keys of old) t.ok(await isZero(keys))
  t.ok(resumes(a, b) && resumes(b, c) && resumes(c, a))
  t.ok(farm.members.every(({ ring }) => ring.status().shared))
  t.match(log.lines.join('\n'), /all ticket keys withdrawn/)
})

t.test('the key of a member that is alone is withdrawn too', async t => {
  const { farm, time } = farmAt(epochStart + hour, { times: { settle: 0 } })
  const member = await farm.join()
  const first = sealKeys(member)
  const ticket = sealedBy(member.ring)
  await member.ring.withdrawAll()
  t.equal(opens(member.ring, ticket), false)
  t.ok(await isZero(first))
  await time.advance(minute)
  t.ok(resumes(member, member), 'and another one seals')
})

t.test('closing zeroes every key', async t => {
  const { time, farm } = farmAt(epochStart + hour)
  const member = await farm.join()
  await time.advance(5 * minute)
  const first = sealKeys(member)
  const key = member.ring.sealing()
  await time.advance(day)
  const second = sealKeys(member, 'scope')
  t.notOk(await isZero(second))
  farm.leave(member)
  t.ok((await isZero(first)) && (await isZero(second)))
  t.throws(() => key?.for('other'), { code: 'ERR_HANDFAST_CLOSED' })
  t.throws(() => key?.draw(), { code: 'ERR_HANDFAST_CLOSED' })
  await time.advance(day)
})

t.test('garbage on the board harms nobody', async t => {
  const { time, farm, log } = farmAt(epochStart + hour)
  const member = await farm.join()
  await time.advance(5 * minute)
  const name = sealedBy(member.ring)
  const foreign = new TicketSeal(Buffer.alloc(32, 9), 'x', size => Buffer.alloc(size, 3))
  const epoch = Math.floor(time.now / period)
  const stranger = foreign.seal({ period, epoch }, Buffer.alloc(32, 4), time.now)
  for (const value of [Buffer.from('junk'), encodeTicketRecord([stranger])]) {
    await member.cache.add(tables.farm, ticketRecordKey(period, epoch), value, {
      ttl: hour,
    })
    await time.advance(minute)
  }
  t.ok(opens(member.ring, name))
  t.match(log.lines.join('\n'), /malformed/)
  t.match(log.lines.join('\n'), /another farm secret/)
})

t.test('rotation goes on while the board fails', async t => {
  const time = new SimulatedTime(epochStart)
  const log = recordingLog()
  let fails = false
  const ring = new TicketRing({
    board: {
      read: () => {
        if (fails) throw Object.assign(new Error('down'), { code: 'EDOWN' })
        return undefined
      },
      ask: async () => {},
      post: async () => !fails,
      watch: () => () => {},
    },
    secret: Buffer.alloc(32, 1),
    farmName: 'x',
    clock: time.clock(),
    log,
    interval: minute,
  })
  await ring.start()
  await time.advance(hour)
  t.ok(ring.status().shared)
  const old = ring.sealing()?.for('') as SealKeys
  fails = true
  await time.advance(acceptFor)
  t.match(log.lines.join('\n'), /EDOWN.*can not be read/)
  t.ok(ring.status().shared, 'with a key of the day')
  t.ok(await isZero(old), 'and the old one is gone')
  ring.close()
})
