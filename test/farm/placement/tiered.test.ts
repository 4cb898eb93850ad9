import t from 'tap'
import { type TopologyName, topologyOf } from '../../../lib/cache/topology.ts'
import type { Topology } from '../../../lib/farm/placement/topology.ts'
import { linkSettings } from '../../../lib/farm/settings.ts'
import { tables } from '../../../lib/record/key.ts'
import { CalmFarm } from '../../fixtures/simulator/calm-farm.ts'
import type { SimulatedMember } from '../../fixtures/simulator/member.ts'

interface Shape {
  readonly proxies: number
  readonly repositories: number
  readonly copies?: number
}

/** The repositories come first. */
function farmOf({ proxies, repositories, copies }: Shape): CalmFarm {
  return new CalmFarm(proxies + repositories, linkSettings, {
    datagrams: false,
    repositories,
    topology: told('auto', copies),
  })
}

function told(name: TopologyName, copies: number | undefined): Topology {
  return topologyOf({
    ...{ name, copies: 2, asks: 'sequence', seed: 7 },
    repositoryCopies: copies,
  })
}

const keyOf = (i: number) => Buffer.from(`key ${i}`)
const has = (member: SimulatedMember, i: number) =>
  member.table.get(tables.session, keyOf(i)) !== undefined

function lacking(members: readonly SimulatedMember[], keys: number): string[] {
  return members.flatMap(member =>
    Array.from({ length: keys }, (_, i) => i)
      .filter(i => !has(member, i))
      .map(i => `${member.id}: ${i}`),
  )
}

t.test('a session is on every repository, and where it was made', async t => {
  const farm = farmOf({ proxies: 6, repositories: 2 })
  for (let i = 0; i < 100; i++) farm.write(farm.at(2 + (i % 6)), `key ${i}`, 'one')
  farm.run(1_000)
  t.same(lacking(farm.members.slice(0, 2), 100), [])
  for (let i = 0; i < 100; i++) t.equal(farm.holders(`key ${i}`), 3)
  t.ok([...farm.settlements.values()].every(({ reached }) => reached))
  t.ok(farm.members.every(member => member.finds(tables.session, keyOf(3))))
  t.equal(farm.stat('writesNotDurable'), 0)
})

t.test('what a write costs does not grow with the proxies', async t => {
  const given = (proxies: number) => {
    const farm = farmOf({ proxies, repositories: 3 })
    for (let i = 0; i < 50; i++) farm.write(farm.at(3), `key ${i}`, 'one')
    farm.run(1_000)
    return farm.stat('copiesGiven')
  }
  t.equal(given(2), 150)
  t.equal(given(20), 150)
})

t.test('level repositories waits for each that is there', async t => {
  const farm = farmOf({ proxies: 2, repositories: 3 })
  farm.at(2).pause(2_000)
  const token = farm.write(farm.at(4), 'key 0', 'repositories')
  const one = farm.write(farm.at(4), 'key 1', 'one')
  farm.run(500)
  t.equal(farm.settlements.get(one)?.reached, true)
  t.equal(farm.settlements.get(token), undefined, 'one of them has not said so')
  farm.run(3_000)
  t.equal(farm.settlements.get(token)?.reached, true)
})

t.test('level repositories is not reached by one that is still joining', async t => {
  const farm = farmOf({ proxies: 2, repositories: 1 })
  const early: number[] = []
  for (let i = 0; i < 60; i++) {
    if (i === 10) {
      farm.add(true)
      // Until the links stand.
      farm.run(2.5)
    }
    farm.at(0).pause(2)
    const token = farm.write(farm.at(1), `key ${i}`, 'repositories')
    farm.run(1.5)
    if (farm.settlements.has(token) && !has(farm.at(0), i)) early.push(i)
    farm.run(3)
    if (farm.settlements.get(token)?.reached !== true) t.fail(`key ${i} was not kept`)
  }
  t.same(early, [])
  farm.run(2_000)
  t.same(lacking([farm.at(0), farm.at(3)], 60), [])
})

t.test('what a dead proxy had told one repository alone the other gets too', async t => {
  const farm = farmOf({ proxies: 2, repositories: 2 })
  const token = farm.write(farm.at(2), 'key 0', 'one')
  farm.run(3)
  t.equal(farm.settlements.get(token)?.reached, true)
  t.equal(
    farm.holders('key 0'),
    2,
    'the other copy waits for others to share its message',
  )
  farm.at(2).crash()
  farm.run(5_000)
  t.same(lacking(farm.members.slice(0, 2), 1), [])
})

