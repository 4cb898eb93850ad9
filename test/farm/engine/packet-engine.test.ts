import t from 'tap'
import { datagramTypes, readHeader } from '../../../lib/wire/datagram.ts'
import { CalmFarm } from '../../fixtures/simulator/calm-farm.ts'
import { farmTag } from '../../fixtures/simulator/member.ts'

const { data, fragment, heartbeat, nack, status } = datagramTypes
const unbatched = { recordsPerDatagram: 1, linger: 0, ownWindow: 'strict' } as const
const records = 50

t.test('packets per record, one at a time: 2N, 1+N, 1+n and 1', async t => {
  const perRecord = (farm: CalmFarm, level: 'local' | 'repositories' | 'all') => {
    for (let i = 0; i < records; i++) {
      farm.write(farm.at(4), `key ${i}`, level)
      farm.run(5)
    }
    t.equal(farm.holders(`key ${records - 1}`), farm.members.length)
    return (farm.count(data) + farm.count(status)) / records
  }
  for (const N of [4, 8]) {
    const unicast = new CalmFarm(
      N + 1,
      { ...unbatched, acks: 'all' },
      { multicast: false },
    )
    // The copy on the feedback loop is on no wire.
    t.equal(perRecord(unicast, 'all') - 1, 2 * N, `unicast to ${N}, row A13`)
    const positive = new CalmFarm(N + 1, { ...unbatched, acks: 'all' })
    t.equal(perRecord(positive, 'all'), 1 + N, `positive acknowledgement, ${N}, row A14`)
    const negative = new CalmFarm(N + 1, { ...unbatched, acks: 'none' })
    t.equal(perRecord(negative, 'local'), 1, `negative acknowledgement, ${N}, row A15`)
    const tiers = new CalmFarm(
      N + 1,
      { ...unbatched, acks: 'repositories' },
      { repositories: 2 },
    )
    t.equal(perRecord(tiers, 'repositories'), 1 + 2, `two of ${N} acknowledge, row A16`)
  }
})

t.test('many records share a datagram', async t => {
  const farm = new CalmFarm(3)
  for (let i = 0; i < 100; i++) farm.write(farm.at(0), `key ${i}`, 'one')
  farm.run(20)
  t.equal(farm.holders('key 99'), 3)
  t.ok(farm.count(data) <= 5, `${farm.count(data)} datagrams`)
})

t.test('what all lost together is asked for about once', async t => {
  for (const [members, limit] of [
    [9, 2],
    [64, 3],
  ] as const) {
    const farm = new CalmFarm(members, { ...unbatched, acks: 'none' })
    const losses = members < 20 ? 20 : 6
    for (let i = 0; i < losses; i++) {
      let first = true
      farm.network.drop = (_to, datagram) => {
        const type = readHeader(datagram, farmTag)?.type
        return type === data && first
      }
      farm.write(farm.at(0), `lost ${i}`, 'local')
      farm.run(0.01)
      first = false
      farm.write(farm.at(0), `kept ${i}`, 'local')
      farm.run(60)
      t.equal(farm.holders(`lost ${i}`), members)
    }
    const perLoss = farm.count(nack) / losses
    t.comment(`${members} members: ${perLoss} NACKs per loss`)
    t.ok(perLoss <= limit, `${members} members`)
    t.ok(farm.stat('repairsSent') <= losses * 1.5, 'and repaired about once')
  }
})

t.test('the last datagram before a pause is missed and still comes', async t => {
  const farm = new CalmFarm(3, { acks: 'none' })
  farm.network.drop = (_to, datagram) => readHeader(datagram, farmTag)?.type === data
  farm.write(farm.at(0), 'tail', 'local')
  farm.run(5)
  farm.network.drop = undefined
  farm.run(40)
  t.equal(farm.holders('tail'), 3, 'a heartbeat after 10 ms told')
})

t.test('levels: one, all, and what can not be reached', async t => {
  const farm = new CalmFarm(4)
  const one = farm.write(farm.at(0), 'a', 'one')
  const all = farm.write(farm.at(0), 'b', 'all')
  farm.run(20)
  t.same(farm.settlements.get(one)?.reached, true)
  t.same(farm.settlements.get(all)?.reached, true)
  t.equal(farm.holders('b'), 4)
  farm.network.drop = () => true
  for (const { id } of farm.members.slice(1)) farm.network.deafToDatagrams.add(id)
  const late = farm.write(farm.at(0), 'c', 'all', 100)
  farm.run(150)
  t.same(farm.settlements.get(late)?.reached, false, 'in its time')
  farm.network.drop = undefined
  farm.network.deafToDatagrams.clear()
  farm.run(3_000)
  t.equal(farm.holders('c'), 4, 'it comes all the same')
})

