import { type Bar, type BarGroup, barChart } from './bar-chart.ts'
import { type Line, lineChart } from './line-chart.ts'
import type { BenchmarkResult, Measurement } from './report.ts'

/** The plots that a benchmark's figures make; none for one whose table says it all. */
export function plotsOf({ name, measurements }: BenchmarkResult): string[] {
  if (measurements.length === 0) return []
  switch (name) {
    case 'handshakes':
      return [...fullAgainstResumed(measurements), ...distributions(measurements)]
    case 'resumption':
      return [...bySystem(measurements), ...distributions(ofSystem(measurements))]
    case 'latency':
      return byRoundTrip(measurements)
    case 'farm-size':
      return [growth(measurements)]
    case 'scale':
      return [
        ...byProxies(measurements.filter(({ scenario }) => scenario !== 'load')),
        ...byRate(measurements.filter(({ scenario }) => scenario === 'load')),
      ]
    default:
      return []
  }
}

const visitColours: Readonly<Record<string, number>> = {
  full: 0,
  'resume-same': 1,
  'resume-cross': 2,
  chain: 3,
}

/** `resume-cross-1.3-p256-stateful` in its parts. */
interface Parts {
  readonly visit: string
  readonly version: string
  readonly identity: string
  readonly kind: string
}

function partsOf(scenario: string): Parts {
  const match = /^(.*)-(1\.[23])-(.*)-(\w+)$/.exec(scenario)
  const [, visit = scenario, version = '', identity = '', kind = ''] = match ?? []
  return { visit, version, identity, kind }
}

function fullAgainstResumed(measurements: readonly Measurement[]): string[] {
  return [
    ['serverCpu', 'Server CPU per handshake, all members together', 'ms'],
    ['clientCpu', 'Client CPU per handshake', 'ms'],
    ['bytesReceived', 'TLS bytes from server to client', 'bytes'],
  ].map(([measure = '', title = '', unit = '']) => {
    const groups = groupBy(measurements, row => {
      const { version, identity } = partsOf(row.scenario)
      return `TLS ${version} ${identity}`
    })
    return barChart(
      title,
      unit,
      groups.map(([label, rows]) => ({
        label,
        bars: rows.flatMap(row => bar(row, measure, partsOf(row.scenario).visit)),
      })),
    )
  })
}

function bySystem(measurements: readonly Measurement[]): string[] {
  const plots: string[] = []
  for (const [identity, rows] of groupBy(
    measurements,
    row => partsOf(row.scenario).identity,
  )) {
    for (const [measure, title, unit] of [
      ['serverCpu', 'Server CPU per handshake by system, store included', 'ms'],
      ['bytesReceived', 'TLS bytes from server to client by system', 'bytes'],
    ] as const) {
      const shown = rows.filter(
        row => row.system === 'node-own' || partsOf(row.scenario).visit !== 'resume-same',
      )
      const groups = groupBy(shown, row => {
        const { version, kind } = partsOf(row.scenario)
        return `TLS ${version} ${kind} · ${row.system}`
      })
      const charted = groups.map(
        ([label, cells]): BarGroup => ({
          label: label.split(' · ')[0] ?? label,
          bars: cells.flatMap(row =>
            bar(row, measure, `${row.system} ${partsOf(row.scenario).visit}`),
          ),
        }),
      )
      plots.push(barChart(`${title} (${identity})`, unit, merged(charted)))
    }
  }
  return plots
}

/** Groups of one label, one after another, become one. */
function merged(groups: readonly BarGroup[]): BarGroup[] {
  const byLabel = new Map<string, Bar[]>()
  for (const { label, bars } of groups) {
    byLabel.set(label, [...(byLabel.get(label) ?? []), ...bars])
  }
  return [...byLabel].map(([label, bars]) => ({ label, bars }))
}

/** How many of the handshakes were done after so many milliseconds, P-256 only. */
function distributions(measurements: readonly Measurement[]): string[] {
  const rows = measurements.filter(
    ({ scenario, percentiles }) =>
      percentiles !== undefined && partsOf(scenario).identity === 'p256',
  )
  if (rows.length === 0) return []
  const most = Math.max(...rows.map(({ percentiles }) => percentiles?.[95] ?? 0))
  const lines = rows.map((row): Line => {
    const { visit, version } = partsOf(row.scenario)
    return {
      label: `TLS ${version} ${visit}`,
      colour: visitColours[visit] ?? 4,
      dashed: version === '1.2',
      points: (row.percentiles ?? []).map((at, percent) => [at, percent] as const),
    }
  })
  return [
    lineChart(
      'Latency of a handshake, one at a time: share that was done after so long (P-256)',
      { label: 'milliseconds from the TCP connect', most },
      { label: 'percent', most: 100 },
      lines,
    ),
  ]
}

