import t from 'tap'
import { AckSchedule } from '../../lib/farm/engine/ack-schedule.ts'
import { AckWindow } from '../../lib/farm/engine/ack-window.ts'
import { chooseAckers } from '../../lib/farm/engine/acker-choice.ts'
import { ForgeryBudget } from '../../lib/farm/engine/forgery-budget.ts'
import { Heartbeats } from '../../lib/farm/engine/heartbeats.ts'
import { LossDetector } from '../../lib/farm/engine/loss-detector.ts'
import { Membership } from '../../lib/farm/engine/membership.ts'
import { nackDelay } from '../../lib/farm/engine/nack-delay.ts'
import { OutQueue } from '../../lib/farm/engine/out-queue.ts'
import { OwnLoop } from '../../lib/farm/engine/own-loop.ts'
import { Reassembly } from '../../lib/farm/engine/reassembly.ts'
import { ReceiveWindow } from '../../lib/farm/engine/receive-window.ts'
import { RepairRing } from '../../lib/farm/engine/repair-ring.ts'
import { maxRepairsPerNack, Repairs } from '../../lib/farm/engine/repairs.ts'
import { ceilingFor } from '../../lib/farm/engine/settings.ts'
import { WriteWaits } from '../../lib/farm/engine/write-waits.ts'
import { tables } from '../../lib/record/key.ts'
import { type CacheRecord, readRecord } from '../../lib/record/record.ts'
import { Chance } from '../fixtures/simulator/chance.ts'

const alone = { size: 1, rank: 0 }
const half = () => 0.5

t.test('a receive window agrees with a set', async t => {
  const seed = 11
  t.comment(`seed ${seed}`)
  const chance = new Chance(seed)
  const start = 2 ** 32 - 500
  const window = new ReceiveWindow(start)
  const taken = new Set<number>()
  let contiguous = start
  for (let i = 0; i < 20_000; i++) {
    const sequence = contiguous + chance.whole(-5, chance.happens(0.02) ? 5_000 : 40)
    const fresh =
      sequence > contiguous && sequence <= contiguous + 4_096 && !taken.has(sequence)
    if (window.fresh(sequence) !== fresh) {
      t.fail(`step ${i}: ${sequence} after ${contiguous}`)
      return
    }
    if (!fresh) continue
    window.mark(sequence)
    taken.add(sequence)
    while (taken.has(contiguous + 1)) contiguous += 1
    if (window.contiguous !== contiguous) {
      t.fail(`step ${i}: contiguous ${window.contiguous}, not ${contiguous}`)
      return
    }
  }
  t.ok(contiguous > start + 1_000)
})

t.test('a receive window says what is missing, and can be moved', async t => {
  const window = new ReceiveWindow(10)
  t.ok(window.complete)
  for (const sequence of [12, 13, 16]) window.mark(sequence)
  window.learn(18)
  t.same(window.missing(0, Infinity, 64, 64), [
    { first: 11, length: 1 },
    { first: 14, length: 2 },
    { first: 17, length: 2 },
  ])
  t.same(window.missing(0, Infinity, 2, 64), [
    { first: 11, length: 1 },
    { first: 14, length: 1 },
  ])
  t.same(window.missing(12, 15, 64, 1), [{ first: 14, length: 2 }])
  window.lower(8)
  t.same(window.missing(0, 13, 64, 64), [{ first: 9, length: 3 }], '12 and 13 stay')
  window.skip(14)
  t.equal(window.contiguous, 14)
  window.mark(15)
  t.equal(window.contiguous, 16, '16 had come')
  window.lower(16)
  t.equal(window.contiguous, 16, 'lowering never raises')
  window.lower(2)
  window.skip(40)
  t.ok(window.complete)
  const far = new ReceiveWindow(10_000)
  far.mark(10_002)
  far.lower(100)
  t.ok(far.fresh(10_002 - 9_000), 'beyond the bits everything is asked for again')
})

t.test('NACKs of a small group take turns, those of a large one spread', async t => {
  for (const size of [2, 9, 16]) {
    const delays = Array.from({ length: size }, (_, rank) =>
      nackDelay(77, { size, rank }, half),
    )
    t.equal(delays.filter(delay => delay === 1).length, 1, `one of ${size} asks at once`)
    t.ok(Math.max(...delays) <= 9)
  }
  const chance = new Chance(3)
  const delays = Array.from({ length: 64 }, () =>
    nackDelay(77, { size: 64, rank: 0 }, chance.next),
  ).sort((a, b) => a - b)
  t.ok(delays.every(delay => delay >= 1 && delay <= 5))
  const first = delays[0] ?? 0
  t.ok(delays.filter(delay => delay < first + 0.3).length <= 6, 'few before one is heard')
})

