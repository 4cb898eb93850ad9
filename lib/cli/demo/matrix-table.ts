import type { Visit } from './client.ts'
import type { Matrix } from './matrix.ts'
import type { Paint } from './paint.ts'

/** The matrix as lines of text: rows minted, columns offered, and the full handshake beside. */
export function renderMatrix(matrix: Matrix, paint: Paint): string {
  const names = matrix.ports.map((port, index) => `proxy ${index + 1} :${port}`)
  const head = ['minted on', 'full handshake', ...names]
  const body = matrix.rows.map((row, index) => [
    plain(names[index] ?? ''),
    plain(figures(median(row.minted))),
    ...row.offered.map(offered => ({
      text: `${offered.resumed ? 'resumed' : 'FULL   '} ${figures(offered)}`,
      paint: offered.resumed ? paint.good : paint.bad,
    })),
  ])
  const widths = head.map((title, column) =>
    Math.max(title.length, ...body.map(row => row[column]?.text.length ?? 0)),
  )
  const line = (cells: readonly Cell[]) =>
    cells
      .map(({ text, paint }, column) => {
        const last = column === cells.length - 1
        return paint(text) + (last ? '' : ' '.repeat((widths[column] ?? 0) - text.length))
      })
      .join('   ')
  const indent = (widths[0] ?? 0) + (widths[1] ?? 0) + 6
  const title = matrix.kind.title.padEnd(indent)
  return [
    paint.strong(title) + paint.faint('offered on'),
    line(head.map(text => ({ text, paint: paint.faint }))),
    ...body.map(line),
    '',
  ].join('\n')
}

interface Cell {
  readonly text: string
  readonly paint: (text: string) => string
}

function plain(text: string): Cell {
  return { text, paint: same => same }
}

function figures({ milliseconds, bytes }: Pick<Visit, 'milliseconds' | 'bytes'>): string {
  return `${milliseconds.toFixed(1).padStart(5)} ms ${String(bytes).padStart(5)} B`
}

/** By time; its bytes come along. */
function median(visits: readonly Visit[]): Pick<Visit, 'milliseconds' | 'bytes'> {
  const sorted = [...visits].sort((a, b) => a.milliseconds - b.milliseconds)
  return sorted[Math.floor(sorted.length / 2)] ?? { milliseconds: 0, bytes: 0 }
}
