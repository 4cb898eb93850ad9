import t from 'tap'
import { HostFarm } from '../fixtures/hosts/host-farm.ts'
import { chainsResume, crowdResumes, oneIsRevoked } from '../fixtures/hosts/scenes.ts'
import { seededRandom, testSeed } from '../fixtures/random.ts'

/* The small form of `npm run test:network`: two hosts of two workers on the loopback address. */
const seed = testSeed()

t.test('sealed tickets on the workers of two hosts', async t => {
  t.comment(`SEED=${seed}`)
  const random = seededRandom(seed)
  const places = Array.from({ length: 2 }, () => ({ address: '127.0.0.1' }))
  const farm = await HostFarm.start(t, places, 2, random)
  t.same(await chainsResume(farm, 10), [], 'chains resume, whichever worker they come to')
  t.same(await crowdResumes(farm, 16, 2, random), [], 'in pieces and many at once')
  t.same(await oneIsRevoked(farm, 20, random), [], 'one of many is revoked everywhere')
})