t.test('ten seconds of datagrams played back apply nothing', async t => {
  const farm = new CalmFarm(4)
  const captured: Buffer[] = []
  farm.network.drop = (_to, datagram) => {
    captured.push(Buffer.from(datagram))
    return false
  }
  for (let i = 0; i < 1_000; i += 1) {
    farm.write(farm.at(i % 4), `key ${i}`, 'one')
    farm.run(10)
  }
  farm.network.drop = () => false
  t.equal(farm.holders('key 999'), 4)
  const applied = farm.stat('recordsApplied')
  const [duplicates, answers] = [farm.stat('duplicates'), farm.count(nack)]
  // What was replayed must not come back from the dead either.
  for (const member of farm.members) member.table.purge(undefined)
  for (const member of farm.members) {
    for (const datagram of captured) farm.network.inject(member, datagram)
  }
  farm.run(100)
  t.ok(captured.length > 1_000, `${captured.length} datagrams`)
  t.equal(farm.stat('recordsApplied'), applied)
  t.equal(farm.holders('key 999'), 0)
  t.equal(farm.count(nack), answers, 'nothing was asked for')
  t.ok(farm.stat('duplicates') > duplicates, 'they were known as what they are')
})

t.test('where only multicast passes, acknowledgements go over the streams', async t => {
  const farm = new CalmFarm(3)
  for (const { id } of farm.members) farm.network.deafToUnicast.add(id)
  farm.run(6_000)
  for (const level of ['one', 'all'] as const) {
    const token = farm.write(farm.at(0), level, level, 500)
    farm.run(500)
    t.equal(farm.settlements.get(token)?.reached, true, level)
  }
  t.equal(farm.at(0).engine.stats()['pathsMulticast'], 2)
})

t.test('without repositories the level of that name means one other member', async t => {
  const farm = new CalmFarm(3, { acks: 'none' })
  const token = farm.write(farm.at(0), 'a', 'repositories')
  farm.run(30)
  t.equal(farm.settlements.get(token)?.reached, true)
})

t.test('a member that stands still holds the others up for a second at most', async t => {
  const farm = new CalmFarm(4, { acks: 'all', ackWindow: 8, ...unbatched })
  farm.at(3).pause(10_000)
  let longest = 0
  let before = farm.agenda.now
  for (let i = 0; i < 600; i++) {
    const token = farm.write(farm.at(0), `key ${i}`, 'one')
    while (!farm.settlements.has(token) && farm.agenda.now - before < 5_000) farm.run(1)
    longest = Math.max(longest, farm.agenda.now - before)
    before = farm.agenda.now
  }
  t.ok(longest <= 1_100, `${Math.round(longest)} ms`)
  farm.run(20_000)
  t.equal(farm.holders('key 599'), 4, 'when it is back it gets all it missed')
})

t.test('a pause of 200 ms costs nothing, one of 10 s a table', async t => {
  const farm = new CalmFarm(3, { ringAge: 2_000 })
  const writing = (ms: number, name: string) => {
    for (let i = 0; i < ms / 10; i++) {
      farm.write(farm.at(0), `${name} ${i}`, 'local')
      farm.run(10)
    }
  }
  const before = farm.stat('resyncs')
  farm.at(2).pause(200)
  writing(400, 'short')
  farm.run(500)
  t.equal(farm.stat('resyncs'), before)
  t.equal(farm.holders('short 19'), 3)
  farm.at(2).pause(10_000)
  writing(10_000, 'long')
  farm.run(1_000)
  t.equal(farm.holders('long 0'), 3)
  t.equal(farm.holders('long 999'), 3)
})

