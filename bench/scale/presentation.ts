import type { TextTable } from '../harness/text-table.ts'
import type { Measurement } from '../report/report.ts'
import { type FarmFigures, type LoadFigures, perProxy } from './measure-farm.ts'
import { type FarmPlan, nameOf, sessionBytes } from './scaled-farm.ts'

/** How long sessions are kept where memory is told, seconds. */
const kept = 3_600

export function costTable(farms: readonly FarmFigures[]): TextTable {
  return {
    title: `A stored session (TLS 1.2, or stateful 1.3), all hosts together, ${perProxy} a second and proxy`,
    columns: [
      ...[
        'proxies',
        'repositories',
        'topology',
        'CPU us',
        'packets',
        'bytes',
        'copies',
        'KiB a host',
      ],
      ...['found after a death %', 'asks then'],
    ],
    rows: farms.map(({ plan, cost, cpu, memory, death }) => [
      ...namesOf(plan),
      cpu.microseconds.toFixed(1),
      cost.packets.toFixed(2),
      cost.bytes.toFixed(0),
      cost.copies.toFixed(2),
      memory.toFixed(0),
      percent(death.found),
      death.asks.toFixed(2),
    ]),
  }
}

export function loadTable(farms: readonly FarmFigures[]): TextTable {
  return {
    title: 'New sessions, and clients that come back twice within a second, to any proxy',
    columns: [
      ...['proxies', 'repositories', 'topology', 'new/s', 'resumption', 'packets'],
      ...['bytes', 'kB/s a host', 'MiB a proxy', 'MiB a repository', 'waits ms'],
      ...['sealed %', 'own %', 'peer %', 'repository %', 'none %', 'asks'],
      ...['everywhere ms', 'revoked ms', 'told ms'],
    ],
    rows: farms.flatMap(({ plan, loads }) =>
      loads.map(load => {
        const { rate, stored, service, spread } = load
        const { hits, asks, wait } = service
        const { packets, bytes, traffic, proxyMiB, repositoryMiB } = ofNew(plan, load)
        return [
          ...namesOf(plan),
          `${rate}`,
          stored === 1 ? 'stateful' : 'auto',
          packets.toFixed(2),
          bytes.toFixed(0),
          traffic.toFixed(1),
          proxyMiB.toFixed(1),
          repositoryMiB === 0 ? '-' : repositoryMiB.toFixed(0),
          wait.toFixed(1),
          ...[hits.sealed, hits.own, hits.peer, hits.repository, hits.none].map(percent),
          asks.toFixed(2),
          spread.resumable.toFixed(1),
          spread.revoked.toFixed(1),
          spread.told.toFixed(1),
        ]
      }),
    ),
  }
}

function namesOf({ proxies, repositories, topology }: FarmPlan): string[] {
  return [`${proxies}`, repositories === 0 ? '-' : `${repositories}`, topology]
}

/** For each new session, stored or not; memory of a host with those of an hour. */
function ofNew(
  { proxies, repositories }: FarmPlan,
  { rate, stored, cost }: LoadFigures,
): {
  packets: number
  bytes: number
  traffic: number
  proxyMiB: number
  repositoryMiB: number
} {
  const MiB = (rate * stored * kept * sessionBytes) / 2 ** 20
  const atRepositories = cost.copies - cost.proxyCopies
  return {
    packets: cost.packets * stored,
    bytes: cost.bytes * stored,
    // What one sends another receives.
    traffic: (2 * cost.bytes * stored * rate) / (proxies + repositories) / 1_000,
    proxyMiB: (MiB * cost.proxyCopies) / proxies,
    repositoryMiB: repositories === 0 ? 0 : (MiB * atRepositories) / repositories,
  }
}

export function measurementsOf(farm: FarmFigures): Measurement[] {
  const { plan, cost, cpu, memory, death, loads } = farm
  const { proxies, repositories, topology } = plan
  return [
    {
      scenario: nameOf(plan),
      system: 'simulated',
      parameters: { proxies, repositories },
      measures: measuresOf({
        ...cost,
        cpu: cpu.microseconds,
        memory,
        found: death.found,
        asks: death.asks,
      }),
    },
    ...loads.map((load): Measurement => {
      const { rate, stored, service, spread } = load
      const { hits, ...rest } = service
      return {
        scenario: 'load',
        system: 'simulated',
        parameters: {
          proxies,
          repositories,
          topology,
          rate,
          resumption: stored === 1 ? 'stateful' : 'auto',
        },
        measures: measuresOf({ ...ofNew(plan, load), ...hits, ...rest, ...spread }),
      }
    }),
  ]
}

function measuresOf(figures: Readonly<Record<string, number>>): Measurement['measures'] {
  return Object.fromEntries(
    Object.entries(figures).map(([name, value]) => [
      name,
      { median: value, q1: value, q3: value, rounds: 1, unit: units[name] ?? '' },
    ]),
  )
}

const units: { readonly [figure: string]: string } = {
  cpu: 'us',
  bytes: 'bytes',
  memory: 'KiB',
  traffic: 'kB/s',
  proxyMiB: 'MiB',
  repositoryMiB: 'MiB',
  wait: 'ms',
  resumable: 'ms',
  revoked: 'ms',
  told: 'ms',
}

function percent(share: number): string {
  return (100 * share).toFixed(share > 0.999 && share < 1 ? 3 : 1)
}