t.test('a loss is asked for, again with growing waits, then over the stream', async t => {
  const window = new ReceiveWindow(0)
  const detector = new LossDetector(window, half)
  window.mark(2)
  detector.look(2, alone, 0)
  t.equal(detector.deadline, 1, 'reordering is tolerated for a while')
  t.equal(detector.due(0.5), undefined)
  t.same(detector.due(1), { kind: 'nack', ranges: [{ first: 1, length: 1 }] })
  const waits: number[] = []
  let now = 1
  for (let i = 0; i < 8; i++) {
    waits.push(detector.deadline - now)
    now = detector.deadline
    const answer = detector.due(now)
    t.equal(answer?.kind, i < 6 ? 'nack' : 'pull')
  }
  t.same(waits, [20, 20, 40, 80, 160, 160, 160, 500])
  window.mark(1)
  detector.look(1, alone, now)
  t.equal(detector.deadline, Infinity, 'at rest')
})

t.test('a second gap is asked for by itself', async t => {
  const window = new ReceiveWindow(0)
  const detector = new LossDetector(window, half)
  window.mark(2)
  detector.look(2, alone, 0)
  detector.due(1)
  window.mark(5)
  detector.look(5, alone, 2)
  t.same(detector.due(3), { kind: 'nack', ranges: [{ first: 3, length: 2 }] })
  t.same(detector.due(21), {
    kind: 'nack',
    ranges: [
      { first: 1, length: 1 },
      { first: 3, length: 2 },
    ],
  })
})

t.test('who hears its question from another waits', async t => {
  const window = new ReceiveWindow(0)
  const detector = new LossDetector(window, half)
  window.mark(3)
  detector.look(3, { size: 9, rank: 4 }, 0)
  detector.overheard([{ first: 2, length: 1 }], 0.5)
  t.ok(detector.deadline < 20, 'only a part of it was asked for')
  detector.overheard([{ first: 1, length: 2 }], 0.6)
  t.equal(detector.deadline, 20.6)
  t.equal(detector.due(10), undefined)
})

t.test('at most 64 datagrams are asked for at a time', async t => {
  const window = new ReceiveWindow(0)
  const detector = new LossDetector(window, half)
  window.learn(1_000)
  detector.look(1_000, alone, 0)
  t.same(detector.due(1), { kind: 'nack', ranges: [{ first: 1, length: 64 }] })
  detector.look(1_000, alone, 1)
  t.equal(detector.due(5), undefined, 'the rest waits for the first')
  for (let sequence = 1; sequence <= 40; sequence++) window.mark(sequence)
  detector.look(40, alone, 6)
  t.same(detector.due(7), { kind: 'nack', ranges: [{ first: 65, length: 40 }] })
})

t.test('a ring forgets by number, by bytes and by age', async t => {
  const ring = new RepairRing({ length: 4, bytes: 50, age: 100 }, 0)
  t.equal(ring.tail, 1)
  for (let sequence = 1; sequence <= 5; sequence++) {
    const tail = ring.tailAfterNext()
    ring.store(sequence, Buffer.alloc(10, sequence), sequence)
    t.equal(ring.tail, tail, 'the header that left said so')
  }
  t.equal(ring.get(1), undefined)
  t.equal(ring.get(5)?.[0], 5)
  t.equal(ring.get(6), undefined)
  ring.store(6, Buffer.alloc(35), 6)
  t.equal(ring.bytes, 45)
  t.equal(ring.tail, 5)
  ring.purge(105.5)
  t.equal(ring.tail, 6)
  ring.purge(1_000)
  t.equal(ring.tail, 7, 'one past the last')
  t.equal(ring.bytes, 0)
})

t.test('what a NACK can cost is bounded', async t => {
  const ring = new RepairRing({ length: 4_096, bytes: 1e9, age: 1e9 }, 0)
  for (let sequence = 1; sequence <= 2_000; sequence++)
    ring.store(sequence, Buffer.alloc(1), 0)
  const repairs = new Repairs(ring, 4_000)
  t.notOk(repairs.request([{ first: 1, length: 65_535 }], undefined, 10))
  t.equal(repairs.take(10).length, maxRepairsPerNack, 'for each NACK')
  repairs.request([{ first: 1, length: 64 }], undefined, 11)
  t.same(repairs.take(11), [], 'a datagram that just left is held')
  t.equal(repairs.held, 64)
  repairs.request([{ first: 1, length: 64 }], undefined, 14)
  t.ok(repairs.take(14).length < 10, 'and a quarter of the ceiling is all there is')
  t.ok(repairs.deadline(14) <= 15)
  for (let first = 100; first < 1_900; first += 64)
    repairs.request([{ first, length: 64 }], undefined, 20)
  t.ok(repairs.take(100_000).length <= 64)
  const beyond = new Repairs(new RepairRing({ length: 4, bytes: 99, age: 9 }, 50), 9)
  t.ok(beyond.request([{ first: 40, length: 1 }], undefined, 0), 'gone')
  t.notOk(beyond.request([{ first: 60, length: 1 }], undefined, 0), 'not sent yet')
})

