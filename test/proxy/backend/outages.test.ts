import t from 'tap'
import { goThroughOutages } from '../../fixtures/outages/outages.ts'

/** `npm run test:faults` does it for longer, with names that move and all backends down, too. */
t.test('backends flap and are drained under load', async t => {
  const { served, problems } = await goThroughOutages({
    folder: t.testdir(),
    workers: 2,
    outages: ['flapping', 'drained'],
    rounds: 1,
    clients: 2,
    onOutage: line => t.comment(line),
  })
  t.strictSame(problems, [])
  t.ok(served > 30)
})
