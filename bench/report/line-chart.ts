import { element, escapeText, shortNumber, ticks } from './svg.ts'

export interface Line {
  readonly label: string
  readonly points: readonly (readonly [x: number, y: number])[]
  readonly colour: number
  readonly dashed?: boolean
  /** Marks each point, for lines of a few. */
  readonly dots?: boolean
}

export interface Axis {
  readonly label: string
  /** Where the axis ends; the greatest value when left out. */
  readonly most?: number
}

const width = 760
const height = 300
const left = 56
const right = 16
const top = 10
const bottom = 42
const legendLine = 18

/** Lines over two axes that start at zero, with a legend below. */
export function lineChart(
  title: string,
  xAxis: Axis,
  yAxis: Axis,
  lines: readonly Line[],
): string {
  const all = lines.flatMap(({ points }) => points)
  const xMarks = ticks(xAxis.most ?? Math.max(...all.map(([x]) => x)), 8)
  const yMarks = ticks(yAxis.most ?? Math.max(...all.map(([, y]) => y)))
  const xEnd = xMarks.at(-1) as number
  const yEnd = yMarks.at(-1) as number
  const x = (value: number): number => left + (value / xEnd) * (width - left - right)
  const y = (value: number): number =>
    height - bottom - (value / yEnd) * (height - top - bottom)
  const columns = 2
  const legendHeight = Math.ceil(lines.length / columns) * legendLine + 6
  return element(
    'figure',
    {},
    element('figcaption', {}, escapeText(title)),
    element(
      'svg',
      {
        viewBox: `0 0 ${width} ${height + legendHeight}`,
        role: 'img',
        'aria-label': title,
      },
      ...xMarks.map(mark => gridLine(x(mark), x(mark), top, height - bottom)),
      ...yMarks.map(mark => gridLine(left, width - right, y(mark), y(mark))),
      ...xMarks.map(mark => label(x(mark), height - bottom + 16, 'middle', mark)),
      ...yMarks.map(mark => label(left - 8, y(mark) + 4, 'end', mark)),
      element(
        'text',
        { x: (left + width) / 2, y: height - 6, class: 'tick', 'text-anchor': 'middle' },
        escapeText(xAxis.label),
      ),
      element(
        'text',
        {
          x: 12,
          y: (height - bottom) / 2,
          class: 'tick',
          'text-anchor': 'middle',
          transform: `rotate(-90 12 ${(height - bottom) / 2})`,
        },
        escapeText(yAxis.label),
      ),
      ...lines.map(line => drawLine(line, xEnd, x, y)),
      ...lines.map((line, index) =>
        legend(
          line,
          left + (index % columns) * ((width - left) / columns),
          height + Math.floor(index / columns) * legendLine + 10,
        ),
      ),
    ),
  )
}

function drawLine(
  { points, colour, dashed, dots }: Line,
  xEnd: number,
  x: (value: number) => number,
  y: (value: number) => number,
): string {
  const shown = points.filter(([at]) => at <= xEnd)
  const path = shown
    .map(
      ([px, py], index) =>
        `${index === 0 ? 'M' : 'L'}${x(px).toFixed(1)} ${y(py).toFixed(1)}`,
    )
    .join('')
  const marks =
    dots === true
      ? shown.map(([px, py]) =>
          element('circle', { cx: x(px), cy: y(py), r: 3.5, class: `fill${colour}` }),
        )
      : []
  return [
    element('path', {
      d: path,
      class: `line stroke${colour}`,
      'stroke-dasharray': dashed === true ? '6 4' : undefined,
    }),
    ...marks,
  ].join('')
}

function legend({ label: text, colour, dashed }: Line, x: number, y: number): string {
  return [
    element('line', {
      x1: x,
      x2: x + 22,
      y1: y,
      y2: y,
      class: `line stroke${colour}`,
      'stroke-dasharray': dashed === true ? '6 4' : undefined,
    }),
    element('text', { x: x + 30, y: y + 4, class: 'value' }, escapeText(text)),
  ].join('')
}

function gridLine(x1: number, x2: number, y1: number, y2: number): string {
  return element('line', { x1, x2, y1, y2, class: 'grid' })
}

function label(x: number, y: number, anchor: string, value: number): string {
  return element(
    'text',
    { x, y, class: 'tick', 'text-anchor': anchor },
    shortNumber(value),
  )
}
