import t from 'tap'
import { linkSettings } from '../../../lib/farm/settings.ts'
import type { WriteLevel } from '../../../lib/farm/transport.ts'
import { CalmFarm } from '../../fixtures/simulator/calm-farm.ts'
import type { SimulatedMember } from '../../fixtures/simulator/member.ts'

/*
 * A write reaches its level at whatever moment of another member's coming it is written: each
 * moment of it is tried, in steps of a fraction of a millisecond of virtual time.
 */

const levels: readonly WriteLevel[] = ['one', 'repositories', 'all']
/** Virtual ms: what it takes where nothing is lost, and nobody waits for a budget to end. */
const soon = 60

function farmOf(carrier: string, members: number, repositories = 0): CalmFarm {
  if (carrier === 'links')
    return new CalmFarm(members, linkSettings, { datagrams: false, repositories })
  return new CalmFarm(members, {}, { multicast: carrier === 'multicast', repositories })
}

/** Moments of a span, ms from its start. */
function moments(span: number, perMs = 10): number[] {
  return Array.from({ length: span * perMs }, (_, i) => i / perMs)
}

/** Those of the writes of one moment, one of each level, that did not reach it. */
function unreached(farm: CalmFarm, writer: SimulatedMember, moment: number): string[] {
  const tokens = levels.map(level => farm.write(writer, `${level} ${moment}`, level, 500))
  farm.run(soon)
  return levels.filter((_, i) => {
    const token = tokens[i]
    return token === undefined || farm.settlements.get(token)?.reached !== true
  })
}

for (const carrier of ['links', 'multicast', 'unicast']) {
  t.test(`${carrier}: while a member joins`, async t => {
    for (const repository of [false, true]) {
      const failed = moments(16, 4).flatMap(moment => {
        const farm = farmOf(carrier, 2)
        farm.add(repository)
        farm.run(moment)
        return unreached(farm, farm.at(0), moment).map(level => `${moment}: ${level}`)
      })
      t.same(failed, [], repository ? 'a repository' : 'one like the others')
    }
  })

  t.test(`${carrier}: one that lacks the table is awaited when it serves`, async t => {
    const farm = farmOf(carrier, 2)
    const writer = farm.at(0)
    farm.write(writer, 'before', 'one')
    farm.run(soon)
    const joiner = farm.add()
    const { cache } = joiner
    const apply = t.capture(cache, 'apply', () => {
      throw new Error('no room')
    })
    farm.run(50)
    const write = (budget: number) => farm.write(writer, `for ${budget}`, 'all', budget)
    const settled = (token: number) => farm.settlements.get(token)?.reached
    const before = write(500)
    farm.run(soon)
    t.equal(settled(before), true, 'it acts on nothing that is revoked')
    joiner.receive({ kind: 'serve' })
    farm.run(50)
    const [short, long] = [write(501), write(30_000)]
    farm.run(soon)
    t.same([settled(short), settled(long)], [undefined, undefined])
    farm.run(500)
    t.same([settled(short), settled(long)], [false, undefined])
    apply.restore()
    farm.run(6_000)
    t.equal(settled(long), true, 'now that it has all that the others had')
  })

  // The first is the acker of the writer over links, the second is not.
  for (const away of [1, 2]) {
    t.test(`${carrier}: while a link with ${away} that was cut stands again`, async t => {
      const farm = farmOf(carrier, 3)
      const [writer, other] = [farm.at(0), farm.at(away)]
      const failed = moments(4).flatMap(moment => {
        farm.network.breakOne(writer, other)
        farm.run(1)
        farm.network.connect(writer, other)
        farm.run(moment)
        return unreached(farm, writer, moment).map(level => `${moment}: ${level}`)
      })
      t.same(failed, [])
    })

    t.test(`${carrier}: while ${away} that was lost comes back`, async t => {
      const farm = farmOf(carrier, 3)
      const [writer, other] = [farm.at(0), farm.at(away)]
      const failed = moments(4).flatMap(moment => {
        farm.network.sides.set(other.id, 1)
        farm.network.breakStreams(other, true)
        farm.run(6_000)
        farm.write(writer, 'meanwhile', 'all')
        farm.network.sides.clear()
        for (const member of farm.members)
          if (member !== other) farm.network.connect(member, other)
        farm.run(moment)
        return unreached(farm, writer, moment).map(level => `${moment}: ${level}`)
      })
      t.same(failed, [])
    })
  }
}
