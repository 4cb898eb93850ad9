import type { Benchmark, BenchmarkContext, BenchmarkOutcome } from './benchmark.ts'
import type { Cell, Effort } from './handshake/cell.ts'
import { judgeChains, judgeGoals } from './handshake/goals.ts'
import { measureCells } from './handshake/measure-cells.ts'
import { cellTable, ratioTable, resumedToFull } from './handshake/measurement.ts'
import { outcomeOf } from './handshake/outcome.ts'
import { allScenarios, type Scenario, scenarios } from './handshake/scenario.ts'
import { systems } from './systems/systems.ts'

/** Every system that can do it, in every scenario: the comparison. */
export const resumption: Benchmark = {
  name: 'resumption',
  about: 'handfast beside Node alone, Redis, nginx, HAProxy, Apache and h2o',
  run: context =>
    runScenarios(
      'resumption',
      context.quick ? quickScenarios() : allScenarios(),
      context,
    ),
}

/** A benchmark of some scenarios by name. */
export function scenarioBenchmark(name: string, wanted: readonly Scenario[]): Benchmark {
  return {
    name,
    about: 'scenarios by name',
    run: context => runScenarios(name, wanted, context),
  }
}

function quickScenarios(): Scenario[] {
  return [
    ...scenarios({ visits: ['resume-same'], modes: ['1.2-id'], identities: ['p256'] }),
    ...scenarios({
      visits: ['full', 'resume-cross'],
      modes: ['1.2-id', '1.2-ticket', '1.3-stateful', '1.3-stateless'],
      identities: ['p256'],
    }),
    ...scenarios({
      visits: ['chain'],
      modes: ['1.3-stateful', '1.3-stateless'],
      identities: ['p256'],
    }),
  ]
}

async function runScenarios(
  name: string,
  wanted: readonly Scenario[],
  context: BenchmarkContext,
): Promise<BenchmarkOutcome> {
  const effort: Effort = context.quick
    ? { rounds: 5, single: 24, loaded: 96, concurrency: 8, warmUp: 60 }
    : { rounds: 11, single: 60, loaded: 400, concurrency: 8, warmUp: 1500 }
  const rtts = context.rtts.length === 0 ? [0] : context.rtts
  const cells = wanted.flatMap(scenario =>
    systems
      .filter(({ modes }) => modes.includes(scenario.mode))
      // In a quick run the floor alone is asked this: what it does best.
      .filter(
        ({ alone }) =>
          !context.quick ||
          scenario.visit !== 'resume-same' ||
          wanted.length === 1 ||
          alone,
      )
      .flatMap(system =>
        rtts.map((rtt): Cell => ({ scenario, system, members: context.members, rtt })),
      ),
  )
  const measured = await measureCells(cells, effort, context)
  const comparisons = resumedToFull(measured.results)
  const goals = judgeGoals(measured.results)
  const result = outcomeOf(name, measured, {
    comparisons: [...comparisons, ...goals.map(({ comparison }) => comparison)],
    goals: [...goals.map(({ goal }) => goal), ...judgeChains(measured.results)],
  })
  return {
    result,
    tables: [
      cellTable(
        `Systems: ${context.members} proxies each, ${effort.rounds} rounds`,
        result.measurements,
      ),
      ratioTable('Resumed, as a part of full on the same system', comparisons),
    ],
  }
}
