/** A metric with all its samples, as Prometheus has them. */
export type Family = Figures | Histogram

interface Named {
  /** In snake case; of counters it ends in `_total`. Durations are in seconds, sizes in bytes. */
  readonly name: string
  readonly help: string
}

export interface Figures extends Named {
  /** A counter only grows, from the start of the process on. */
  readonly type: 'counter' | 'gauge'
  readonly samples: readonly Sample[]
}

export interface Sample {
  readonly labels?: Labels | undefined
  readonly value: number
}

export interface Histogram extends Named {
  readonly type: 'histogram'
  readonly samples: readonly HistogramSample[]
}

export interface HistogramSample {
  readonly labels?: Labels | undefined
  /** Upper bounds, ascending, without the last one, which is infinite. */
  readonly bounds: readonly number[]
  /** How many fell between the bound before and this one; one more than there are bounds. */
  readonly counts: readonly number[]
  readonly sum: number
}

export type Labels = { readonly [name: string]: string }

export function counter(name: string, help: string, samples: readonly Sample[]): Figures {
  return { name, help, type: 'counter', samples }
}

export function gauge(name: string, help: string, samples: readonly Sample[]): Figures {
  return { name, help, type: 'gauge', samples }
}

/** A sample for each name of a mapping, with the name as label. */
export function samplesOf(
  label: string,
  values: { readonly [name: string]: number },
): Sample[] {
  return Object.entries(values).map(([name, value]) => ({
    labels: { [label]: name },
    value,
  }))
}
