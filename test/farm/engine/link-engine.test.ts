import t from 'tap'
import { linkSettings } from '../../../lib/farm/settings.ts'
import { CalmFarm } from '../../fixtures/simulator/calm-farm.ts'
import type { SimulatedMember } from '../../fixtures/simulator/member.ts'

/** The engine where there are no datagrams, in virtual time. */
function linkFarm(members: number, ringBytes = linkSettings.ringBytes): CalmFarm {
  return new CalmFarm(members, { ...linkSettings, ringBytes }, { datagrams: false })
}

function cut(farm: CalmFarm, a: SimulatedMember, b: SimulatedMember): void {
  farm.network.breakOne(a, b)
}

t.test('each level is reached, and no datagram is sent', async t => {
  const farm = linkFarm(4)
  for (const level of ['local', 'one', 'repositories', 'all'] as const) {
    const token = farm.write(farm.at(0), level, level)
    farm.run(20)
    t.equal(farm.settlements.get(token)?.reached, true, level)
    t.equal(farm.holders(level), 4)
  }
  t.equal(farm.sentByType.size, 0)
})

t.test('writes of one turn are one message to each, and one member answers', async t => {
  const farm = linkFarm(5)
  const before = farm.network.messages
  for (let i = 0; i < 50; i++) farm.write(farm.at(0), `k${i}`, 'one')
  farm.run(20)
  t.equal(farm.holders('k49'), 5)
  t.ok(farm.network.messages - before <= 5, `${farm.network.messages - before} messages`)
})

t.test('more writes in one turn than the queue holds are sent all the same', async t => {
  const farm = new CalmFarm(2, { ...linkSettings, queueLength: 20 }, { datagrams: false })
  for (let i = 0; i < 100; i++) farm.write(farm.at(0), `k${i}`, 'local')
  farm.run(20)
  t.ok([...Array(100).keys()].every(i => farm.holders(`k${i}`) === 2))
})

t.test('at rest nothing is said', async t => {
  const farm = linkFarm(3)
  farm.run(10_000)
  const before = farm.network.messages
  farm.run(60_000)
  t.equal(farm.network.messages, before)
})

t.test('what is written while a link is cut comes when it stands again', async t => {
  const farm = linkFarm(2)
  const [a, b] = [farm.at(0), farm.at(1)]
  const resyncs = farm.stat('resyncs')
  cut(farm, a, b)
  farm.run(5)
  const token = farm.write(a, 'cut', 'all')
  t.equal(farm.settlements.has(token), false, 'it may stand again in a moment')
  t.equal(b.current, false)
  farm.network.connect(a, b)
  farm.run(20)
  t.equal(farm.settlements.get(token)?.reached, true)
  t.equal(farm.holders('cut'), 2)
  t.equal(b.current, true)
  t.equal(farm.stat('resyncs'), resyncs, 'and nothing else came again')
})

t.test('who is cut off for long is not waited for, and fetches the table', async t => {
  const farm = linkFarm(2, 2_000)
  const [a, b] = [farm.at(0), farm.at(1)]
  const resyncs = farm.stat('resyncs')
  cut(farm, a, b)
  farm.run(5_000)
  for (let i = 0; i < 100; i++) {
    farm.write(a, `k${i}`, 'all')
    farm.run(1)
  }
  t.ok([...farm.settlements.values()].every(({ reached }) => reached))
  t.ok((a.engine.stats()['ringBytes'] ?? Infinity) <= 2_000, 'what is kept is bounded')
  farm.network.connect(a, b)
  farm.run(100)
  t.ok([...Array(100).keys()].every(i => farm.holders(`k${i}`) === 2))
  t.ok(farm.stat('resyncs') > resyncs)
})

t.test('who does not read is sent no more than it takes', async t => {
  const farm = linkFarm(2)
  const [a, b] = [farm.at(0), farm.at(1)]
  farm.network.stuck.add(b.id)
  const before = farm.network.bytes
  for (let i = 0; i < 100; i++) {
    a.receive({
      kind: 'publish',
      record: a.write(`v${i}`, Buffer.alloc(20_000)),
      level: 'local',
      budget: 0,
      token: -1,
    })
    farm.run(1)
  }
  t.ok(farm.network.bytes - before < 300_000, `${farm.network.bytes - before} bytes`)
  farm.network.stuck.delete(b.id)
  a.receive({ kind: 'drained', id: b.id })
  farm.run(100)
  for (let i = 0; i < 100; i++) t.equal(farm.holders(`v${i}`), 2)
})

t.test('what a dead member had told only some reaches the others', async t => {
  const farm = linkFarm(4)
  const [a, b, c, d] = [farm.at(0), farm.at(1), farm.at(2), farm.at(3)]
  for (const other of [b, c]) cut(farm, other, d)
  farm.run(5)
  farm.write(d, 'last words', 'local')
  farm.run(5)
  t.equal(farm.holders('last words'), 2)
  d.crash()
  farm.run(100)
  t.equal(farm.holders('last words'), 4)
  t.ok(
    [a, b, c].every(({ current }) => !current),
    'it may have said more to nobody',
  )
  const late = farm.add()
  farm.run(100)
  t.equal(farm.holders('last words'), 5)
  t.ok(late.ready)
})

t.test('a write to all waits for one that has just met us', async t => {
  const farm = linkFarm(1)
  const [a] = [farm.at(0)]
  a.receive({ kind: 'up', peer: { id: 'm1', host: 'm1' } })
  const token = farm.write(a, 'k', 'all', 1_000)
  farm.run(10)
  t.equal(farm.settlements.has(token), false, 'who is that?')
  a.receive({ kind: 'down', id: 'm1' })
  t.equal(farm.settlements.get(token)?.reached, true)
})

t.test('after a standstill a member is current when it has been answered', async t => {
  const farm = linkFarm(3)
  const [a, b] = [farm.at(0), farm.at(1)]
  t.ok(b.current)
  b.pause(10_000)
  farm.run(9_990)
  t.notOk(b.current, 'nobody knows how long it slept')
  farm.write(a, 'meanwhile', 'local')
  let sooner = 0
  for (let i = 0; i < 200; i++) {
    farm.run(0.1)
    if (b.current && farm.holders('meanwhile') < 3) sooner += 1
  }
  t.equal(sooner, 0)
  t.ok(b.current)
})
