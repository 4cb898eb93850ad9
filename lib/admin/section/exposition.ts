import type { Family, HistogramSample, Labels } from './family.ts'

export const contentType = 'text/plain; version=0.0.4; charset=utf-8'

/** The text format 0.0.4 of Prometheus. */
export function textOf(families: readonly Family[]): string {
  return families.map(familyText).join('\n')
}

function familyText(family: Family): string {
  const { name, type, help } = family
  const lines =
    family.type === 'histogram'
      ? family.samples.flatMap(sample => histogramLines(name, sample))
      : family.samples.map(({ labels, value }) => line(name, labels, value))
  return `# HELP ${name} ${escaped(help)}\n# TYPE ${name} ${type}\n${lines.join('')}`
}

function histogramLines(name: string, sample: HistogramSample): string[] {
  const { labels, bounds, counts, sum } = sample
  let count = 0
  const buckets = counts.map((more, index) => {
    count += more
    const le = index < bounds.length ? String(bounds[index]) : '+Inf'
    return line(`${name}_bucket`, { ...labels, le }, count)
  })
  return [
    ...buckets,
    line(`${name}_sum`, labels, sum),
    line(`${name}_count`, labels, count),
  ]
}

function line(name: string, labels: Labels = {}, value: number): string {
  const told = Object.entries(labels).map(
    ([label, text]) => `${label}="${escaped(text).replaceAll('"', '\\"')}"`,
  )
  return `${name}${told.length === 0 ? '' : `{${told.join(',')}}`} ${numberText(value)}\n`
}

function numberText(value: number): string {
  if (Number.isFinite(value)) return String(value)
  if (Number.isNaN(value)) return 'NaN'
  return value > 0 ? '+Inf' : '-Inf'
}

function escaped(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')
}
