import type { Benchmark } from './benchmark.ts'
import type { Cell, Effort } from './handshake/cell.ts'
import { measureCells } from './handshake/measure-cells.ts'
import { cellTable, ratioTable, resumedToFull } from './handshake/measurement.ts'
import { outcomeOf } from './handshake/outcome.ts'
import { scenarios } from './handshake/scenario.ts'
import { handfast } from './systems/node-systems.ts'

/** A round trip on TLS 1.2 is saved or not; on TLS 1.3 there is none to save. */
const noGoal =
  "no goal: what is saved is a round trip, and how long that takes is the network's"

const usualRtts = [0, 20, 80]

/** What a person far away waits: a delaying relay stands between clients and proxies. */
export const latency: Benchmark = {
  name: 'latency',
  about: 'time to the end of the handshake and to the first byte at 0, 20 and 80 ms',
  async run(context) {
    const effort: Effort = context.quick
      ? { rounds: 3, single: 24, loaded: 16, concurrency: 16, warmUp: 50 }
      : { rounds: 7, single: 96, loaded: 64, concurrency: 16, warmUp: 200 }
    const rtts = context.rtts.length === 0 ? usualRtts : context.rtts
    const wanted = scenarios({
      visits: ['full', 'resume-cross'],
      modes: ['1.2-id', '1.3-stateless'],
      identities: ['p256'],
    })
    const { members } = context
    const cells = wanted.flatMap(scenario =>
      rtts.map((rtt): Cell => ({ scenario, system: handfast, members, rtt })),
    )
    const measured = await measureCells(cells, effort, context)
    const comparisons = resumedToFull(measured.results)
    const result = outcomeOf('latency', measured, { comparisons })
    return {
      result: { ...result, notes: [...result.notes, noGoal] },
      tables: [
        cellTable(`Latency: ${effort.rounds} rounds`, result.measurements),
        ratioTable('Resumed, as a part of full', comparisons),
      ],
    }
  },
}
