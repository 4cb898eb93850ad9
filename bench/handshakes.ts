import type { Benchmark } from './benchmark.ts'
import type { Cell, Effort } from './handshake/cell.ts'
import { judgeGoals } from './handshake/goals.ts'
import { measureCells } from './handshake/measure-cells.ts'
import { cellTable, ratioTable, resumedToFull } from './handshake/measurement.ts'
import { outcomeOf } from './handshake/outcome.ts'
import { scenarios } from './handshake/scenario.ts'
import { handfast } from './systems/node-systems.ts'

/** Full against resumed on handfast alone: what resumption brings on this machine. */
export const handshakes: Benchmark = {
  name: 'handshakes',
  about: 'full against resumed handshakes, same proxy and other proxy',
  async run(context) {
    const effort: Effort = context.quick
      ? { rounds: 5, single: 40, loaded: 160, concurrency: 8, warmUp: 100 }
      : { rounds: 11, single: 150, loaded: 600, concurrency: 8, warmUp: 400 }
    const wanted = scenarios({
      visits: ['full', 'resume-same', 'resume-cross'],
      modes: ['1.2-id', '1.3-stateless'],
      identities: ['p256', 'rsa2048'],
    })
    const rtts = context.rtts.length === 0 ? [0] : context.rtts
    const cells = rtts.flatMap(rtt =>
      wanted.map(
        (scenario): Cell => ({
          scenario,
          system: handfast,
          members: context.members,
          rtt,
        }),
      ),
    )
    const measured = await measureCells(cells, effort, context)
    const comparisons = resumedToFull(measured.results)
    const result = outcomeOf('handshakes', measured, {
      comparisons,
      goals: judgeGoals(measured.results).map(({ goal }) => goal),
    })
    return {
      result,
      tables: [
        cellTable(
          `Handshakes: ${context.members} proxies, ${effort.rounds} rounds`,
          result.measurements,
        ),
        ratioTable('Resumed, as a part of full', comparisons),
      ],
    }
  },
}
