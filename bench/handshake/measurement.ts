import {
  noisySpread,
  pairedRatio,
  quantile,
  spread,
  summarize,
} from '../harness/statistics.ts'
import type { TextTable } from '../harness/text-table.ts'
import type { Comparison, Measure, Measurement } from '../report/report.ts'
import { percentilesOf, type Round } from './cell.ts'
import type { CellResult } from './measure-cells.ts'
import { scenarioName } from './scenario.ts'

type RoundValue = (round: Round) => number | undefined

/** What a round says, with its unit; `cpu` is processor time per handshake. */
const measures: Readonly<Record<string, { unit: string; of: RoundValue }>> = {
  serverCpu: { unit: 'ms', of: ({ serverCpu }) => serverCpu },
  clientCpu: { unit: 'ms', of: ({ clientCpu }) => clientCpu },
  rate: { unit: '1/s', of: ({ rate }) => rate },
  serverBusy: {
    unit: 'cores',
    of: ({ serverCpu, rate }) =>
      serverCpu === undefined ? undefined : (serverCpu * rate) / 1000,
  },
  p50: { unit: 'ms', of: ({ latencies }) => quantile(latencies, 0.5) },
  p90: { unit: 'ms', of: ({ latencies }) => quantile(latencies, 0.9) },
  p99: { unit: 'ms', of: ({ latencies }) => quantile(latencies, 0.99) },
  firstByte: { unit: 'ms', of: ({ firstBytes }) => quantile(firstBytes, 0.5) },
  bytesReceived: { unit: 'B', of: ({ bytesReceived }) => bytesReceived },
  bytesSent: { unit: 'B', of: ({ bytesSent }) => bytesSent },
  resumed: { unit: 'share', of: ({ resumed, done }) => resumed / done },
}

export function measurementOf({ cell, rounds }: CellResult): Measurement {
  const entries: [string, Measure][] = []
  for (const [name, { unit, of }] of Object.entries(measures)) {
    const values = rounds
      .map(of)
      .filter(value => value !== undefined && Number.isFinite(value)) as number[]
    if (values.length === rounds.length)
      entries.push([name, { ...summarize(values), unit }])
  }
  return {
    scenario: scenarioName(cell.scenario),
    system: cell.system.name,
    parameters: { members: cell.members, rtt: cell.rtt },
    measures: Object.fromEntries(entries),
    percentiles: percentilesOf(rounds),
  }
}

/** Undefined when the measure is missing on either side. */
export function compare(
  measure: string,
  of: CellResult | undefined,
  to: CellResult | undefined,
): Comparison | undefined {
  const value = measures[measure]?.of
  if (of === undefined || to === undefined || value === undefined) return undefined
  const values = of.rounds.map(value)
  const base = to.rounds.map(value)
  if (values.includes(undefined) || base.includes(undefined)) return undefined
  return {
    measure,
    of: labelOf(of),
    to: labelOf(to),
    ...pairedRatio(values as number[], base as number[]),
  }
}

function labelOf({ cell }: CellResult): string {
  const rtt = cell.rtt === 0 ? '' : ` at ${cell.rtt} ms`
  return `${scenarioName(cell.scenario)} ${cell.system.name}${rtt}`
}

/** What must be resumed and was not, what must not be and was, and what went wrong. */
export function failuresOf(results: readonly CellResult[]): string[] {
  return results.flatMap(result => {
    const { cell, rounds } = result
    if (!cell.system.mustResume) return []
    return findingsOf(result, rounds, cell.scenario.visit === 'full' ? 'none' : 'all')
  })
}

/** The same of systems whose failures are not ours. */
export function oddities(results: readonly CellResult[]): string[] {
  return results.flatMap(result => {
    const { cell, rounds } = result
    if (cell.system.mustResume || cell.scenario.visit === 'chain') return []
    return findingsOf(result, rounds, cell.scenario.visit === 'full' ? 'none' : 'all')
  })
}

function findingsOf(
  result: CellResult,
  rounds: readonly Round[],
  expected: 'none' | 'all',
): string[] {
  const sum = (of: (round: Round) => number): number =>
    rounds.reduce((total, round) => total + of(round), 0)
  const done = sum(round => round.done)
  const resumed = sum(round => round.resumed)
  const disagreed = sum(round =>
    Math.abs((round.serverResumed ?? round.resumed) - round.resumed),
  )
  const failed = sum(round => round.failed)
  const label = labelOf(result)
  const findings: string[] = []
  if (failed > 0) {
    const first = rounds.find(({ firstFailure }) => firstFailure !== undefined)
    findings.push(`${label}: ${failed} connections failed: ${first?.firstFailure}`)
  }
  if (resumed !== (expected === 'all' ? done : 0)) {
    findings.push(`${label}: ${resumed} of ${done} handshakes were resumed`)
  }
  if (disagreed > 0) {
    findings.push(`${label}: client and server disagree on ${disagreed} handshakes`)
  }
  return findings
}

