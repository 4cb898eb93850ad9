import t from 'tap'
import type { Clock } from '../../lib/clock.ts'
import { SleepGuard } from '../../lib/member/sleep-guard.ts'

/** Two clocks and one timer, moved by hand. */
function world() {
  const state = {
    wall: 1_800_000_000_000,
    monotonic: 5_000,
    timers: [] as (() => void)[],
  }
  const clock: Clock = {
    now: () => state.wall,
    monotonic: () => state.monotonic,
    after: (_ms, fn) => {
      state.timers.push(fn)
      return {
        cancel: () => void state.timers.splice(state.timers.indexOf(fn), 1),
      }
    },
  }
  const pass = (monotonic: number, wall = monotonic) => {
    state.monotonic += monotonic
    state.wall += wall
  }
  const fire = () => {
    for (const fn of state.timers.splice(0)) fn()
  }
  return { state, clock, pass, fire, guard: new SleepGuard(clock) }
}

t.test('a process that runs has not slept', t => {
  const { guard, pass, fire } = world()
  for (let n = 0; n < 100; n += 1) {
    pass(150)
    fire()
    t.equal(guard.hasSlept, false)
  }
  t.end()
})

t.test('one that stood still knows it at once, and for a second', t => {
  for (const gap of [
    [3_000, 3_000],
    [0, 3_000],
    [3_000, 0],
    [10, -60_000],
  ] as const) {
    const { guard, pass, fire } = world()
    pass(100)
    fire()
    pass(gap[0], gap[1])
    // A client is served before any timer has fired.
    t.equal(guard.hasSlept, true, `${gap}`)
    fire()
    for (let n = 0; n < 9; n += 1) {
      pass(100)
      fire()
      t.equal(guard.hasSlept, true)
    }
    pass(100)
    t.equal(guard.hasSlept, false)
  }
  t.end()
})

t.test('a timer that sees it first tells it too', t => {
  const { guard, pass, fire } = world()
  pass(5_000)
  fire()
  pass(999)
  t.equal(guard.hasSlept, true)
  t.end()
})

t.test('closed, it leaves no timer', t => {
  const { guard, state } = world()
  t.equal(state.timers.length, 1)
  guard.close()
  t.equal(state.timers.length, 0)
  t.end()
})
