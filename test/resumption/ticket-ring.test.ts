import t from 'tap'
import { tables } from '../../lib/record/key.ts'
import {
  encodeTicketRecord,
  TicketSeal,
  ticketRecordKey,
} from '../../lib/resumption/ticket/ticket-record.ts'
import { TicketRing } from '../../lib/resumption/ticket/ticket-ring.ts'
import type { TicketTimesOptions } from '../../lib/resumption/ticket/ticket-schedule.ts'
import { seededRandom } from '../fixtures/random.ts'
import {
  recordingLog,
  SimulatedFarm,
  type SimulatedMember,
  SimulatedTime,
} from '../fixtures/ticket-farm.ts'

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
  const { interval = minute, times = {} } = options
  return { time, log, farm: new SimulatedFarm({ time, random, log, interval, times }) }
}

/** Whether a ticket that `from` makes now could be read by `to`. */
function resumes(from: SimulatedMember, to: SimulatedMember): boolean {
  return to.ring.decrypting(from.ring.encrypting().name) !== undefined
}

function isZero(buffer: Buffer): boolean {
  return buffer.every(byte => byte === 0)
}

t.test(
  'a single member has a key from the first moment, and never a zero one',
  async t => {
    const { time, farm } = farmAt(epochStart + hour, { interval: second })
    const alone = await farm.join()
    const first = alone.ring.encrypting()
    t.notOk(isZero(first.hmac) || isZero(first.aes) || isZero(first.name))
    t.notOk(alone.ring.status().shared, 'at first it is private')
    await time.advance(4 * second)
    t.equal(alone.ring.status().keys.length, 2, 'the shared keys are made')
    t.notOk(alone.ring.status().shared, 'and not used before they were out for a while')
    const name = Buffer.from(first.name)
    await time.advance(10 * second)
    t.ok(alone.ring.status().shared)
    t.ok(alone.ring.decrypting(name), 'tickets of the first seconds still resume')
    t.notOk(alone.ring.decrypting(Buffer.alloc(16)), 'no key has the name of zeros')
  },
)

t.test('all members start at once, with clocks 10 min apart', async t => {
  const { time, farm } = farmAt(epochStart + hour, { interval: second })
  const members = await Promise.all([-5, 5, 0, 3].map(skew => farm.join(skew * minute)))
  await time.advance(15 * second)
  for (const from of members) {
    t.ok(from.ring.status().shared)
    for (const to of members) t.ok(resumes(from, to), `${from.id} -> ${to.id}`)
  }
})

t.test('members that start at once read each other from the first moment', async t => {
  for (const start of [epochStart + hour, epochStart, epochStart - 1]) {
    const { time, farm } = farmAt(start, { interval: second })
    const members = await Promise.all([0, 0, 0].map(() => farm.join()))
    for (let at = 0; at < 20; at += 1) {
      for (const from of members) {
        for (const to of members) {
          if (!resumes(from, to)) t.fail(`${from.id} -> ${to.id} after ${at} s`)
        }
      }
      await time.advance(second)
    }
    t.ok(members.every(({ ring }) => ring.status().shared))
    const apart = farmAt(start, { interval: second }).farm
    const [a, b] = [await apart.join(-5 * minute), await apart.join(5 * minute)]
    t.ok(resumes(a, b) && resumes(b, a), 'with clocks 10 min apart')
  }
})

t.test('what members know without a word is used until they have agreed', async t => {
  const { time, farm, log } = farmAt(epochStart + hour, { interval: second })
  const [a, b] = [await farm.join(), await farm.join()]
  const interim = a.ring.encrypting()
  const name = Buffer.from(interim.name)
  t.notOk(isZero(name))
  t.ok(b.ring.encrypting().bytes.equals(interim.bytes))
  t.notOk(b.ring.encrypting('scope').name.equals(name), 'each scope has its own')
  await time.advance(20 * second)
  t.notOk(a.ring.encrypting().name.equals(name), 'the key of the farm encrypts')
  t.ok(b.ring.decrypting(name), 'and the older tickets still resume')
  await time.advance(21 * minute)
  t.equal(b.ring.decrypting(name), undefined, 'for 10 to 20 minutes')
  t.ok(isZero(interim.bytes))
  a.skew = -21 * minute
  t.equal(a.ring.decrypting(name), undefined, 'whose clock is turned back, too')
  t.notOk(log.lines.some(line => line.includes(interim.bytes.toString('hex'))))
})

