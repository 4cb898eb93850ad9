import { summarize } from '../harness/statistics.ts'
import type { TextTable } from '../harness/text-table.ts'
import type { Measurement } from '../report/report.ts'

/** One round of one proxy. */
export interface Sample {
  /** Microseconds of processor time per request; undefined where the machine can't tell. */
  readonly cpu: number | undefined
  /** Part of the processor time that the garbage collector took; undefined where unknown. */
  readonly gc: number | undefined
  /** Requests per second. */
  readonly rate: number
  /** Milliseconds. */
  readonly p50: number
  readonly p99: number
}

/** All rounds of one proxy at one job. */
export interface Row {
  readonly job: string
  readonly system: string
  readonly samples: readonly Sample[]
}

const units = { cpu: 'µs', gc: 'share', rate: '1/s', p50: 'ms', p99: 'ms' } as const

/** Undefined when one round had none. */
export function seriesOf(
  { samples }: Row,
  measure: keyof Sample,
): readonly number[] | undefined {
  const values = samples.map(sample => sample[measure])
  return values.includes(undefined) ? undefined : (values as number[])
}

export function measurementOf(row: Row): Measurement {
  const measures = Object.entries(units).flatMap(([name, unit]) => {
    const values = seriesOf(row, name as keyof Sample)
    return values === undefined ? [] : [[name, { ...summarize(values), unit }] as const]
  })
  return {
    scenario: row.job,
    system: row.system,
    parameters: {},
    measures: Object.fromEntries(measures),
  }
}

export function proxyTable(title: string, rows: readonly Row[]): TextTable {
  return {
    title,
    columns: ['job', 'proxy', 'CPU µs', '±', 'per s', 'p50 ms', 'p99'],
    rows: rows.map(row => {
      const { measures } = measurementOf(row)
      const { cpu } = measures
      const text = (name: string, digits: number) =>
        measures[name]?.median.toFixed(digits) ?? '–'
      const range = cpu === undefined ? '–' : (cpu.q3 - cpu.q1).toFixed(1)
      return [
        row.job,
        row.system,
        text('cpu', 1),
        range,
        text('rate', 0),
        text('p50', 2),
        text('p99', 2),
      ]
    }),
  }
}
