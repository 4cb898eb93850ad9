import t from 'tap'
import { AdaptiveLimit } from '../../lib/backend/adaptive-limit.ts'

/** A backend that bears `capacity` requests at a time in 10 ms, and queues what is more. */
function run(limit: AdaptiveLimit, capacity: number, windows: number): void {
  for (let i = 0; i < windows * 50; i++) {
    const underWay = limit.limit
    limit.answered(10 * Math.max(1, underWay / capacity), underWay)
  }
}

t.test('grows to what the backend bears, and not far beyond', async t => {
  const limit = new AdaptiveLimit(1_000)
  run(limit, 100, 1_010)
  t.ok(limit.limit > 80, `${limit.limit}`)
  t.ok(limit.limit < 250, `${limit.limit}`)
})

t.test('shrinks when the backend becomes slower', async t => {
  const limit = new AdaptiveLimit(1_000)
  run(limit, 100, 1_010)
  const before = limit.limit
  run(limit, 20, 50)
  t.ok(limit.limit < before / 2, `${before} -> ${limit.limit}`)
})

t.test(
  'stays within what it is given, and learns nothing of an idle backend',
  async t => {
    const limit = new AdaptiveLimit(30)
    run(limit, 1_000, 1_010)
    t.equal(limit.limit, 30)
    const idle = new AdaptiveLimit(1_000)
    for (let i = 0; i < 10_300; i++) idle.answered(10, 1)
    t.equal(idle.limit, 20)
  },
)
