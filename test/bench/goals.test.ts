import t from 'tap'
import type { Round } from '../../bench/handshake/cell.ts'
import { judgeChains, judgeGoals, judgeGrowth } from '../../bench/handshake/goals.ts'
import type { CellResult } from '../../bench/handshake/measure-cells.ts'
import type { VisitKind } from '../../bench/handshake/scenario.ts'
import { goalIn } from '../../bench/report/goal-line.ts'
import { handfast, nodeTickets } from '../../bench/systems/node-systems.ts'

/** Eleven rounds with these figures, one after another and again. */
function cell(visit: VisitKind, members: number, ...serverCpu: number[]): CellResult {
  return {
    cell: {
      scenario: { visit, mode: '1.3-stateless', identity: 'p256' },
      system: handfast,
      members,
      rtt: 0,
    },
    rounds: Array.from(
      { length: 11 },
      (_, i) => ({ serverCpu: serverCpu[i % serverCpu.length] }) as Round,
    ),
  }
}

t.test('the largest farm is judged by the smallest, each scenario by itself', async t => {
  const results = [
    cell('full', 8, 1.2),
    cell('full', 3, 5),
    cell('full', 2, 1),
    cell('resume-cross', 2, 1),
    cell('resume-cross', 8, 1.04),
  ]
  t.match(judgeGrowth(results), [
    {
      text: 'server CPU of full-1.3-p256-stateless with 8 members to 2',
      limit: 1.05,
      value: 1.2,
      met: false,
    },
    { text: /^server CPU of resume-cross/, value: 1.04, met: true },
  ])
  t.match(
    judgeGrowth([cell('full', 2, 1), cell('full', 8, 0.5, 2)]),
    [{ met: undefined }],
    'an interval that holds the limit tells nothing',
  )
})

t.test('a resumed TLS 1.3 handshake may cost no more than a full one', async t => {
  const judged = (resumed: number) =>
    judgeGoals([cell('full', 3, 1), cell('resume-cross', 3, resumed)]).map(
      ({ goal }) => goal,
    )
  t.match(judged(0.9), [{ text: /TLS 1.3.* to a full one/, value: 0.9, met: true }])
  t.match(judged(1.1), [{ met: false }])
  t.same(judgeGoals([cell('full', 3, 1)]), [], 'what was not measured is not judged')
})

t.test('a chain has a goal of its own: all of it resumes', async t => {
  const chain = (resumed: number): CellResult => {
    const one = cell('chain', 3, 1)
    const rounds = one.rounds.map(round => ({ ...round, done: 100, resumed }))
    return { ...one, rounds }
  }
  const text = 'chain-1.3-p256-stateless handfast: share that did not resume'
  t.match(judgeChains([chain(100)]), [{ text, limit: 0, value: 0, met: true }])
  t.match(judgeChains([chain(99)]), [{ met: false }])
  t.same(judgeChains([cell('full', 3, 1)]), [])
})

t.test('a benchmark in a process of its own tells goals in lines', async t => {
  const line = 'goal: ms for a get: while one joins: 12.50, limit 5.00: '
  const goal = { text: 'ms for a get: while one joins', value: 12.5, limit: 5 }
  t.strictSame(goalIn(`${line}missed`), { ...goal, met: false })
  t.strictSame(goalIn(`${line}met`), { ...goal, met: true })
  t.strictSame(goalIn(`${line}too noisy to tell`), { ...goal, met: undefined })
  t.equal(goalIn('400000 records of 1024 B'), undefined)
})

t.test(
  'what more processes cost plain Node is told apart from what the farm costs',
  async t => {
    const plain = (members: number, serverCpu: number): CellResult => {
      const result = cell('full', members, serverCpu)
      return { ...result, cell: { ...result.cell, system: nodeTickets } }
    }
    t.match(
      judgeGrowth([cell('full', 1, 1.1), cell('full', 6, 2.2), plain(1, 1), plain(6, 2)]),
      [
        { text: /with 6 members to 1$/, value: 2, met: false },
        { text: /to 1, each of as many processes of plain Node$/, value: 1, met: true },
      ],
    )
    t.equal(judgeGrowth([cell('full', 1, 1), cell('full', 6, 1), plain(1, 1)]).length, 1)
  },
)
