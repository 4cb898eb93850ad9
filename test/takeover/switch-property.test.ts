import t from 'tap'
import { Decisions } from '../../lib/takeover/host/switch/decisions.ts'
import { seededRandom, testSeed } from '../fixtures/random.ts'
import { switchedRun } from '../fixtures/takeover/switched-run.ts'

t.test(
  'whatever hosts, links and the switch do, nobody shares a connection, or its words',
  async t => {
    const seed = testSeed()
    t.comment(`SEED=${seed}`)
    const random = seededRandom(seed)
    let [moved, living] = [0, 0]
    for (let round = 0; round < 30; round++) {
      const run = await switchedRun(random, round % 2 === 1)
      moved += run.moved
      living += run.alive
      const { wrong, fenced } = run.world
      if (wrong.length > 0) {
        t.fail(`round ${round}`, {
          wrong: wrong.slice(0, 4),
          events: run.events,
          fenced,
        })
      }
    }
    t.ok(moved > 0 && living > 0, `${moved} went to others, ${living} live`)
  },
)

t.test('a second grant would be found', async t => {
  const seed = testSeed()
  t.comment(`SEED=${seed}`)
  const random = seededRandom(seed)
  t.intercept(Decisions.prototype, 'grant', { value: () => true })
  let wrong = 0
  for (let round = 0; round < 40 && wrong === 0; round++) {
    wrong = (await switchedRun(random)).world.wrong.length
  }
  t.ok(wrong > 0, 'within forty rounds')
})