function ofSystem(measurements: readonly Measurement[]): Measurement[] {
  return measurements.filter(({ system }) => system === 'handfast')
}

function byRoundTrip(measurements: readonly Measurement[]): string[] {
  const groups = groupBy(measurements, row => {
    const { version } = partsOf(row.scenario)
    return `TLS ${version}, RTT ${row.parameters['rtt']} ms`
  })
  return [
    ['p50', 'Time to the end of the handshake, median'],
    ['firstByte', 'Time to the first byte of the response, median'],
  ].map(([measure = '', title = '']) =>
    barChart(
      title,
      'ms',
      groups.map(([label, rows]) => ({
        label,
        bars: rows.flatMap(row => bar(row, measure, partsOf(row.scenario).visit)),
      })),
    ),
  )
}

function growth(measurements: readonly Measurement[]): string {
  const lines = groupBy(measurements, ({ scenario }) => scenario).map(
    ([scenario, rows]): Line => {
      const { visit, version } = partsOf(scenario)
      return {
        label: `TLS ${version} ${visit}`,
        colour: visitColours[visit] ?? 4,
        dashed: version === '1.2',
        dots: true,
        points: rows.map(
          ({ parameters, measures }) =>
            [Number(parameters['members']), measures['serverCpu']?.median ?? 0] as const,
        ),
      }
    },
  )
  return lineChart(
    'Server CPU per handshake, all members together, as the farm grows',
    { label: 'members' },
    { label: 'ms' },
    lines,
  )
}

function bar(row: Measurement, measure: string, label: string): Bar[] {
  const found = row.measures[measure]
  if (found === undefined) return []
  const { median: value, q1, q3 } = found
  const colour = visitColours[partsOf(row.scenario).visit] ?? 4
  return [{ label, value, q1, q3, colour }]
}

function groupBy<T>(items: readonly T[], keyOf: (item: T) => string): [string, T[]][] {
  const groups = new Map<string, T[]>()
  for (const item of items) {
    const key = keyOf(item)
    groups.set(key, [...(groups.get(key) ?? []), item])
  }
  return [...groups]
}

/** What a stored session costs farms of so many proxies; a line for each topology. */
function byProxies(measurements: readonly Measurement[]): string[] {
  const topologies = groupBy(measurements, ({ scenario }) => scenario).filter(
    ([, rows]) => rows.length > 1,
  )
  return [
    ['packets', 'Packets of a stored session, all hosts together', 'packets', 12],
    ['cpu', 'CPU of a stored session, all hosts together', 'us', undefined],
    ['copies', 'Hosts that hold a session', 'hosts', 12],
  ].map(([measure, title, label, most]) =>
    lineChart(
      `${title}`,
      { label: 'proxies' },
      { label: `${label}`, ...(most !== undefined && { most: Number(most) }) },
      topologies.map(
        ([topology, rows], at): Line => ({
          label: topology,
          colour: at + 1,
          dots: true,
          points: pointsOf(rows, 'proxies', `${measure}`).filter(
            ([, y]) => most === undefined || y <= Number(most),
          ),
        }),
      ),
    ),
  )
}

/** What new sessions cost at so many a second in the whole farm; a line for each farm. */
function byRate(measurements: readonly Measurement[]): string[] {
  const stored = measurements.filter(
    ({ parameters: { resumption, repositories } }) =>
      resumption === 'stateful' && (repositories === 0 || repositories === 3),
  )
  const farms = groupBy(stored, ({ parameters: { proxies, topology } }) =>
    [`${proxies} proxies`, topology].join(', '),
  )
  const sizes = [...new Set(stored.map(({ parameters: { proxies } }) => proxies))]
  return [
    ['packets', 'Packets of a stored session, all hosts together', 'packets'],
    ['traffic', 'What a host sends and receives for sessions', 'kB/s'],
  ].map(([measure = '', title = '', label = '']) =>
    lineChart(
      title,
      { label: 'new sessions a second in the whole farm' },
      { label },
      farms.map(
        ([name, rows]): Line => ({
          label: name,
          colour: sizes.indexOf(rows[0]?.parameters['proxies'] ?? 0) + 1,
          dashed: rows[0]?.parameters['topology'] === 'tiered',
          dots: true,
          points: pointsOf(rows, 'rate', measure),
        }),
      ),
    ),
  )
}

function pointsOf(
  rows: readonly Measurement[],
  parameter: string,
  measure: string,
): (readonly [number, number])[] {
  return rows.map(({ parameters, measures }) => [
    Number(parameters[parameter]),
    measures[measure]?.median ?? 0,
  ])
}
