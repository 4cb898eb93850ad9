export interface TextTable {
  readonly title: string
  readonly columns: readonly string[]
  readonly rows: readonly (readonly string[])[]
}

/** Columns as wide as their widest cell; what looks like a number stands right. */
export function formatTable({ title, columns, rows }: TextTable): string {
  const widths = columns.map((name, column) =>
    Math.max(name.length, ...rows.map(row => row[column]?.length ?? 0)),
  )
  const numeric = columns.map((_, column) =>
    rows.every(row => /^[-–]?$|^[\d.,±<>×% ]|^no$/.test(row[column] ?? '')),
  )
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) => {
        const width = widths[column] ?? 0
        return numeric[column] === true ? cell.padStart(width) : cell.padEnd(width)
      })
      .join('  ')
      .trimEnd()
  const rule = widths.map(width => '─'.repeat(width)).join('  ')
  return `${[title, '', line(columns), rule, ...rows.map(line)].join('\n')}\n`
}
