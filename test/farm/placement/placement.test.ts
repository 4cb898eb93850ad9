import t from 'tap'
import { topologyOf } from '../../../lib/cache/topology.ts'
import { Delivery } from '../../../lib/farm/placement/delivery.ts'
import { Pace } from '../../../lib/farm/placement/pace.ts'
import { linkSettings } from '../../../lib/farm/settings.ts'
import { tables } from '../../../lib/record/key.ts'
import type { CacheRecord } from '../../../lib/record/record.ts'
import { CalmFarm } from '../../fixtures/simulator/calm-farm.ts'

const topology = topologyOf({ name: 'auto', copies: 2, asks: 'sequence', seed: 7 })

function farmOf(members: number): CalmFarm {
  return new CalmFarm(members, linkSettings, { datagrams: false, topology })
}

function copy(i: number, length = 100) {
  const record: CacheRecord = {
    table: tables.session,
    key: Buffer.from(`key ${i}`),
    value: Buffer.alloc(length),
    version: { ms: 1, logical: 0, node: 0 },
    expiresAt: 1e13,
    tombstone: false,
  }
  return { record, write: undefined, prompt: false }
}

t.test('from six hosts on a session has two owners, and who made it', async t => {
  const farm = farmOf(10)
  const writer = farm.at(0)
  for (let i = 0; i < 200; i++) farm.write(writer, `key ${i}`, 'one')
  farm.run(1_000)
  for (let i = 0; i < 200; i++) {
    const holders = farm.holders(`key ${i}`)
    t.ok(holders === 2 || holders === 3, `key ${i} is on ${holders}`)
    const key = Buffer.from(`key ${i}`)
    t.ok(farm.members.every(member => member.finds(tables.session, key)))
  }
  t.ok([...farm.settlements.values()].every(({ reached }) => reached))
  t.equal(farm.stat('copiesDropped'), 0)
  t.equal(farm.stat('copiesUnderWay'), 0)
})

t.test('with five hosts it is on all of them, and nothing is given', async t => {
  const farm = farmOf(5)
  farm.write(farm.at(0), 'key', 'one')
  farm.run(1_000)
  t.equal(farm.holders('key'), 5)
  t.equal(farm.stat('copiesGiven'), 0)
})

t.test('a deletion, and what is for all, goes to every host', async t => {
  const farm = farmOf(8)
  farm.write(farm.at(0), 'key', 'one')
  farm.run(500)
  const record = farm.at(3).write('key', undefined)
  farm.at(3).receive({ kind: 'publish', record, level: 'all', budget: 1_000, token: 9e6 })
  farm.run(500)
  t.equal(farm.settlements.get(9e6)?.reached, true)
  for (const { cache } of farm.members)
    t.ok(cache.isDeleted(tables.session, Buffer.from('key')))
})

t.test('six, five, four, and six again: every session is found all the time', async t => {
  const farm = farmOf(6)
  const key = (i: number) => Buffer.from(`key ${i}`)
  let written = 0
  const write = () => {
    for (let i = 0; i < 50; i++, written++) {
      const writers = farm.members.filter(({ running }) => running)
      const writer = writers[written % writers.length]
      if (writer !== undefined) farm.write(writer, `key ${written}`, 'one')
    }
    farm.run(100)
  }
  const check = (when: string) => {
    const lacking: string[] = []
    for (const member of farm.members.filter(({ running }) => running))
      for (let i = 0; i < written; i++)
        if (!member.finds(tables.session, key(i))) lacking.push(`key ${i}: ${member.id}`)
    t.same(lacking, [], when)
  }
  write()
  check('six')
  for (const gone of [5, 4]) {
    farm.at(gone).leave()
    farm.run(10)
    check(`${gone}, at once`)
    write()
    farm.run(2_000)
    check(`${gone}, later`)
  }
  t.equal(farm.holders('key 0'), farm.members.length - 1 - 1, 'four hold everything')
  farm.add()
  farm.add()
  farm.run(10)
  write()
  check('six again, at once')
  farm.run(2_000)
  check('six again, later')
})