t.test('another secret, farm or set of times has other keys', async t => {
  const time = new SimulatedTime(epochStart)
  const ringOf = (secret: number, farmName: string, times: TicketTimesOptions = {}) =>
    new TicketRing({
      board: {
        read: () => undefined,
        ask: async () => {},
        post: async () => true,
        watch: () => () => {},
      },
      secret: Buffer.alloc(32, secret),
      farmName,
      clock: time.clock(),
      log: recordingLog(),
      times,
    })
  const rings = [
    ringOf(1, 'x'),
    ringOf(1, 'x'),
    ringOf(2, 'x'),
    ringOf(1, 'y'),
    ringOf(1, 'x', { interim: minute }),
  ]
  const names = new Set(rings.map(ring => ring.encrypting().name.toString('hex')))
  t.equal(names.size, 4)
  for (const ring of rings) ring.close()
})

t.test('no key of the first seconds comes back after a withdrawal', async t => {
  const { time, farm } = farmAt(epochStart + hour, { interval: second })
  const [a, b] = [await farm.join(), await farm.join()]
  const name = Buffer.from(a.ring.encrypting().name)
  const held = b.ring.encrypting()
  t.equal(await a.ring.withdrawAll(), true)
  t.equal(a.ring.decrypting(name), undefined)
  t.equal(b.ring.decrypting(name), undefined)
  t.ok(isZero(held.bytes))
  const joiner = await farm.join()
  t.equal(joiner.ring.decrypting(name), undefined, 'nor on who comes later')
  await time.advance(20 * second)
  for (const from of farm.members) {
    for (const to of farm.members) t.ok(resumes(from, to))
  }
  // The whole farm ends, and what it knew with it.
  for (const member of [...farm.members]) farm.leave(member)
  await time.advance(20 * minute)
  const anew = await farm.join()
  t.equal(anew.ring.decrypting(name), undefined, 'nor on a farm that begins anew')
})

t.test('a joiner in the middle of an epoch shares its keys at once', async t => {
  const { time, farm } = farmAt(epochStart + hour)
  const old = await farm.join()
  await time.advance(9 * hour)
  const previous = Buffer.from(old.ring.encrypting().name)
  await time.advance(7 * hour)
  const joiner = await farm.join(-4 * minute)
  t.ok(joiner.ring.status().shared)
  t.ok(resumes(joiner, old))
  t.ok(resumes(old, joiner))
  t.ok(joiner.ring.decrypting(previous), 'older tickets too')
})

