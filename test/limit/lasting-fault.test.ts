import t from 'tap'
import { LastingFault } from '../../lib/limit/lasting-fault.ts'
import { memoryLog } from '../fixtures/farm/stream-member.ts'
import { ManualClock } from '../fixtures/manual-clock.ts'

const second = 1_000
const hour = 3_600 * second

function prepare() {
  const clock = new ManualClock()
  const log = memoryLog()
  const fields = { tier: 'x' }
  const fault = new LastingFault({ clock, log, fields, text: 'broken', over: 'well' })
  /** Fails once a second for so long. */
  const failFor = (ms: number, reason = 'no answer') => {
    for (let passed = 0; passed < ms; passed += second) {
      fault.failed(reason)
      clock.advance(second)
    }
  }
  return { clock, log, fault, failFor }
}

t.test(
  'what fails once a second for an hour is a dozen lines, with how long',
  async t => {
    const { log, failFor } = prepare()
    failFor(hour)
    const lines = log.said('broken')
    t.equal(lines.length, log.lines.length)
    t.ok(lines.length <= 12, `${lines.length} lines`)
    t.strictSame(lines[0]?.fields, { tier: 'x', reason: 'no answer' })
    const told = { tier: 'x', reason: 'no answer', lasts: '10 s', heldBack: 9 }
    t.strictSame(lines[1]?.fields, told)
    const spoken = lines.length + lines.reduce((n, { fields }) => n + held(fields), 0)
    t.ok(spoken <= 3_600 && spoken > 2_800, 'and says how often')
    failFor(24 * hour)
    t.ok(log.lines.length <= 12 + 6 * 24, 'for a day one in ten minutes')
  },
)

t.test('another cause is told at once, the same two in turn are not', async t => {
  const { log, failFor } = prepare()
  for (let i = 0; i < 5; i += 1) {
    failFor(second, 'refused')
    failFor(second, 'wrong password')
  }
  const reasons = log.lines.map(({ fields }) => Reflect.get(fields, 'reason'))
  t.strictSame(reasons, ['refused', 'wrong password'])
})

t.test('causes that are worded anew each time are no flood', async t => {
  const { log, failFor } = prepare()
  for (let i = 0; i < 3_600; i += 1) failFor(second, `${i} s behind`)
  t.ok(log.lines.length <= 20, `${log.lines.length} lines`)
})

t.test('that it is well again is told once, when it stays so', async t => {
  const { clock, log, fault, failFor } = prepare()
  fault.worked()
  clock.advance(hour)
  t.equal(log.lines.length, 0, 'it was never broken')
  failFor(90 * second)
  fault.worked()
  clock.advance(second)
  fault.failed('no answer')
  clock.advance(hour)
  t.equal(log.said('well').length, 0, 'it was not')
  fault.worked()
  fault.worked()
  clock.advance(hour)
  const [line] = log.said('well')
  t.match(line, { level: 'info', fields: { tier: 'x', lasted: '1 h 1 min' } })
  t.equal(log.said('well').length, 1)
  const before = log.said('broken').length
  fault.failed('no answer')
  t.equal(log.said('broken').length, before + 1, 'the next time is one of its own')
})

t.test('what is well for a moment again and again is one fault', async t => {
  const { clock, log, fault } = prepare()
  for (let passed = 0; passed < hour; passed += 10 * second) {
    fault.failed('no answer')
    clock.advance(2 * second)
    fault.worked()
    clock.advance(8 * second)
  }
  t.ok(log.lines.length <= 20, `${log.lines.length} lines`)
})

t.test('nothing is told by who has closed it', async t => {
  const { clock, log, fault, failFor } = prepare()
  failFor(second)
  fault.worked()
  fault.close()
  fault.failed('no answer')
  fault.worked()
  t.equal(clock.waiting, 0)
  t.equal(log.lines.length, 1)
})

function held(fields: object): number {
  return Number(Reflect.get(fields, 'heldBack') ?? 0)
}
