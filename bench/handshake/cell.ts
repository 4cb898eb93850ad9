import { setTimeout as sleep } from 'node:timers/promises'
import type { Identities } from '../certificates/identity.ts'
import { quantile } from '../harness/statistics.ts'
import type { RunningSystem, System } from '../systems/system.ts'
import type { Clients } from './clients.ts'
import type { Job, JobKind, JobResult } from './job.ts'
import { type Scenario, scenarioName } from './scenario.ts'

/** One scenario on one system: what a row of the table says. */
export interface Cell {
  readonly scenario: Scenario
  readonly system: System
  readonly members: number
  /** Added round-trip time in milliseconds. */
  readonly rtt: number
}

export interface Effort {
  readonly rounds: number
  /** Handshakes one after another per round, for the latency. */
  readonly single: number
  /** Handshakes side by side per round, for the rate and the processor time. */
  readonly loaded: number
  readonly concurrency: number
  /**
   * Handshakes per member and scenario before anything counts: Node compiles what runs often,
   * and a server that was asked often runs on better code than one that was not.
   */
  readonly warmUp: number
}

/** One round of one cell. Times in milliseconds, all per handshake but `rate`. */
export interface Round {
  readonly latencies: readonly number[]
  readonly firstBytes: readonly number[]
  readonly serverCpu: number | undefined
  readonly clientCpu: number
  /** Handshakes per second. */
  readonly rate: number
  readonly bytesSent: number
  readonly bytesReceived: number
  readonly done: number
  readonly resumed: number
  readonly serverResumed: number | undefined
  readonly failed: number
  readonly firstFailure: string | undefined
}

/** What is still done for a handshake after its connection has closed: replication, mostly. */
const settleTime = 30
/**
 * A turn begins with so many handshakes, as a part of those whose cost counts: since the last
 * turn of the system others have had the caches of the processor.
 */
const openingPart = 0.25

const jobKinds: Readonly<Record<Scenario['visit'], JobKind>> = {
  full: 'full',
  'resume-same': 'same',
  'resume-cross': 'cross',
  chain: 'chain',
}

/** Ports are the relay's when there is a round-trip time. */
export async function measureRound(
  cell: Cell,
  effort: Effort,
  at: {
    readonly running: RunningSystem
    readonly ports: readonly number[]
    readonly identities: Identities
    readonly clients: Clients
    readonly seed: number
  },
): Promise<Round> {
  const { clients, running, identities } = at
  const kind = jobKinds[cell.scenario.visit]
  const common = {
    version: cell.scenario.mode.startsWith('1.2') ? '1.2' : '1.3',
    trust: {
      ca: identities.ca,
      ...(identities.client && {
        key: identities.client.key,
        cert: identities.client.cert,
      }),
    },
    ports: at.ports,
    seed: at.seed,
  } satisfies Partial<Job>
  const { concurrency } = effort
  // Each client process keeps what it minted: what it needs is rounded up as its job will be.
  const offers = kind === 'same' || kind === 'cross'
  let single: JobResult | undefined
  if (effort.single > 0) {
    // A relay makes waiting, not work: side by side then costs nothing and saves an hour.
    const lanes = cell.rtt > 0 ? 8 * clients.count : clients.count
    if (offers) await mint(effort.single)
    single = await clients.run({
      ...common,
      kind,
      count: effort.single,
      concurrency: lanes,
    })
  }
  const opening = cell.rtt > 0 ? 0 : Math.ceil(effort.loaded * openingPart)
  const shareOf = (count: number): number => Math.ceil(count / clients.count)
  const all = clients.count * (shareOf(opening) + shareOf(effort.loaded))
  if (offers && all > 0) await mint(all)
  const opened =
    opening === 0
      ? undefined
      : await clients.run({ ...common, kind, count: opening, concurrency })
  await sleep(settleTime)
  const before = await running.cpu()
  const loaded = await clients.run({ ...common, kind, count: effort.loaded, concurrency })
  if (loaded.handshakes.length === 0) {
    throw new Error(`${cell.system.name} does not serve: ${loaded.firstFailure}`)
  }
  await sleep(settleTime)
  const after = await running.cpu()
  return roundOf(single, opened, loaded, before, after)

  async function mint(count: number): Promise<void> {
    const minted = await clients.run({ ...common, kind: 'mint', count, concurrency })
    if (minted.failed > 0) {
      throw new Error(
        `${cell.system.name} could not mint for ${scenarioName(cell.scenario)}: ` +
          `${minted.firstFailure}`,
      )
    }
  }
}

function roundOf(
  single: JobResult | undefined,
  opened: JobResult | undefined,
  loaded: JobResult,
  before: number | undefined,
  after: number | undefined,
): Round {
  const phases = [single, opened, loaded].filter(phase => phase !== undefined)
  const sum = (of: (phase: JobResult) => number): number =>
    phases.reduce((total, phase) => total + of(phase), 0)
  const count = loaded.handshakes.length
  const says = phases.every(({ serverResumed }) => serverResumed !== undefined)
  const slow = single ?? loaded
  return {
    latencies: slow.handshakes,
    firstBytes: slow.firstBytes,
    serverCpu:
      before === undefined || after === undefined ? undefined : (after - before) / count,
    clientCpu: loaded.cpu / count,
    rate: (count / loaded.wall) * 1000,
    bytesSent: loaded.bytesSent / count,
    bytesReceived: loaded.bytesReceived / count,
    done: sum(({ handshakes }) => handshakes.length),
    resumed: sum(({ resumed }) => resumed),
    serverResumed: says ? sum(({ serverResumed }) => serverResumed ?? 0) : undefined,
    failed: sum(({ failed }) => failed),
    firstFailure: phases.find(({ firstFailure }) => firstFailure !== undefined)
      ?.firstFailure,
  }
}

/** Percentiles 0 to 100 over all rounds, to the microsecond. */
export function percentilesOf(rounds: readonly Round[]): number[] {
  const all = rounds.flatMap(({ latencies }) => latencies)
  return Array.from({ length: 101 }, (_, percent) =>
    Number(quantile(all, percent / 100).toFixed(3)),
  )
}
