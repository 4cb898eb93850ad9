import t from 'tap'
import { tables } from '../../lib/record/key.ts'
import { EpochKeys } from '../../lib/resumption/ticket-epoch.ts'
import type { TicketKey } from '../../lib/resumption/ticket-key.ts'
import { RingKey } from '../../lib/resumption/ticket-key.ts'
import { TicketKeyring } from '../../lib/resumption/ticket-keyring.ts'
import {
  decodeTicketRecord,
  encodeTicketRecord,
  entryLength,
  mostEntries,
  TicketSeal,
  ticketRecordKey,
  ticketRecordLayout,
} from '../../lib/resumption/ticket-record.ts'
import { TicketRing } from '../../lib/resumption/ticket-ring.ts'
import {
  TicketSchedule,
  type TicketTimesOptions,
} from '../../lib/resumption/ticket-schedule.ts'
import { seededRandom, testSeed } from '../fixtures/random.ts'
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

t.test('the layout of a record of ticket keys is fixed', async t => {
  const seal = new TicketSeal(Buffer.alloc(32, 1), 'farm', size => Buffer.alloc(size, 2))
  const place = { period, epoch: 5 }
  const entry = seal.seal(place, Buffer.alloc(32, 9), 77)
  const value = encodeTicketRecord([entry])
  t.equal(ticketRecordLayout, 1)
  t.equal(entryLength, 83)
  t.equal(value.length, 2 + 83)
  t.equal(ticketRecordKey(period, 5).toString(), 'ticket-keys 28800000 5')
  t.notOk(value.includes(Buffer.alloc(8, 9)), 'the key is not in clear')

  const [read] = decodeTicketRecord(value) ?? []
  t.match(read, { withdrawn: false, madeAt: 77 })
  t.ok(read !== undefined && seal.open(place, read)?.equals(Buffer.alloc(32, 9)))
  t.equal(read && seal.open({ period, epoch: 6 }, read), undefined, 'of another epoch')
  t.equal(read && seal.open({ period: 1_000, epoch: 5 }, read), undefined)
  const other = new TicketSeal(Buffer.alloc(32, 1), 'other', size =>
    Buffer.alloc(size, 2),
  )
  t.equal(read && other.open(place, read), undefined, 'of another farm')
  for (let at = 2; at < value.length; at += 1) {
    const broken = Buffer.from(value)
    broken[at] = (broken[at] ?? 0) ^ 1
    const [bad] = decodeTicketRecord(broken) ?? []
    if (bad !== undefined && seal.open(place, bad) !== undefined) {
      t.fail(`byte ${at} is not authenticated`)
    }
  }
  for (const bad of ['', '00', '01', '0101', '0100ff', '02', `01ff${'00'.repeat(83)}`]) {
    t.equal(decodeTicketRecord(Buffer.from(bad, 'hex')), undefined, `refused: ${bad}`)
  }
})

t.test('a schedule that would leave tickets without a key is refused', async t => {
  for (const times of [
    { period: 10 },
    { period: Number.NaN },
    { period: hour, acceptFor: hour },
    { period: hour, acceptFor: 100 * hour },
  ]) {
    t.throws(() => new TicketSchedule(times), { code: 'ERR_HANDFAST_CONFIG' })
  }
  t.throws(() => new RingKey(Buffer.alloc(32)), { code: 'ERR_HANDFAST_USAGE' })
})

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
  const { time, farm } = farmAt(epochStart + hour, { interval: second, times })
  const old = await farm.join()
  await time.advance(10 * minute)
  const cut = await farm.join(0, 1)
  t.equal(cut.ring.status().keys.length, 0)
  cut.side = 0
  await time.advance(5 * second)
  t.ok(cut.ring.status().shared && resumes(cut, old))
  t.ok(cut.ring.status().keys.every(({ count }) => count === 1))
})

