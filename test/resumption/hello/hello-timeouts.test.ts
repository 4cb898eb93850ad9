import t from 'tap'
import type { Clock } from '../../../lib/clock.ts'
import { HelloTimeouts } from '../../../lib/resumption/hello/hello-timeouts.ts'

/** Timers run when a test moves the time; it counts them. */
class TimerClock implements Clock {
  ms = 0
  made = 0
  readonly #timers = new Map<object, { readonly at: number; readonly fn: () => void }>()

  now(): number {
    return this.ms
  }

  monotonic(): number {
    return this.ms
  }

  after(ms: number, fn: () => void): { cancel(): void } {
    const timer = {}
    this.made += 1
    this.#timers.set(timer, { at: this.ms + ms, fn })
    return { cancel: () => this.#timers.delete(timer) }
  }

  pass(ms: number): void {
    this.ms += ms
    for (const [timer, { at, fn }] of [...this.#timers]) {
      if (at > this.ms) continue
      this.#timers.delete(timer)
      fn()
    }
  }

  get running(): number {
    return this.#timers.size
  }
}

t.test('each waits its time, and all of them have one timer', async t => {
  const clock = new TimerClock()
  const timeouts = new HelloTimeouts(clock, 1_000)
  const expired: string[] = []
  const waiting = (name: string) => ({ expire: () => expired.push(name) })
  const [a, b, c] = [waiting('a'), waiting('b'), waiting('c')]
  timeouts.add(a)
  clock.pass(400)
  timeouts.add(b)
  clock.pass(400)
  timeouts.add(c)
  t.equal(clock.running, 1)
  timeouts.delete(b)
  clock.pass(199)
  t.same(expired, [])
  clock.pass(1)
  t.same(expired, ['a'])
  clock.pass(799)
  t.same(expired, ['a'], 'who has sent its hello is left alone')
  clock.pass(1)
  t.same(expired, ['a', 'c'])
  t.equal(clock.running, 0, 'nobody waits')
  timeouts.add(b)
  clock.pass(1_000)
  t.same(expired, ['a', 'c', 'b'])
})

t.test('a thousand hellos in time cost one timer', async t => {
  const clock = new TimerClock()
  const timeouts = new HelloTimeouts(clock, 1_000)
  for (let n = 0; n < 1_000; n += 1) {
    const one = { expire: () => t.fail('it was in time') }
    timeouts.add(one)
    clock.pass(1)
    timeouts.delete(one)
  }
  clock.pass(2_000)
  t.ok(clock.made <= 2, `${clock.made} timers`)
  t.equal(clock.running, 0)
})

t.test('one that adds another as it expires does not end it', async t => {
  const clock = new TimerClock()
  const timeouts = new HelloTimeouts(clock, 1_000)
  const expired: string[] = []
  const second = { expire: () => expired.push('second') }
  timeouts.add({
    expire: () => {
      expired.push('first')
      timeouts.add(second)
    },
  })
  clock.pass(1_000)
  t.same(expired, ['first'])
  clock.pass(1_000)
  t.same(expired, ['first', 'second'])
})