t.test('a repository that could not keep up is given later what was dropped', async t => {
  const farm = farmOf({ proxies: 1, repositories: 2 })
  const count = 13_000
  farm.at(1).pause(1_000)
  for (let i = 0; i < count; i++) {
    farm.write(farm.at(2), `key ${i}`, 'local')
    if (i % 100 === 99) farm.run(1)
  }
  t.ok(farm.stat('copiesDropped') > 100)
  farm.run(6_000)
  t.same(lacking(farm.members.slice(0, 2), count), [])
})

t.test('a repository that is lost is no longer waited for', async t => {
  const farm = farmOf({ proxies: 2, repositories: 2 })
  farm.at(1).pause(1e6)
  const token = farm.write(farm.at(2), 'key 0', 'repositories')
  farm.run(100)
  farm.at(1).crash()
  farm.run(4_000)
  t.equal(farm.settlements.get(token)?.reached, true)
  t.ok(has(farm.at(0), 0))
})

t.test('a new repository has all before it answers, and nothing twice', async t => {
  const farm = farmOf({ proxies: 4, repositories: 2 })
  for (let i = 0; i < 500; i++) farm.write(farm.at(2 + (i % 4)), `key ${i}`, 'one')
  farm.run(1_000)
  const before = farm.stat('copiesGiven')
  const joiner = farm.add(true)
  farm.run(1_000)
  t.equal(joiner.engine.ready, true)
  t.same(lacking([joiner], 500), [])
  t.equal(farm.stat('copiesGiven'), before, 'from another repository alone')
  const proxy = farm.add()
  farm.run(1_000)
  t.equal(proxy.engine.ready && proxy.engine.isBrought, true)
  t.equal(proxy.table.stats().records, 0, 'a proxy is given no sessions')
  t.ok(proxy.finds(tables.session, keyOf(17)))
})

t.test('a new repository has all before it answers, whoever it asks first', async t => {
  for (let proxies = 1; proxies <= 5; proxies++)
    for (let drawn = 0; drawn < 4; drawn++) {
      const farm = farmOf({ proxies, repositories: 1 })
      for (let i = 0; i < 50; i++)
        farm.write(farm.at(1 + (i % proxies)), `key ${i}`, 'one')
      farm.run(1_000)
      for (let i = 0; i < drawn; i++) farm.chance.next()
      const joiner = farm.add(true)
      for (let ms = 0; ms < 1_000 && !joiner.ready; ms += 0.5) farm.run(0.5)
      t.equal(joiner.ready, true)
      t.same(lacking([joiner], 50), [], `${proxies} proxies, ${drawn} drawn before`)
    }
})

t.test('with the last repository gone proxies tell each other, and say so', async t => {
  const farm = farmOf({ proxies: 3, repositories: 2 })
  farm.write(farm.at(2), 'key 0', 'one')
  farm.run(500)
  farm.at(0).crash()
  farm.at(1).crash()
  farm.run(5_000)
  const proxies = farm.members.slice(2)
  const token = farm.write(farm.at(3), 'key 1', 'one')
  farm.run(500)
  t.equal(farm.settlements.get(token)?.reached, true)
  t.same(
    lacking(proxies, 2).filter(lack => lack.endsWith(' 1')),
    [],
  )
  t.equal(farm.stat('writesNotDurable'), 1)
  t.ok(farm.at(2).finds(tables.session, keyOf(0)))

  const fresh = farm.add(true)
  farm.run(3_000)
  t.same(lacking([fresh], 2), [], 'and give the next one what they have')
  farm.write(farm.at(4), 'key 2', 'one')
  farm.run(500)
  t.equal(farm.holders('key 2'), 2)
  t.equal(farm.stat('writesNotDurable'), 1)
})