t.test('a keyring asks less and less often, and makes a key once', async t => {
  const keyring = new TicketKeyring(new TicketSchedule(), {
    chance: () => 0.5,
    privateKey: () => new RingKey(Buffer.alloc(32, 1)),
  })
  const epoch = epochStart / period
  const asked: number[] = []
  const made: string[] = []
  for (let passed = 0; passed < 60; passed += 1) {
    const at = { wall: epochStart + passed * second, monotonic: passed * second }
    for (const action of keyring.tick(at)) {
      if (action.kind === 'ask' && action.epoch === epoch - 1) asked.push(passed)
      if (action.kind !== 'make') continue
      made.push(`${action.epoch - epoch} at ${passed}`)
      const seal = new TicketSeal(Buffer.alloc(32, 1), 'x', size => Buffer.alloc(size, 2))
      const place = { period, epoch: action.epoch }
      const entry = seal.seal(place, Buffer.alloc(32, 3), at.wall)
      keyring.add(action.epoch, entry, new RingKey(Buffer.alloc(32, 3)), at)
    }
  }
  t.same(asked, [0, 1, 3, 7, 15, 31])
  t.same(made, ['0 at 1', '1 at 1'], 'the one in use and the next')
})

t.test('a table that loses its records is told again', async t => {
  const { time, farm } = farmAt(epochStart + hour)
  const [a] = [await farm.join(), await farm.join()]
  await time.advance(day)
  for (const { table } of farm.members) table.purge()
  await time.advance(5 * minute)
  const epoch = Math.floor(time.now / period)
  for (const { table } of farm.members) {
    t.ok(table.read(tables.farm, ticketRecordKey(period, epoch)))
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

t.test('in whatever order entries come, the set is the same', async t => {
  const random = seededRandom(5)
  const bytes = (size: number) =>
    Buffer.from(Array.from({ length: size }, () => random() * 256))
  const seal = new TicketSeal(Buffer.alloc(32, 1), 'farm', bytes)
  const place = { period, epoch: 5 }
  const made = Array.from({ length: mostEntries + 20 }, () => {
    return seal.seal(place, bytes(32), 1)
  })
  const withdrawn = made.slice(0, 30).map(entry => seal.withdrawal(place, entry))
  const results = Array.from({ length: 5 }, () => {
    const keys = new EpochKeys(5, 0)
    const shuffled = [...made, ...withdrawn]
      .map(entry => ({ entry, at: random() }))
      .sort((a, b) => a.at - b.at)
    for (const { entry } of shuffled) {
      if (!keys.wants(entry)) continue
      const key = entry.withdrawn ? undefined : new RingKey(bytes(32))
      keys.add({ entry, key, since: 0, until: hour })
    }
    return `${keys.weight} ${encodeTicketRecord(keys.entries).toString('hex')}`
  })
  t.equal(new Set(results).size, 1)
  t.equal(
    decodeTicketRecord(Buffer.from(results[0]?.split(' ')[1] ?? '', 'hex'))?.length,
    mostEntries,
  )
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

/** A ticket that some client holds. */
interface SimulatedTicket {
  readonly name: Buffer
  readonly maker: SimulatedMember
  readonly madeAt: number
}

t.test('30 days of joining, leaving, skew, partitions and restarts', async t => {
  const seed = testSeed()
  t.comment(`SEED=${seed}`)
  const random = seededRandom(seed)
  const time = new SimulatedTime(epochStart + Math.floor(random() * period))
  const start = time.now
  const log = recordingLog()
  const interval = minute
  const farm = new SimulatedFarm({
    time,
    random: seededRandom(seed + 1),
    log,
    interval,
    loss: 0.05,
  })
  const skew = () => (random() * 2 - 1) * 5 * minute
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T
  for (let i = 0; i < 4; i += 1) await farm.join(skew())

  const skewRange = 10 * minute
  /** No resync on this bus: each epoch has its turn in the refresh, several times for loss. */
  const convergence = 40 * minute
  /** Since when all members hear each other, undefined while they do not. */
  let wholeSince: number | undefined = time.now
  let healAt = 0
  let tickets: SimulatedTicket[] = []
  const handed: { key: TicketKey; maker: SimulatedMember; voidAt: number }[] = []
  const count = { required: 0, resumed: 0, refused: 0, events: 0, apart: 0, dead: 0 }
  const problems: string[] = []
  const complain = (text: string) => {
    if (problems.length < 10)
      problems.push(`${((time.now - start) / hour).toFixed(2)} h: ${text}`)
  }

  const happenings = [
    async () =>
      void (
        farm.members.length < 7 && (await farm.join(skew(), pick(farm.members).side))
      ),
    async () => {
      if (farm.members.length > 2) farm.leave(pick(farm.members))
    },
    async () => {
      if (healAt > 0) return
      const cut = farm.members.filter(() => random() < 0.5)
      if (cut.length === 0 || cut.length === farm.members.length) return
      for (const member of cut) member.side = 1
      wholeSince = undefined
      healAt = time.now + 10 * minute + random() * 30 * hour
    },
    async () => {
      pick(farm.members).skew = skew()
    },
    async () => {
      if (random() > 0.1) return
      const all = [...farm.members]
      for (const member of all) farm.leave(member)
      tickets = []
      wholeSince = time.now
      healAt = 0
      await Promise.all(all.map(() => farm.join(skew())))
    },
  ]

  while (time.now < start + 30 * day) {
    await time.advance(10 * minute)
    if (random() < 0.1) {
      await pick(happenings)()
      count.events += 1
    }
    if (healAt > 0 && time.now >= healAt) {
      for (const member of farm.members) member.side = 0
      healAt = 0
      wholeSince = time.now
    }
    for (const { id, ring, clock } of farm.members) {
      for (const { epoch, endsAt } of ring.status().keys) {
        if (endsAt <= clock.now() - interval)
          complain(`${id} holds epoch ${epoch} too long`)
      }
    }
    const maker = pick(farm.members)
    const key = maker.ring.encrypting()
    if (isZero(key.hmac) || isZero(key.aes) || isZero(key.name)) complain('zero key')
    handed.push({ key, maker, voidAt: time.now + acceptFor + skewRange + 2 * interval })
    if (maker.ring.status().shared) {
      tickets.push({ name: Buffer.from(key.name), maker, madeAt: time.now })
    }
    for (const { name, maker, madeAt } of tickets) {
      const taker = pick(farm.members)
      const age = time.now - madeAt
      const resumed = taker.ring.decrypting(name) !== undefined
      if (resumed) count.resumed += 1
      if (age > acceptFor + skewRange) {
        if (resumed) complain(`a ticket of ${age / hour} h resumed on ${taker.id}`)
        count.refused += 1
        continue
      }
      const settled = wholeSince !== undefined && time.now - wholeSince > convergence
      const alive = farm.members.includes(maker) || time.now - madeAt > convergence
      const whole = wholeSince !== undefined && wholeSince <= madeAt - convergence
      // A maker that left while cut off took keys along that nobody else ever knew.
      const must = settled && (whole || farm.members.includes(maker)) && alive
      if (must && age < acceptFor - period - skewRange) {
        count.required += 1
        if (!resumed)
          complain(`${maker.id} -> ${taker.id}, ${age / minute} min old, lost`)
      } else if (!resumed) count.apart += 1
    }
    tickets = tickets.filter(({ madeAt }) => time.now - madeAt < acceptFor + hour)
    if (tickets.length > 60) tickets.splice(Math.floor(random() * 50), 1)
    while (handed[0] !== undefined && handed[0].voidAt < time.now) {
      const { key, maker } = handed.shift() as (typeof handed)[number]
      if (!isZero(key.bytes)) complain(`${maker.id} did not zero a key`)
      count.dead += 1
    }
  }
  t.same(problems, [])
  t.comment(JSON.stringify({ ...count, published: farm.published }))
  t.ok(count.required > 30_000 && count.refused > 10 && count.dead > 3_000)

  const text = log.lines.join('\n')
  for (const secret of farm.drawn) {
    if (secret.length < 32) continue
    for (const form of ['hex', 'base64', 'base64url', 'latin1'] as const) {
      if (text.includes(secret.toString(form))) t.fail('key bytes in the log')
    }
    if (text.includes(JSON.stringify(secret))) t.fail('a key in the log')
  }
  for (const member of [...farm.members]) farm.leave(member)
})