t.test('one that joins is told when it was given all that it owns', async t => {
  const farm = farmOf(9)
  for (let i = 0; i < 500; i++) farm.write(farm.at(i % 9), `key ${i}`, 'one')
  farm.run(1_000)
  const joiner = farm.add()
  farm.run(50)
  t.notOk(joiner.engine.isBrought, 'the others have not looked yet')
  farm.run(1_000)
  t.ok(joiner.engine.isBrought)
  const { records } = joiner.table.stats()
  t.ok(records > 60 && records < 150, `it owns about a fifth: ${records}`)
  t.ok((joiner.engine.stats()['copiesReceived'] ?? 0) < 2 * records, 'given about once')
})

t.test('copies wait for room, for others, and no longer', async t => {
  const delivery = new Delivery('m')
  for (let i = 0; i < 6_000; i++) delivery.add(copy(i))
  const count = (messages: ReturnType<Delivery['flush']>) =>
    messages.reduce((sum, m) => sum + (m.type === 'give' ? m.records.length : 0), 0)
  t.equal(count(delivery.flush(0)), 4_096, 'a window')
  t.equal(count(delivery.flush(0)), 0)
  t.equal(delivery.silentSince, 0)
  t.same(
    delivery.taken(100, [7, 8], 5).refused.map(({ record }) => `${record.key}`),
    ['key 6', 'key 7'],
  )
  t.equal(count(delivery.flush(0)), 100)
  t.equal(delivery.taken(1e6, [], 9).taken.length, 4_096, 'more than there is is nothing')
  t.equal(delivery.lost().length, 6_000 - 4_196)
  const slow = new Delivery('slow')
  let taken = 0
  while (slow.add(copy(taken))) taken += 1
  t.equal(taken, 8_192, 'a bound')
})

t.test('the end is told behind what waits', async t => {
  const delivery = new Delivery('m')
  delivery.add(copy(1))
  delivery.finish()
  t.same(
    delivery.flush(0).map(({ type }) => type),
    ['give', 'moved'],
  )
  t.same(delivery.flush(0), [])
})

t.test('writes wait for each other where there are many, and many hosts', async t => {
  const soon = (rate: number, members: number) => {
    const pace = new Pace()
    for (let i = 0; i < rate; i++) pace.count((i * 1_000) / rate)
    return pace.soon(1_000, 1_000, members) - 1_000
  }
  t.equal(soon(500, 300), 0, 'at a low rate each leaves at once')
  t.equal(soon(2_000, 4), 2)
  t.equal(soon(2_000, 300), 4, 'never longer than this')
  t.equal(new Pace().later(0, 6), 25)
  t.equal(new Pace().later(0, 300), 300)
})

t.test(
  'an owner that the writer did not know of gets its copy when they meet',
  async t => {
    const farm = farmOf(7)
    const [writer, unknown] = [farm.add(), farm.at(2)]
    // All others know it the whole time.
    farm.network.breakOne(writer, unknown)
    farm.run(50)
    for (let i = 0; i < 60; i++) farm.write(writer, `key ${i}`, 'one')
    farm.run(500)
    const before = unknown.table.stats().records
    farm.network.connect(writer, unknown)
    farm.run(2_000)
    t.ok(unknown.table.stats().records > before)
    const held = farm.members.filter(each => each !== writer)
    for (let i = 0; i < 60; i++) {
      const key = Buffer.from(`key ${i}`)
      const owners = topology.among(farm.members.map(({ id }) => id))
      for (const id of owners.first(tables.session, key, 2))
        t.ok(
          [...held, writer]
            .find(each => each.id === id)
            ?.table.get(tables.session, key) !== undefined,
          `key ${i} at ${id}`,
        )
    }
  },
)

t.test('a host tells at once how many sessions it owns', async t => {
  const farm = farmOf(7)
  const count = 200
  for (let i = 0; i < count; i++) farm.write(farm.at(i % 7), `key ${i}`, 'one')
  farm.run(1_000)
  t.equal(farm.stat('recordsOwned'), 2 * count, 'each has two owners')
  farm.run(200_000)
  t.ok(farm.stat('recordsOwned') < 2 * count, 'what has ended no longer counts')
})