t.test('strict: the next segment leaves when the one before came back', async t => {
  const loop = new OwnLoop('strict', 0)
  t.ok(loop.permits)
  loop.sent(1, 0)
  t.notOk(loop.permits)
  for (let i = 0; i < 8; i++) loop.passed()
  loop.returned(1, 1)
  t.ok(loop.permits)
  t.equal(loop.mean, 1, 'eight segments of others, smoothed over eight')
  loop.sent(2, 2)
  loop.expire(10, false)
  t.notOk(loop.permits)
  loop.expire(22, true)
  t.notOk(loop.permits, 'our own loop was late: the copy may lie in the socket')
  loop.expire(42, false)
  t.ok(loop.permits, 'it never waits for ever')
  t.equal(loop.lost, 1)
  t.ok(loop.healthy)
  for (let sequence = 3; sequence < 6; sequence++) {
    loop.sent(sequence, 100 * sequence)
    loop.expire(100 * sequence + 21, false)
  }
  t.notOk(loop.healthy, 'three in a row: the trouble may be ours')
})

t.test('adaptive: the window grows without loss and halves with it', async t => {
  const loop = new OwnLoop('adaptive', 0)
  t.equal(loop.window, 16)
  let now = 0
  for (let sequence = 1; sequence <= 50; sequence++) {
    loop.sent(sequence, now)
    now += 101
    loop.returned(sequence, now)
  }
  t.equal(loop.window, 64, 'at most')
  for (let sequence = 51; sequence <= 53; sequence++) loop.sent(sequence, now)
  loop.returned(53, now)
  t.equal(loop.window, 32, 'two copies did not come')
  t.equal(loop.lost, 2)
  for (let sequence = 54; sequence <= 73; sequence++) loop.sent(sequence, now)
  loop.asked(10)
  loop.returned(54, now + 101)
  t.equal(loop.window, 16, 'receivers that are overrun count too')
})

t.test('the ceiling follows the buffer of the socket', async t => {
  t.equal(ceilingFor(4 * 1024 * 1024), 14_000)
  t.equal(ceilingFor(212_992), 4_000)
})

t.test('ackers hold the sender up, but not for ever', async t => {
  const window = new AckWindow<string>(4)
  t.ok(window.permits(1_000), 'nobody acknowledges')
  window.add('a', 0, 0)
  window.add('b', 0, 0)
  window.sent(1, 0)
  window.acked('a', 4, 100, 4, 10)
  t.notOk(window.permits(4))
  t.ok(window.behind(4))
  t.equal(window.deadline(4), 1_000)
  window.expire(4, 1_000, true)
  t.notOk(window.permits(4), 'our own loop was late')
  window.expire(4, 2_000, false)
  t.ok(window.permits(4))
  t.equal(window.silent, 1)
  t.ok(window.permits(7))
  t.notOk(window.permits(8), 'the other one still counts')
  window.acked('b', 6, 100, 8, 3_000)
  t.equal(window.silent, 0, 'back')
  window.acked('b', 8, 1, 8, 3_000)
  window.acked('a', 8, 1, 8, 3_000)
  t.notOk(window.permits(9), 'its own window counts')
  window.leaveOut('a')
  window.remove('b')
  t.ok(window.permits(99))
  t.same(window.ids(), ['a'])
})

t.test('who acknowledges', async t => {
  const members = ['m1', 'm3', 'm5', 'm7'].map(id => ({ id, repository: false }))
  const tiers = [
    ...members,
    { id: 'r1', repository: true },
    { id: 'r2', repository: true },
  ]
  t.same(chooseAckers('none', 'm2', tiers, 2), [])
  t.same(chooseAckers('all', 'm2', members, 2), ['m1', 'm3', 'm5', 'm7'])
  t.same(chooseAckers(['r1', 'x'], 'm2', tiers, 2), ['r1'])
  t.same(chooseAckers('repositories', 'm2', tiers, 2), ['r1', 'r2'])
  t.same(chooseAckers('repositories', 'm2', members, 2), [])
  t.same(chooseAckers('auto', 'm2', tiers, 2), ['r1', 'r2'])
  t.same(chooseAckers('auto', 'm2', members, 2), ['m3', 'm5'], 'the next two')
  t.same(chooseAckers('auto', 'm6', members, 2), ['m7', 'm1'], 'around the circle')
  t.same(chooseAckers('auto', 'm9', members, 2), ['m1', 'm3'])
  t.same(chooseAckers('auto', 'm9', members, 1), ['m1'])
})

