import t from 'tap'
import { seededRandom, testSeed } from '../fixtures/random.ts'
import { times, type Voter, Voters } from '../fixtures/takeover/voters.ts'

const seed = testSeed()
t.comment(`SEED=${seed}`)
const names = ['a', 'b', 'c', 'd', 'e']

t.test(
  'no two are ever elected for one number, whatever is lost, late or doubled',
  async t => {
    let elections = 0
    for (let round = 0; round < 60; round++) {
      const random = seededRandom(seed + round)
      const [loss, late, twice] = [0.5, 0.3, 0.5].map(most => most * random()) as [
        number,
        number,
        number,
      ]
      const size = 3 + Math.floor(random() * 3)
      const world = new Voters(names.slice(0, size), { random, loss, late, twice })
      await world.pass(3 * times.timeout)
      world.isCalm = false
      const pick = (of: readonly Voter[]) => of[Math.floor(random() * of.length)]
      for (let step = 0; step < 15; step++) {
        const there = world.members.filter(({ isThere }) => isThere)
        const [one, other] = [pick(there), pick(there)]
        if (one !== undefined && random() < 0.15) one.isThere = false
        else if (one !== undefined && other !== undefined && one !== other) {
          const [address] = one.holds.keys()
          if (address !== undefined && random() < 0.4)
            one.give(address, other, 500 * random())
        }
        const way = `${pick(world.members)?.name}>${pick(world.members)?.name}`
        if (random() < 0.5) world.cut.add(way)
        else world.cut.clear()
        await world.pass(100 + 500 * random())
      }
      elections += world.elections
      if (world.wrong.length === 0) continue
      t.fail(`round ${round}: ${world.wrong.join('; ')}`)
      return
    }
    t.comment(`${elections} elections`)
    t.ok(elections > 100)
  },
)
