/** A line of a Markdown table; what is in it stays in its cell. */
export function row(...cells: readonly string[]): string {
  const plain = cells.map(cell =>
    cell
      .replace(/\s+/g, ' ')
      .replaceAll('|', '\\|')
      .replace(/(^|\s)(\*\.\w*)/g, '$1`$2`')
      .trim(),
  )
  return `| ${plain.join(' | ')} |`
}
