import t from 'tap'
import { goThroughOutages, outages } from '../fixtures/outages/outages.ts'

/** `npm run test:faults` does the same for longer, with one worker, too. */
t.test('backends flap, move, are all down and are drained under load', async t => {
  const { served, problems } = await goThroughOutages({
    folder: t.testdir(),
    workers: 2,
    outages,
    rounds: 1,
    clients: 4,
    onOutage: line => t.comment(line),
  })
  t.strictSame(problems, [])
  t.ok(served > 40)
})
