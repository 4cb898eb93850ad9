import type { Benchmark } from './benchmark.ts'
import type { Cell, Effort } from './handshake/cell.ts'
import { judgeGrowth } from './handshake/goals.ts'
import { measureCells } from './handshake/measure-cells.ts'
import { cellTable } from './handshake/measurement.ts'
import { outcomeOf } from './handshake/outcome.ts'
import { scenarios } from './handshake/scenario.ts'
import { handfast, handfastStateful, nodeTickets } from './systems/node-systems.ts'
import type { Mode, System } from './systems/system.ts'

/** What each further proxy adds to a handshake: nothing where its session is in the ticket. */
export const farmSize: Benchmark = {
  name: 'farm-size',
  about: 'server CPU of all members per handshake as the farm grows',
  async run(context) {
    const effort: Effort = context.quick
      ? { rounds: 3, single: 8, loaded: 96, concurrency: 8, warmUp: 40 }
      : // A large farm divides its rounds by more members: each must be compiled before.
        { rounds: 9, single: 40, loaded: 400, concurrency: 8, warmUp: 1500 }
    // Five hosts hold every session each; six and more share them out.
    const sizes = context.quick ? [1, 3, 6] : [1, 2, 3, 5, 6, 8]
    const wanted = scenarios({
      visits: ['full', 'resume-cross'],
      modes: ['1.2-id', '1.3-stateless', '1.3-stateful'],
      identities: ['p256'],
    })
    const cells = wanted.flatMap(scenario =>
      sizes.flatMap(members =>
        systemsFor[scenario.mode].map(
          (system): Cell => ({ scenario, system, members, rtt: 0 }),
        ),
      ),
    )
    const measured = await measureCells(cells, effort, context)
    const result = outcomeOf('farm-size', measured, {
      goals: judgeGrowth(measured.results),
    })
    return {
      result,
      tables: [cellTable(`Farm size: ${effort.rounds} rounds`, result.measurements)],
    }
  },
}

/** Where nothing is sent for a handshake, plain Node tells what more processes cost by themselves. */
const systemsFor: Readonly<Record<Mode, readonly System[]>> = {
  '1.2-id': [handfast],
  '1.2-ticket': [],
  '1.3-stateless': [handfast, nodeTickets],
  '1.3-stateful': [handfastStateful],
}