t.test('acknowledgements: at once, then not again within a millisecond', async t => {
  const acks = new AckSchedule(1)
  const came = (sequence: number, requested = false) => ({
    sequence,
    sentAt: 5,
    requested,
  })
  acks.data(came(1), 1, 10)
  t.equal(acks.deadline, Infinity, 'nobody asked for any')
  acks.data(came(2, true), 1, 10)
  t.equal(acks.deadline, Infinity, 'asked, but the first is missing')
  acks.data(came(1), 2, 11)
  t.same(acks.due(2, 12), { echo: 5, held: 1 })
  acks.appoint(true, 20)
  t.same(acks.due(2, 20), { echo: 5, held: 9 })
  acks.data(came(3), 3, 20.2)
  t.equal(acks.deadline, 21)
  t.equal(acks.due(3, 20.5), undefined)
  for (let sequence = 4; sequence < 40; sequence++)
    acks.data(came(sequence), sequence, 20.5)
  t.equal(acks.deadline, 20.5, '32 datagrams do not wait')
  t.ok(acks.due(39, 20.5))
  acks.flush(39, 39, 30)
  t.equal(acks.deadline, 30)
})

function record(key: string, length: number, logical = 0): CacheRecord {
  return {
    table: tables.session,
    key: Buffer.from(key),
    value: Buffer.alloc(length),
    version: { ms: 1, logical, node: 1 },
    expiresAt: 2,
    tombstone: false,
  }
}

t.test('a second write to a key takes the place of the first', async t => {
  const queue = new OutQueue<string>({ length: 3, room: 500, perDatagram: 255 })
  const push = (record: CacheRecord, wait: string) =>
    queue.push({ record, ackRequested: false, wait })
  push(record('a', 10, 1), 'a1')
  push(record('b', 10, 1), 'b1')
  push(record('a', 20, 3), 'a3')
  push(record('a', 30, 2), 'a2')
  t.equal(queue.size, 2)
  t.equal(queue.coalesced, 2)
  const batch = queue.take()
  t.same(batch?.waits, ['a1', 'a3', 'a2', 'b1'])
  t.same(readRecord(batch?.bodies[0] ?? Buffer.alloc(0), 0), record('a', 20, 3))
  t.equal(queue.take(), undefined)
  for (const key of ['c', 'd', 'e']) push(record(key, 1), key)
  t.same(push(record('f', 1), 'f'), ['c'], 'the oldest makes room')
  push(record('f', 2, 9), 'f9')
  t.same(queue.clear(), ['d', 'e', 'f', 'f9'])
  t.equal(queue.size, 0)
})

t.test('batches fill datagrams, and a large record becomes fragments', async t => {
  const queue = new OutQueue<number>({ length: 99, room: 500, perDatagram: 255 })
  for (let i = 0; i < 5; i++)
    queue.push({ record: record(`${i}`, 177), ackRequested: i === 4, wait: i })
  t.ok(queue.full)
  t.same(queue.take()?.waits, [0, 1])
  t.same(queue.take()?.records, 2)
  t.notOk(queue.full)
  t.equal(queue.take()?.ackRequested, true)
  queue.push({ record: record('large', 1_000), ackRequested: false, wait: 7 })
  const batch = queue.take()
  t.equal(batch?.fragments, true)
  t.equal(batch?.bodies.length, 3)
  t.ok(batch?.bodies.every(body => body.length <= 500))
  const single = new OutQueue<number>({ length: 9, room: 500, perDatagram: 1 })
  for (const key of ['a', 'b'])
    single.push({ record: record(key, 1), ackRequested: false, wait: undefined })
  t.equal(single.take()?.records, 1)
})

t.test('a record is whole when its last fragment comes, in whatever order', async t => {
  const reassembly = new Reassembly()
  const part = (index: number, count = 3) => ({
    index,
    count,
    bytes: Buffer.from([index]),
  })
  t.equal(reassembly.firstIncomplete, Infinity)
  t.equal(reassembly.add(12, part(2)), undefined)
  t.equal(reassembly.firstIncomplete, 10)
  t.equal(reassembly.add(10, part(0)), undefined)
  t.equal(reassembly.add(10, part(0)), undefined, 'twice')
  t.equal(reassembly.add(11, part(1, 4)), undefined, 'another count')
  t.same(reassembly.add(11, part(1)), Buffer.from([0, 1, 2]))
  t.equal(reassembly.size, 0)
  reassembly.add(20, part(0))
  reassembly.forget(21)
  t.equal(reassembly.size, 1)
  reassembly.forget(22)
  t.equal(reassembly.size, 0)
  t.ok(reassembly.accepts(1_100, 100))
  t.notOk(reassembly.accepts(1_200, 100), 'its memory is bounded')
})

