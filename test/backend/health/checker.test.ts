import t from 'tap'
import { CheckAnswer } from '../../../lib/backend/health/check-answer.ts'
import { resolveCheck } from '../../../lib/backend/health/check-options.ts'
import { Checker } from '../../../lib/backend/health/checker.ts'
import type {
  HealthBoard,
  HealthReport,
} from '../../../lib/backend/health/health-board.ts'
import type { Clock } from '../../../lib/clock.ts'
import { seededRandom, testSeed } from '../../fixtures/random.ts'

const seed = testSeed()
t.comment(`SEED=${seed}`)

const options = resolveCheck({ path: '/health', interval: 1_000, rise: 2, fall: 3 })

/** Hosts of a farm that check one backend, each with what it would see. */
class World {
  now = 0
  readonly #due: { at: number; fn: () => void }[] = []
  readonly #listeners = new Map<string, (report: HealthReport) => void>()
  readonly checks: Record<string, number> = {}
  readonly verdicts: Record<string, boolean[]> = {}
  readonly #checkers = new Map<string, Checker>()
  readonly random = seededRandom(seed)
  readonly clock: Clock = {
    now: () => this.now,
    monotonic: () => this.now,
    after: (ms, fn) => {
      const entry = { at: this.now + ms, fn }
      this.#due.push(entry)
      return {
        cancel: () => {
          const index = this.#due.indexOf(entry)
          if (index >= 0) this.#due.splice(index, 1)
        },
      }
    },
  }

  add(host: string, process: string, fault: () => string | undefined): void {
    const name = `${host} ${process}`
    const board: HealthBoard = {
      self: { host, process },
      publish: (_check, up) => {
        for (const [other, listener] of this.#listeners) {
          if (other !== name) listener({ up, host, process })
        }
      },
      watch: (_check, listener) => {
        this.#listeners.set(name, listener)
        return () => this.#listeners.delete(name)
      },
    }
    this.checks[name] = 0
    this.verdicts[name] = []
    const checker = new Checker({
      options,
      name: 'b',
      ask: done => {
        this.checks[name] = (this.checks[name] ?? 0) + 1
        this.clock.after(5, () => done(fault()))
      },
      board,
      clock: this.clock,
      random: this.random,
      onVerdict: up => this.verdicts[name]?.push(up),
    })
    this.#checkers.set(name, checker)
    checker.start()
  }

  doubt(name: string): void {
    this.#checkers.get(name)?.doubt()
  }

  close(name: string): void {
    this.#checkers.get(name)?.close()
  }

  pass(ms: number): void {
    const end = this.now + ms
    for (;;) {
      this.#due.sort((a, b) => a.at - b.at)
      const [next] = this.#due
      if (next === undefined || next.at > end) break
      this.#due.shift()
      this.now = next.at
      next.fn()
    }
    this.now = end
  }
}

t.test('one failed check is none, several are, and so on the way back', t => {
  const world = new World()
  const answers = [0, 1, 0, 1, 1, 0, 1, 1, 1, 0, 1, 0, 0, 0]
  world.add('h', 'p', () => (answers.shift() === 1 ? 'status 500' : undefined))
  world.pass(30_000)
  t.strictSame(world.verdicts['h p'], [true, false, true])
  t.ok(answers.length === 0)
  const before = world.checks['h p']
  world.close('h p')
  world.pass(60_000)
  t.equal(world.checks['h p'], before, 'closed is closed')
  t.end()
})

t.test('of each host one process checks, and of a farm two hosts; all know', t => {
  const world = new World()
  let fault: string | undefined
  const hosts = ['a', 'b', 'c', 'd', 'e', 'f']
  for (const host of hosts) {
    for (const process of ['1', '2', '3']) world.add(host, process, () => fault)
  }
  world.pass(10_000)
  const settled = { ...world.checks }
  world.pass(20_000)
  const checking = Object.keys(settled).filter(name => {
    return (world.checks[name] as number) - (settled[name] as number) > 5
  })
  t.equal(checking.length, 2, checking.join())
  t.equal(new Set(checking.map(name => name.split(' ')[0])).size, 2)
  fault = 'timeout'
  world.pass(6_000)
  for (const name in world.verdicts) {
    t.strictSame(world.verdicts[name], [true, false], name)
  }
  fault = undefined
  world.pass(6_000)
  for (const name in world.verdicts) t.equal(world.verdicts[name]?.at(-1), true, name)

  for (const name of checking) world.close(name)
  world.pass(6_000)
  const after = { ...world.checks }
  world.pass(10_000)
  const now = Object.keys(after).filter(name => {
    return (world.checks[name] as number) - (after[name] as number) > 3
  })
  t.equal(now.length, 2, 'others take over from those that are gone')
  t.end()
})

