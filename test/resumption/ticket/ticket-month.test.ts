import t from 'tap'
import type { SealKeys } from '../../../lib/resumption/ticket/epoch-key.ts'
import { seededRandom, testSeed } from '../../fixtures/random.ts'
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

function isZero({ hmac, aes }: SealKeys): boolean {
  return [...hmac, ...aes].every(byte => byte === 0)
}

/** A ticket that some client holds. */
interface HeldTicket {
  readonly ticket: SimulatedTicket
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
  const times = { period, acceptFor }
  const farm = new SimulatedFarm({
    time,
    random: seededRandom(seed + 1),
    log,
    times,
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
  let tickets: HeldTicket[] = []
  const handed: { key: SealKeys; maker: SimulatedMember; voidAt: number }[] = []
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
    const sealing = maker.ring.sealing()
    if (sealing !== undefined) {
      const key = sealing.for('')
      if (isZero(key)) complain('zero key')
      const voidAt = time.now + acceptFor + skewRange + 2 * interval
      handed.push({ key, maker, voidAt })
      tickets.push({ ticket: sealedBy(maker.ring), maker, madeAt: time.now })
    }
    for (const { ticket, maker, madeAt } of tickets) {
      const taker = pick(farm.members)
      const age = time.now - madeAt
      const resumed = opens(taker.ring, ticket)
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
    // Keys are zeroed a turn after they have come to their end.
    await new Promise(setImmediate)
    while (handed[0] !== undefined && handed[0].voidAt < time.now) {
      const { key, maker } = handed.shift() as (typeof handed)[number]
      if (!isZero(key)) complain(`${maker.id} did not zero a key`)
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
