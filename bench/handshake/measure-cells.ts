import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { BenchmarkContext } from '../benchmark.ts'
import { type IdentityName, makeIdentities } from '../certificates/identity.ts'
import { seededRandom } from '../harness/random.ts'
import { startRelay } from '../relay/relay.ts'
import type { RunningSystem, System } from '../systems/system.ts'
import { type Cell, type Effort, measureRound, type Round } from './cell.ts'
import { Clients } from './clients.ts'
import { scenarioName } from './scenario.ts'
import { turnsOf } from './turns.ts'

export interface CellResult {
  readonly cell: Cell
  readonly rounds: readonly Round[]
}

export interface CellResults {
  readonly results: readonly CellResult[]
  readonly skipped: readonly string[]
}

/**
 * Measures every cell in interleaved rounds: each round visits all of them, each time in
 * another order, so that what slows the machine for a while slows all of them; see turnsOf.
 * Sets of certificates follow one another; all systems of a set run at the same time.
 */
export async function measureCells(
  cells: readonly Cell[],
  effort: Effort,
  context: BenchmarkContext,
): Promise<CellResults> {
  const { able, skipped } = sift(cells)
  context.progress.expect(able.length * (effort.rounds + 1))
  const results: CellResult[] = []
  const clients = new Clients()
  try {
    for (const identity of new Set(able.map(({ scenario }) => scenario.identity))) {
      const group = able.filter(({ scenario }) => scenario.identity === identity)
      results.push(
        ...(await measureGroup(identity, group, effort, context, clients, skipped)),
      )
    }
  } finally {
    await clients.close()
  }
  return { results, skipped }
}

/** Leaves out what is not installed and what a system can't do. */
function sift(cells: readonly Cell[]): { able: Cell[]; skipped: string[] } {
  const skipped = new Set<string>()
  const able = cells.filter(({ system, scenario }) => {
    const missing = system.missing()
    if (missing !== undefined) skipped.add(`${system.name}: ${missing}`)
    if (missing !== undefined || !system.modes.includes(scenario.mode)) return false
    const alone = scenario.visit === 'full' || scenario.visit === 'resume-same'
    return system.alone !== true || alone
  })
  return { able, skipped: [...skipped] }
}

/** A system under test, with the relays that lead to it. */
interface Bench {
  readonly running: RunningSystem
  readonly ports: ReadonlyMap<number, readonly number[]>
}

async function measureGroup(
  identity: IdentityName,
  cells: readonly Cell[],
  effort: Effort,
  context: BenchmarkContext,
  clients: Clients,
  skipped: string[],
): Promise<CellResult[]> {
  const { progress, print } = context
  const identities = makeIdentities(identity)
  const benches = new Map<string, Bench>()
  const closers: (() => Promise<void>)[] = []
  const random = seededRandom(context.seed)
  try {
    for (const { system, members } of cells) {
      const name = benchName(system, members)
      if (benches.has(name)) continue
      progress.show(`starting ${system.name} (${identity})`)
      const folder = join(context.folder, `${identity}-${name}`)
      await mkdir(folder, { recursive: true })
      let running: RunningSystem
      try {
        running = await system.start({ identities, members, folder })
      } catch (error) {
        if (system.mustResume) throw error
        skipped.push(`${system.name} (${identity}): ${(error as Error).message}`)
        continue
      }
      closers.push(() => running.close())
      if (context.showConfig) showConfig(name, identity, running, print)
      const ports = new Map<number, readonly number[]>([[0, running.ports]])
      benches.set(name, { running, ports })
      for (const rtt of new Set(cells.map(cell => cell.rtt))) {
        if (rtt === 0) continue
        const relay = await startRelay(running.ports, rtt)
        closers.push(() => relay.close())
        ports.set(rtt, relay.ports)
      }
    }
    const ready = cells.filter(cell => benches.has(benchName(cell.system, cell.members)))
    const rounds = new Map<Cell, Round[]>(ready.map(cell => [cell, []]))
    for (let round = 0; round <= effort.rounds; round++) {
      context.calibration.take()
      for (const cell of turnsOf([...rounds.keys()], random)) {
        const { running, ports } = benches.get(
          benchName(cell.system, cell.members),
        ) as Bench
        const warmUp = round === 0
        const part = warmUp ? warmUpOf(cell, effort) : effort
        progress.step(
          `${warmUp ? 'warm-up' : `round ${round}/${effort.rounds}`} ` +
            `${scenarioName(cell.scenario)} ${cell.system.name}`,
        )
        try {
          const measured = await measureRound(cell, part, {
            running,
            ports: ports.get(cell.rtt) as readonly number[],
            identities,
            clients,
            seed: Math.floor(random() * 2 ** 32),
          })
          if (!warmUp) rounds.get(cell)?.push(measured)
        } catch (error) {
          if (cell.system.mustResume) throw error
          skipped.push((error as Error).message)
          rounds.delete(cell)
        }
      }
    }
    return [...rounds].map(([cell, measured]) => ({ cell, rounds: measured }))
  } finally {
    for (const close of closers.reverse()) await close()
  }
}

function warmUpOf({ members, rtt }: Cell, effort: Effort): Effort {
  const loaded = rtt > 0 ? effort.concurrency : effort.warmUp * members
  return { ...effort, single: 0, loaded }
}

function benchName(system: System, members: number): string {
  return `${system.name}-${members}`
}

function showConfig(
  name: string,
  identity: IdentityName,
  { configs }: RunningSystem,
  print: (line: string) => void,
): void {
  for (const config of configs) {
    print(`── ${name} (${identity}): ${config.name}`)
    print(config.text.trimEnd())
  }
}