t.test('a host that can not reach a backend does not take it from the others', t => {
  const world = new World()
  let cut = false
  world.add('a', '1', () => (cut ? 'ECONNREFUSED' : undefined))
  world.add('b', '1', () => undefined)
  world.add('c', '1', () => undefined)
  world.pass(10_000)
  cut = true
  world.pass(30_000)
  t.equal(world.verdicts['b 1']?.at(-1), true)
  t.equal(world.verdicts['c 1']?.at(-1), true)
  t.notOk(world.verdicts['b 1']?.includes(false))
  // It may not even look, where two others do.
  cut = false
  world.pass(10_000)
  t.equal(world.verdicts['a 1']?.at(-1), true)
  t.end()
})

t.test(
  'a backend that was away for less than it takes to find it down is found well',
  t => {
    const world = new World()
    let fault: string | undefined
    world.add('h', 'p', () => fault)
    world.pass(5_000)
    fault = 'ECONNREFUSED'
    world.doubt('h p')
    world.pass(1_200)
    t.strictSame(world.verdicts['h p'], [true], 'not often enough to be down')
    fault = undefined
    world.pass(1_500)
    t.strictSame(world.verdicts['h p'], [true, true], 'once')
    world.pass(10_000)
    t.strictSame(world.verdicts['h p'], [true, true])
    t.end()
  },
)

t.test('what a check has found that began before a request failed is not believed', t => {
  const world = new World()
  const found: (() => string | undefined)[] = []
  world.add('h', 'p', () => found.shift()?.())
  const untilAsked = () => {
    const asked = world.checks['h p']
    while (world.checks['h p'] === asked) world.pass(1)
  }
  world.pass(5_000)
  // Each is asked 5 ms before it is answered: none is under way then.
  untilAsked()
  world.pass(5)
  found.push(
    () => undefined,
    () => 'ECONNREFUSED',
  )
  untilAsked()
  world.doubt('h p')
  world.pass(5)
  t.equal(found.length, 1)
  t.strictSame(world.verdicts['h p'], [true])
  world.pass(3_000)
  t.equal(found.length, 0)
  t.strictSame(world.verdicts['h p'], [true, true])
  t.end()
})

t.test(
  'who leaves the checks to others looks when a request of its own has failed',
  t => {
    const world = new World()
    for (const process of ['1', '2']) world.add('h', process, () => undefined)
    world.pass(10_000)
    const before = world.checks['h 2']
    world.pass(10_000)
    t.equal(world.checks['h 2'], before)
    world.doubt('h 2')
    world.pass(1_100)
    t.equal(world.checks['h 2'], (before as number) + 1)
    t.equal(world.verdicts['h 2']?.length, 2)
    t.equal(world.verdicts['h 1']?.length, 1, 'others are not told what they know')
    t.end()
  },
)

t.test('what an answer must be', t => {
  const of = (more: object) => new CheckAnswer(resolveCheck({ path: '/', ...more }))
  t.equal(of({}).faultOf(204, ''), undefined)
  t.equal(of({}).faultOf(301, ''), 'status 301')
  t.equal(of({ status: 401 }).faultOf(401, ''), undefined)
  t.equal(of({ contains: 'all well' }).faultOf(200, 'it is all well'), undefined)
  t.equal(of({ contains: 'all well' }).faultOf(200, 'it is not'), 'body')
  t.equal(of({ matches: '^[a-z]+ (ok|fine)$' }).faultOf(200, 'db ok'), undefined)
  t.equal(of({ matches: '^[a-z]+ (ok|fine)$' }).faultOf(200, 'db down'), 'body')
  const slow = of({ matches: '^(a+)+$' })
  t.equal(slow.faultOf(200, `${'a'.repeat(60)}!`), 'body', 'a pattern that never ends')
  t.equal(slow.faultOf(200, 'aaa'), undefined)
  t.end()
})

t.test('options that make no sense are refused by name', t => {
  for (const [name, value] of Object.entries({
    path: 'health',
    method: 'get it',
    host: 'a\r\nb',
    matches: '(',
    status: 100,
    interval: 1,
  })) {
    const message = new RegExp(`health\\.check\\.${name}`)
    t.throws(() => resolveCheck({ path: '/', [name]: value }), { message }, name)
  }
  t.end()
})