t.test('what a lost repository alone had been given comes to the next one', async t => {
  const farm = farmOf({ proxies: 4, repositories: 1 })
  for (let i = 0; i < 40; i++) farm.write(farm.at(1 + (i % 4)), `key ${i}`, 'one')
  farm.run(500)
  farm.at(0).crash()
  farm.run(5_000)
  for (let i = 40; i < 80; i++) {
    farm.write(farm.at(1 + (i % 4)), `key ${i}`, 'one')
    farm.run(5)
  }
  farm.run(500)
  const given = farm.stat('copiesGiven')
  const fresh = farm.add(true)
  farm.run(3_000)
  t.same(lacking([fresh], 80), [])
  const copies = farm.stat('copiesGiven') - given
  t.ok(copies >= 80 && copies <= 84, `and each about once: ${copies}`)
})

t.test('one that joins when all repositories are gone asks everybody', async t => {
  const farm = farmOf({ proxies: 6, repositories: 1 })
  for (let i = 0; i < 12; i++) farm.write(farm.at(1 + (i % 6)), `key ${i}`, 'one')
  farm.run(500)
  farm.at(0).crash()
  farm.run(5_000)
  const joiner = farm.add()
  farm.run(500)
  for (let i = 0; i < 12; i++)
    t.ok(joiner.finds(tables.session, keyOf(i)), `key ${i}, where it was made`)
})

t.test('a repository that was away is given what it missed', async t => {
  const farm = farmOf({ proxies: 3, repositories: 2 })
  const away = farm.at(1)
  farm.network.sides.set(away.id, 1)
  farm.network.breakStreams(away, false)
  farm.run(5_000)
  for (let i = 0; i < 50; i++) farm.write(farm.at(2 + (i % 3)), `key ${i}`, 'one')
  farm.run(1_000)
  t.equal(lacking([away], 50).length, 50)
  farm.network.sides.clear()
  for (const other of farm.members) if (other !== away) farm.network.connect(away, other)
  farm.run(5_000)
  t.same(lacking([away], 50), [])
})

t.test('where no repository can hold all, each has a part', async t => {
  const farm = farmOf({ proxies: 4, repositories: 4, copies: 2 })
  for (let i = 0; i < 400; i++) farm.write(farm.at(4 + (i % 4)), `key ${i}`, 'one')
  farm.run(1_000)
  for (const { table } of farm.members.slice(0, 4)) {
    const { records } = table.stats()
    t.ok(records > 130 && records < 270, `about half: ${records}`)
  }
  farm.at(0).crash()
  farm.run(6_000)
  for (let i = 0; i < 400; i++) {
    const holders = farm.members.slice(1, 4).filter(member => has(member, i)).length
    t.equal(holders, 2, `key ${i} has two again`)
  }
})

t.test(
  'a repository told to have everything sees to its part as the others do',
  async t => {
    const farm = farmOf({ proxies: 4, repositories: 2, copies: 2 })
    const stubborn = farm.add(true, told('replicated', 2))
    farm.run(2_000)
    for (let i = 0; i < 400; i++) farm.write(farm.at(2 + (i % 4)), `key ${i}`, 'one')
    farm.run(1_000)
    const repositories = [farm.at(0), farm.at(1), stubborn, farm.add(true)]
    farm.run(3_000)
    const order = told('auto', 2).among(repositories.map(({ id }) => id))
    const lonely = Array.from({ length: 400 }, (_, i) => i).filter(i => {
      const owners = order.first(tables.session, keyOf(i), 2)
      return !repositories.every(member => !owners.includes(member.id) || has(member, i))
    })
    t.same(lonely, [])
  },
)

t.test('a repository told to have everything has what the others have', async t => {
  const farm = farmOf({ proxies: 4, repositories: 2 })
  for (let i = 0; i < 40; i++) farm.write(farm.at(2 + (i % 4)), `key ${i}`, 'one')
  farm.run(500)
  const stubborn = farm.add(true, told('replicated', undefined))
  farm.run(3_000)
  t.same(lacking([stubborn], 40), [])
})

t.test('a farm that gets its first repositories gives them what it has', async t => {
  const farm = farmOf({ proxies: 3, repositories: 0 })
  for (let i = 0; i < 100; i++) farm.write(farm.at(i % 3), `key ${i}`, 'one')
  farm.run(1_000)
  const fresh = farm.add(true)
  farm.run(2_000)
  t.same(lacking([fresh], 100), [])
  farm.write(farm.at(0), 'key 100', 'one')
  farm.run(500)
  t.equal(farm.holders('key 100'), 2)
  t.ok(farm.stat('copiesGiven') <= 200, 'given about once')
})