t.test('after a silence a member is current no sooner than it has all', async t => {
  const farm = new CalmFarm(3)
  const { network } = farm
  const cut = farm.at(2)
  t.ok(farm.members.every(({ current }) => current))
  for (let round = 0; round < 20; round++) {
    network.sides.set(cut.id, 1)
    network.breakStreams(cut, false)
    farm.run(5)
    t.notOk(cut.current, 'no stream')
    for (let i = 0; i < 50; i++) farm.write(farm.at(i % 2), `${round} ${i}`, 'local')
    farm.run(round < 10 ? 500 : 8_000)
    network.weather = { ...network.weather, loss: 0.3 }
    network.sides.clear()
    for (const other of farm.members.slice(0, 2)) network.connect(cut, other)
    let waited = 0
    for (; !cut.current && waited < 20_000; waited++) farm.run(1)
    t.ok(waited < 20_000, 'it comes to that')
    t.equal(farm.holders(`${round} 48`) + farm.holders(`${round} 49`), 6)
    network.weather = { ...network.weather, loss: 0 }
    for (waited = 0; waited < 20_000; waited++) {
      if (farm.members.every(({ current }) => current)) break
      farm.run(1)
    }
  }
  for (let round = 0; round < 10; round++) {
    cut.pause(10_000)
    farm.run(9_000)
    t.notOk(farm.at(0).current, 'one is silent')
    farm.write(farm.at(0), `meanwhile ${round}`, 'local')
    farm.run(1_000)
    for (let i = 0; i < 1_000; i++) {
      farm.run(1)
      if (cut.current && farm.holders(`meanwhile ${round}`) < 3)
        t.fail(`current ${i} ms after it stood still, and lacks a record`)
    }
    t.equal(farm.holders(`meanwhile ${round}`), 3)
  }
  farm.run(2_000)
  farm.at(1).leave()
  farm.run(2_000)
  t.ok(farm.at(0).current && cut.current, 'who took its leave is not missed')
})

t.test('a large record arrives whole, whatever order its fragments come in', async t => {
  const farm = new CalmFarm(3)
  farm.network.weather = { ...farm.network.weather, delay: 5, loss: 0.2 }
  const large = farm.at(0).write('large', Buffer.alloc(60_000, 7))
  farm
    .at(0)
    .receive({ kind: 'publish', record: large, level: 'all', budget: 9_000, token: 999 })
  farm.run(3_000)
  t.equal(farm.settlements.get(999)?.reached, true)
  t.equal(farm.holders('large'), 3)
  t.equal(farm.count(fragment) - farm.stat('repairsSent'), 53, 'cut once')
})

t.test('who is alone does not wait', async t => {
  const farm = new CalmFarm(1)
  const one = farm.write(farm.at(0), 'a', 'one')
  const all = farm.write(farm.at(0), 'b', 'all')
  t.equal(farm.settlements.get(one)?.reached, true)
  t.equal(farm.settlements.get(all)?.reached, true)
  t.equal(farm.count(data), 0)
})

t.test('who sees all others gone does not wait either', async t => {
  const farm = new CalmFarm(3)
  for (const other of farm.members.slice(1)) other.crash()
  farm.run(10_000)
  const one = farm.write(farm.at(0), 'a', 'one')
  const all = farm.write(farm.at(0), 'b', 'all')
  t.equal(farm.settlements.get(one)?.reached, true)
  t.equal(farm.settlements.get(all)?.reached, true)
})

t.test('a rest costs two heartbeats a second, and one to each alone', async t => {
  const farm = new CalmFarm(3)
  farm.run(10_000)
  t.equal(farm.count(heartbeat), 3 * (20 + 2 * 10))
  t.equal(farm.count(data, nack, status), 0)
})

t.test('the larger the tables, the rarer they are compared', async t => {
  const rounds = (records: number) => {
    const farm = new CalmFarm(2, { antiEntropy: 1_000 })
    for (let i = 0; i < records; i++) {
      const record = farm.at(0).write(`key ${i}`, Buffer.from('x'))
      farm.at(1).table.put(record)
    }
    farm.run(10_000)
    const before = farm.stat('tablesFetched')
    farm.run(20_000)
    return farm.stat('tablesFetched') - before
  }
  t.ok(rounds(10) >= 2 * 14)
  t.ok(rounds(50_000) <= 2 * 3, 'a walk over 50,000 records is followed by 10 s of rest')
})

t.test('a farm of 40 members: packets per record do not grow with it', async t => {
  const farm = new CalmFarm(
    40,
    { ...unbatched, acks: 'repositories' },
    { repositories: 2 },
  )
  for (let i = 0; i < 20; i++) {
    farm.write(farm.at(30), `key ${i}`, 'repositories')
    farm.run(5)
  }
  t.equal(farm.holders('key 19'), 40)
  t.equal(farm.count(data) + farm.count(status), 20 * 3)
})
