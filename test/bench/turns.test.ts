import t from 'tap'
import type { Cell } from '../../bench/handshake/cell.ts'
import { type Scenario, scenarioName, scenarios } from '../../bench/handshake/scenario.ts'
import { turnsOf } from '../../bench/handshake/turns.ts'
import { seededRandom } from '../../bench/harness/random.ts'
import {
  handfast,
  nodeMap,
  nodeOwn,
  nodeRedis,
} from '../../bench/systems/node-systems.ts'

const systems = [handfast, nodeMap, nodeOwn, nodeRedis]
const cells = scenarios({
  visits: ['full', 'resume-same', 'resume-cross'],
  modes: ['1.2-id', '1.3-stateless'],
  identities: ['p256'],
}).flatMap((scenario: Scenario) =>
  systems.map((system): Cell => ({ scenario, system, members: 3, rtt: 0 })),
)

t.test('systems that are compared take their turns right after each other', async t => {
  const turns = turnsOf(cells, seededRandom(7))
  t.strictSame(new Set(turns), new Set(cells), 'each has one turn')
  t.equal(turns.length, cells.length)
  const names = turns.map(({ scenario }) => scenarioName(scenario))
  const blocks = names.filter((name, i) => name !== names[i - 1])
  t.equal(blocks.length, new Set(names).size, 'a scenario is one block')
})

t.test('no system is always first, nor is a scenario', async t => {
  const random = seededRandom(11)
  const rounds = Array.from({ length: 40 }, () => turnsOf(cells, random))
  const firsts = new Set(rounds.map(([first]) => first?.system.name))
  t.equal(firsts.size, systems.length)
  t.equal(new Set(rounds.map(([first]) => first && scenarioName(first.scenario))).size, 6)
})
