import { join } from 'node:path'
import t from 'tap'
import { testSeed } from '../fixtures/random.ts'
import { killRepository } from '../fixtures/repository/kills.ts'

t.test(
  'a repository that is killed while a proxy writes loses nothing that it acknowledged',
  async t => {
    const seed = testSeed()
    t.comment(`seed ${seed}`)
    const folder = join(t.testdir(), 'd')
    const { acknowledged, problems } = await killRepository(folder, seed, 5)
    t.same(problems, [])
    t.ok(acknowledged > 0, `${acknowledged} acknowledged`)
  },
)
