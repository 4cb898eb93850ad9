import { element, escapeText, shortNumber, ticks } from './svg.ts'

export interface Bar {
  readonly label: string
  readonly value: number
  /** Quartiles, drawn as a whisker. */
  readonly q1: number
  readonly q3: number
  /** Number of its colour. */
  readonly colour: number
}

export interface BarGroup {
  readonly label: string
  readonly bars: readonly Bar[]
}

const width = 760
const left = 196
const right = 70
const barHeight = 16
const barGap = 3
const groupHeading = 20
const groupGap = 12
const axisHeight = 34

/** Lying bars in groups, from zero; a whisker spans the middle half of the rounds. */
export function barChart(
  title: string,
  unit: string,
  groups: readonly BarGroup[],
): string {
  const most = Math.max(...groups.flatMap(({ bars }) => bars.map(({ q3 }) => q3)))
  const marks = ticks(most)
  const end = marks.at(-1) as number
  const x = (value: number): number => left + (value / end) * (width - left - right)
  const parts: string[] = []
  let y = 6
  for (const group of groups) {
    parts.push(
      element('text', { x: 0, y: y + 12, class: 'group' }, escapeText(group.label)),
    )
    y += groupHeading
    for (const bar of group.bars) {
      parts.push(drawBar(bar, y, x))
      y += barHeight + barGap
    }
    y += groupGap
  }
  const bottom = y - groupGap + 8
  const grid = marks.map(mark =>
    element('line', { x1: x(mark), x2: x(mark), y1: 0, y2: bottom, class: 'grid' }),
  )
  const numbers = marks.map(mark =>
    element(
      'text',
      { x: x(mark), y: bottom + 15, class: 'tick', 'text-anchor': 'middle' },
      shortNumber(mark),
    ),
  )
  const height = bottom + axisHeight
  const unitText = element(
    'text',
    { x: width, y: bottom + 15, class: 'tick', 'text-anchor': 'end' },
    escapeText(unit),
  )
  return element(
    'figure',
    {},
    element('figcaption', {}, escapeText(title)),
    element(
      'svg',
      { viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': title },
      ...grid,
      ...parts,
      ...numbers,
      unitText,
    ),
  )
}

function drawBar(bar: Bar, y: number, x: (value: number) => number): string {
  const middle = y + barHeight / 2
  const whisker = element('path', {
    d:
      `M${x(bar.q1).toFixed(1)} ${middle}H${x(bar.q3).toFixed(1)}` +
      `m0 -3v6M${x(bar.q1).toFixed(1)} ${middle - 3}v6`,
    class: 'whisker',
  })
  return [
    element(
      'text',
      { x: left - 8, y: middle + 4, class: 'bar-label', 'text-anchor': 'end' },
      escapeText(bar.label),
    ),
    element('rect', {
      x: left,
      y,
      width: Math.max(1, x(bar.value) - left),
      height: barHeight,
      class: `fill${bar.colour}`,
    }),
    bar.q3 > bar.q1 ? whisker : '',
    element(
      'text',
      { x: x(Math.max(bar.value, bar.q3)) + 6, y: middle + 4, class: 'value' },
      shortNumber(bar.value),
    ),
  ].join('')
}
