import t from 'tap'
import { Supervisor, type SupervisorAction } from '../../lib/serve/cluster/supervisor.ts'

const forked = (actions: readonly SupervisorAction[]) =>
  actions.flatMap(action => (action.type === 'fork' ? [action.slot] : []))

t.test('the first worker is up before the others start', async t => {
  const supervisor = new Supervisor(3)
  t.strictSame(supervisor.on({ type: 'begin' }, 0), [{ type: 'fork', slot: 0 }])
  t.strictSame(supervisor.on({ type: 'ready', slot: 0 }, 10), [
    { type: 'fork', slot: 1 },
    { type: 'fork', slot: 2 },
  ])
  t.strictSame(supervisor.on({ type: 'ready', slot: 2 }, 20), [])
  t.strictSame(supervisor.on({ type: 'ready', slot: 1 }, 30), [{ type: 'complete' }])
})

t.test('a dead worker starts again, later each time', async t => {
  const supervisor = new Supervisor(2)
  supervisor.on({ type: 'begin' }, 0)
  supervisor.on({ type: 'ready', slot: 0 }, 0)
  supervisor.on({ type: 'ready', slot: 1 }, 0)
  let now = 0
  const delays: number[] = []
  for (let death = 0; death < 10; death += 1) {
    const [wake] = supervisor.on({ type: 'exited', slot: 1 }, now)
    if (wake?.type !== 'wake') throw new Error('no wake')
    delays.push(wake.ms)
    t.strictSame(
      supervisor.on({ type: 'wake' }, now + wake.ms - 1).length,
      1,
      'not early',
    )
    now += wake.ms
    const again = supervisor.on({ type: 'wake' }, now)
    t.strictSame(again, [{ type: 'fork', slot: 1 }])
  }
  t.strictSame(delays.slice(0, 4), [100, 200, 400, 800])
  t.equal(delays.at(-1), 10_000, 'and not beyond ten seconds')
  supervisor.on({ type: 'ready', slot: 1 }, now)
  const later = supervisor.on({ type: 'exited', slot: 1 }, now + 30_000)
  t.strictSame(forked(later), [1], 'one that was up for long starts at once')
})

t.test(
  'when all died, those that may start do, and the others when one is up',
  async t => {
    const supervisor = new Supervisor(3)
    supervisor.on({ type: 'begin' }, 0)
    for (const slot of [0, 1, 2]) supervisor.on({ type: 'ready', slot }, 0)
    const started = [0, 1, 2].flatMap(slot =>
      supervisor.on({ type: 'exited', slot }, 50_000),
    )
    t.strictSame(forked(started), [0, 1])
    t.strictSame(forked(supervisor.on({ type: 'wake' }, 60_000)), [], 'one after another')
    t.strictSame(forked(supervisor.on({ type: 'ready', slot: 0 }, 60_000)), [2])
  },
)

t.test('no worker ever came up: give up', async t => {
  const supervisor = new Supervisor(2)
  supervisor.on({ type: 'begin' }, 0)
  t.strictSame(supervisor.on({ type: 'exited', slot: 0 }, 5), [{ type: 'give-up' }])
})

t.test(
  'asked to stop, nothing is started any more, and the last one out says so',
  async t => {
    const supervisor = new Supervisor(2)
    supervisor.on({ type: 'begin' }, 0)
    supervisor.on({ type: 'ready', slot: 0 }, 0)
    t.strictSame(supervisor.on({ type: 'stop' }, 1), [])
    t.strictSame(supervisor.on({ type: 'exited', slot: 1 }, 2), [])
    t.strictSame(supervisor.on({ type: 'exited', slot: 0 }, 3), [{ type: 'stopped' }])
  },
)

t.test('stop before anything runs is an end, not a failure', async t => {
  const supervisor = new Supervisor(2)
  supervisor.on({ type: 'begin' }, 0)
  supervisor.on({ type: 'stop' }, 1)
  t.strictSame(supervisor.on({ type: 'exited', slot: 0 }, 2), [{ type: 'stopped' }])
})

t.test('events about workers that are not there change nothing', async t => {
  const supervisor = new Supervisor(1)
  t.strictSame(forked(supervisor.on({ type: 'ready', slot: 7 }, 0)), [0])
  t.strictSame(supervisor.on({ type: 'exited', slot: 7 }, 0), [])
})