t.test('the next key is everywhere a whole period before it encrypts', async t => {
  const { time, farm } = farmAt(epochStart + hour)
  for (const skew of [0, 5, -5]) await farm.join(skew * minute)
  await time.advance(2 * day)
  const last = farm.members.map(({ ring }) => ring.encrypting())
  for (let at = 0; at < 3 * period; at += 10 * minute) {
    for (const [i, { ring, clock }] of farm.members.entries()) {
      const now = ring.encrypting()
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
  const [ofA, ofC] = [a, c].map(({ ring }) => Buffer.from(ring.encrypting().name))
  c.side = 0
  await time.advance(15 * minute)
  t.ok(c.ring.decrypting(ofA as Buffer), 'tickets from the time apart')
  t.ok(b.ring.decrypting(ofC as Buffer))
  t.ok(resumes(a, c) && resumes(c, a))
  await time.advance(3 * period)
  t.ok(a.ring.encrypting().name.equals(c.ring.encrypting().name), 'one key again')
})

t.test('what one side lacks is told within seconds of the first word', async t => {
  const { time, farm } = farmAt(epochStart + hour, { interval: second })
  const [a, b] = [await farm.join(0, 0), await farm.join(0, 1)]
  await time.advance(minute)
  const [ofA, ofB] = [a, b].map(({ ring }) => Buffer.from(ring.encrypting().name))
  b.side = 0
  const knows = (member: SimulatedMember, name: Buffer | undefined) =>
    name !== undefined && member.ring.decrypting(name) !== undefined
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
    const name = Buffer.from(a.ring.encrypting().name)
    await a.ring.withdrawAll()
    t.ok(looks > before)
    t.equal(b.ring.decrypting(name), undefined, 'gone when it is acknowledged')
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
  const old = member.ring.encrypting()
  const name = Buffer.from(old.name)
  member.skew = -3 * day
  await time.advance(2 * minute)
  t.ok(isZero(old.bytes), 'a key of the far future is not kept')
  member.skew = -12 * hour
  await time.advance(2 * minute)
  t.ok(member.ring.decrypting(name), 'it is learnt again')
  await time.advance(acceptFor)
  t.equal(member.ring.decrypting(name), undefined, 'and its time is not prolonged')
  await time.advance(10 * minute)
  t.equal(member.ring.decrypting(name), undefined, 'nor does the table bring it back')
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
  const old = farm.members.map(({ ring }) => ring.encrypting())
  const names = old.map(({ name }) => Buffer.from(name))
  c.side = 1
  t.equal(await a.ring.withdrawAll(), true)
  await time.advance(minute)
  for (const name of names) {
    t.equal(a.ring.decrypting(name), undefined)
    t.equal(b.ring.decrypting(name), undefined)
    t.ok(c.ring.decrypting(name), 'who is cut off can not know')
  }
  c.side = 0
  await time.advance(15 * minute)
  for (const { ring } of farm.members) {
    for (const name of names) t.equal(ring.decrypting(name), undefined)
  }
  t.ok(old.every(({ bytes }) => isZero(bytes)))
  t.ok(resumes(a, b) && resumes(b, c) && resumes(c, a))
  t.ok(farm.members.every(({ ring }) => ring.status().shared))
  t.match(log.lines.join('\n'), /all ticket keys withdrawn/)
})

t.test('a private key is withdrawn too', async t => {
  const { farm } = farmAt(epochStart + hour)
  const member = await farm.join()
  const first = member.ring.encrypting()
  const name = Buffer.from(first.name)
  await member.ring.withdrawAll()
  t.equal(member.ring.decrypting(name), undefined)
  t.ok(isZero(first.bytes))
})

t.test('closing zeroes every key', async t => {
  const { time, farm } = farmAt(epochStart + hour)
  const member = await farm.join()
  const first = member.ring.encrypting()
  await time.advance(day)
  const second = member.ring.encrypting('scope')
  t.notOk(isZero(second.bytes))
  farm.leave(member)
  t.ok(isZero(first.bytes) && isZero(second.bytes))
  t.throws(() => member.ring.encrypting(), { code: 'ERR_HANDFAST_CLOSED' })
  await time.advance(day)
})

t.test('garbage on the board harms nobody', async t => {
  const { time, farm, log } = farmAt(epochStart + hour)
  const member = await farm.join()
  await time.advance(minute)
  const name = Buffer.from(member.ring.encrypting().name)
  const foreign = new TicketSeal(Buffer.alloc(32, 9), 'x', size => Buffer.alloc(size, 3))
  const epoch = Math.floor(time.now / period)
  const stranger = foreign.seal({ period, epoch }, Buffer.alloc(32, 4), time.now)
  for (const value of [Buffer.from('junk'), encodeTicketRecord([stranger])]) {
    await member.cache.add(tables.farm, ticketRecordKey(period, epoch), value, {
      ttl: hour,
    })
    await time.advance(minute)
  }
  t.ok(member.ring.decrypting(name))
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
  const old = ring.encrypting()
  fails = true
  await time.advance(acceptFor)
  t.match(log.lines.join('\n'), /EDOWN.*can not be read/)
  t.ok(ring.status().shared, 'with a key of the day')
  t.ok(isZero(old.bytes), 'and the old one is gone')
  ring.close()
})
