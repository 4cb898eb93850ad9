export type Attributes = Readonly<Record<string, string | number | undefined>>

/** An element of SVG or HTML. Children are markup already; text goes through `escapeText`. */
export function element(
  name: string,
  attributes: Attributes,
  ...children: readonly string[]
): string {
  const written = Object.entries(attributes)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => ` ${key}="${escapeText(round(value as string | number))}"`)
    .join('')
  return `<${name}${written}>${children.join('')}</${name}>`
}

export function escapeText(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
}

/** Round values for the marks of an axis from 0 to at least `most`: 1, 2 or 5 times 10^n apart. */
export function ticks(most: number, wished = 5): number[] {
  if (!(most > 0)) return [0, 1]
  const rough = most / wished
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = [1, 2, 5, 10].map(n => n * power).find(n => n >= rough) as number
  const count = Math.ceil(most / step - 1e-9)
  return Array.from({ length: count + 1 }, (_, index) =>
    Number((index * step).toPrecision(12)),
  )
}

/** Few digits, as many as the size of the number calls for. */
export function shortNumber(value: number): string {
  if (value === 0) return '0'
  const size = Math.abs(value)
  if (size >= 1e9) return value.toExponential(1)
  if (size >= 1e5) return `${(value / 1000).toFixed(0)}k`
  if (size >= 100) return value.toFixed(0)
  if (size >= 10) return value.toFixed(1)
  return value.toFixed(2)
}

/** Hundredths of a pixel are enough, and keep the file small. */
function round(value: string | number): string {
  return typeof value === 'number' ? String(Number(value.toFixed(2))) : value
}