t.test('writes settle when their level is reached, or their time is up', async t => {
  const waits = new WriteWaits()
  const add = (token: number, level: 'one' | 'all', sequence: number, expires = 100) => {
    const wait = { token, level, sequence, expires }
    waits.add(wait)
    return wait
  }
  add(1, 'one', 5)
  add(2, 'all', 5)
  add(3, 'one', 6)
  const unsent = add(4, 'one', 0, 50)
  t.ok(waits.unanswered)
  t.same(
    waits.settle(level => (level === 'one' ? 5 : 4)),
    [{ token: 1, reached: true }],
  )
  t.same(waits.expire(49), [])
  t.same(waits.expire(50), [{ token: 4, reached: false }])
  t.equal(waits.size, 2)
  t.same(waits.drop([unsent]), [{ token: 4, reached: false }])
  t.same(
    waits
      .clear()
      .map(({ token }) => token)
      .sort(),
    [2, 3],
  )
})

t.test('heartbeats follow data closely, then the clock', async t => {
  const beats = new Heartbeats(500, 0)
  t.ok(beats.due(0))
  beats.data(100)
  const times: number[] = []
  for (let now = 100; now < 1_600; now++) if (beats.due(now)) times.push(now)
  t.same(times, [110, 120, 150, 200, 300, 500, 1_000, 1_500])
  beats.hurry(1_600)
  t.ok(beats.due(1_600))
  beats.hurry(1_601)
  t.notOk(beats.due(1_605), 'a storm of them is spread')
  t.ok(beats.due(1_610))
})

t.test('a source of forged datagrams is not listened to for a second', async t => {
  const budget = new ForgeryBudget()
  for (let i = 0; i < 1_000; i++) {
    t.ok(budget.allows('x', 500) || i)
    budget.failed('x', 500)
  }
  t.notOk(budget.allows('x', 600))
  t.ok(budget.allows('y', 600), 'others are')
  t.ok(budget.allows('x', 1_001))
})

t.test('silence, suspicion, gone; anything heard brings a member back', async t => {
  const run = (healthy: boolean, connected: boolean) => {
    const membership = new Membership(500, 0)
    membership.add('a', 0)
    membership.connected('a', connected)
    const seen: string[] = []
    for (let now = 0; now < 8_000; now += 50)
      for (const { kind } of membership.check(now, healthy))
        if (seen.at(-1) !== kind) seen.push(kind)
    return { seen, membership }
  }
  const { seen, membership } = run(true, true)
  t.same(seen, ['probe', 'suspect', 'gone'])
  t.equal(membership.state('a'), 'gone')
  t.ok(membership.heard('a', 8_000))
  t.equal(membership.state('a'), 'alive')
  t.notOk(membership.heard('a', 8_100), 'no news')
  t.same(run(false, true).seen, ['probe'], 'who is unwell itself accuses nobody')
  t.equal(membership.state('nobody'), 'gone')
  t.notOk(membership.heard('nobody', 0))
  const forgotten = new Membership(500, 0)
  forgotten.add('a', 0)
  const kinds = new Set<string>()
  const runUntil = (end: number) => {
    for (let now = 0; now < end; now += 250)
      for (const { kind } of forgotten.check(now, true)) kinds.add(kind)
  }
  runUntil(600_000)
  t.notOk(kinds.has('forget'), 'for ten minutes it is missed')
  runUntil(601_000)
  t.ok(kinds.has('forget'))
})

t.test('whom others hear is not given up, and a late loop accuses nobody', async t => {
  const membership = new Membership(500, 0)
  membership.add('a', 0)
  for (let now = 0; now < 20_000; now += 250) {
    for (const { kind } of membership.check(now, true))
      if (kind === 'suspect') membership.vouched('a', 100, now)
  }
  t.equal(membership.state('a'), 'suspect', 'not gone')
  const late = new Membership(500, 0)
  late.add('a', 0)
  late.excuse(10_000)
  t.same(late.check(10_000, true), [])
  t.equal(late.state('a'), 'alive')
  late.remove('a')
  t.equal(late.state('a'), 'gone')
})
