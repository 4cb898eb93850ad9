import t from 'tap'
import { Census, censusPatience } from '../../lib/repository/census.ts'
import { ManualClock } from '../fixtures/manual-clock.ts'

t.test('of a process that is busy counts what it said last', async t => {
  const clock = new ManualClock()
  const census = new Census<object>(clock)
  const [quick, busy] = [{}, {}]
  /** What comes of a question that these answer, when its time is over. */
  const ask = async (count: number, ...answering: object[]) => {
    const told = census.take([quick, busy], id => {
      for (const one of answering) census.answer(id, one, { of: answering.length, count })
    })
    clock.advance(censusPatience)
    return await told
  }
  t.same(await ask(1, quick), [{ of: 1, count: 1 }], 'it has said nothing yet')
  t.same(await ask(2, quick, busy), [
    { of: 2, count: 2 },
    { of: 2, count: 2 },
  ])
  t.same(await ask(3, quick), [
    { of: 1, count: 3 },
    { of: 2, count: 2 },
  ])
  t.equal(clock.waiting, 0)
})

t.test('what comes too late is what it said last', async t => {
  const clock = new ManualClock()
  const census = new Census<object>(clock)
  const one = {}
  let asked = 0
  const first = census.take([one], id => {
    asked = id
  })
  clock.advance(censusPatience)
  t.same(await first, [])
  census.answer(asked, one, { count: 1 })
  const second = census.take([one], () => {})
  clock.advance(censusPatience)
  t.same(await second, [{ count: 1 }])
  t.same(await census.take([], () => {}), [])
})