/** Rows whose processor time varies too much between rounds to be trusted. */
export function noisyRows(measurements: readonly Measurement[]): string[] {
  return measurements
    .filter(({ measures: { serverCpu } }) => serverCpu && spread(serverCpu) > noisySpread)
    .map(({ scenario, system }) => `${scenario} ${system}`)
}

export function cellTable(title: string, rows: readonly Measurement[]): TextTable {
  const withRtt = rows.some(({ parameters }) => parameters['rtt'] !== 0)
  const withMembers =
    new Set(rows.map(({ parameters }) => parameters['members'])).size > 1
  return {
    title,
    columns: [
      'scenario',
      'system',
      ...(withMembers ? ['members'] : []),
      ...(withRtt ? ['RTT ms'] : []),
      'resumed',
      'server CPU ms',
      '±',
      'client CPU ms',
      'per s',
      'busy',
      'p50 ms',
      'p90',
      'p99',
      'first byte',
      'B down',
      'B up',
    ],
    rows: rows.map(row => {
      const { measures: m, percentiles = [] } = row
      return [
        row.scenario,
        row.system,
        ...(withMembers ? [String(row.parameters['members'])] : []),
        ...(withRtt ? [String(row.parameters['rtt'])] : []),
        m['resumed'] ? `${(m['resumed'].median * 100).toFixed(0)} %` : '–',
        fixed(m['serverCpu'], 3),
        m['serverCpu'] ? `${(spread(m['serverCpu']) * 100).toFixed(0)} %` : '–',
        fixed(m['clientCpu'], 3),
        fixed(m['rate'], 0),
        fixed(m['serverBusy'], 2),
        (percentiles[50] ?? 0).toFixed(2),
        (percentiles[90] ?? 0).toFixed(2),
        (percentiles[99] ?? 0).toFixed(2),
        fixed(m['firstByte'], 2),
        fixed(m['bytesReceived'], 0),
        fixed(m['bytesSent'], 0),
      ]
    }),
  }
}

/** What resumption leaves of each cost of a full handshake on the same system. */
export function resumedToFull(results: readonly CellResult[]): Comparison[] {
  return results.flatMap(result => {
    const { scenario, system, rtt, members } = result.cell
    if (scenario.visit === 'full') return []
    const full = scenarioName({ ...scenario, visit: 'full' })
    const base = results.find(
      ({ cell }) =>
        cell.system === system &&
        cell.rtt === rtt &&
        cell.members === members &&
        scenarioName(cell.scenario) === full,
    )
    return comparedMeasures
      .map(measure => compare(measure, result, base))
      .filter(comparison => comparison !== undefined)
  })
}

const comparedMeasures = ['serverCpu', 'clientCpu', 'p50', 'bytesReceived']

/** One row for each pair, one column for each measure. */
export function ratioTable(title: string, comparisons: readonly Comparison[]): TextTable {
  const rows = new Map<string, Map<string, Comparison>>()
  for (const comparison of comparisons) {
    const row = rows.get(comparison.of) ?? new Map<string, Comparison>()
    rows.set(comparison.of, row.set(comparison.measure, comparison))
  }
  return {
    title,
    columns: ['of', 'server CPU', 'client CPU', 'p50', 'bytes down'],
    rows: [...rows].map(([of, row]) => [
      of,
      ...comparedMeasures.map(measure => ratioText(row.get(measure))),
    ]),
  }
}

/** `0.50 (0.45–0.56)`; `=` for no difference, `?` for too noisy to tell. */
function ratioText(comparison: Comparison | undefined): string {
  if (comparison === undefined) return '–'
  const { ratio, low, high, verdict } = comparison
  const mark = verdict === 'same' ? ' =' : verdict === 'noisy' ? ' ?' : ''
  const exact = low === high
  return `${ratio.toFixed(2)}${exact ? '' : ` (${low.toFixed(2)}–${high.toFixed(2)})`}${mark}`
}

function fixed(measure: Measure | undefined, digits: number): string {
  return measure === undefined ? '–' : measure.median.toFixed(digits)
}
