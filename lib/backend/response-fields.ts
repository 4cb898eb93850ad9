/**
 * Fields as undici has them, flat: name, value, name, value. Values are bytes, not text: latin1
 * keeps each as it came. Blanks around a value are no part of it (RFC 9110 5.5), and malformed in
 * HTTP/2; the parser leaves those at the end. A control byte becomes a space, as RFC 9110 5.5
 * wants it of the worst of them, but not in a coding: what the parser took for an unknown one
 * must not look as if it were known.
 */
export function fieldsOf(raw: unknown): string[] {
  if (!Array.isArray(raw)) return []
  const fields = raw.map((part: Buffer | string) =>
    typeof part === 'string' ? part : part.toString('latin1'),
  )
  for (let i = 1; i < fields.length; i += 2) {
    const value = fields[i] as string
    fields[i] = withoutBlanks(
      control.test(value) && !isCoding(fields[i - 1] as string)
        ? value.replace(controls, ' ')
        : value,
    )
  }
  return fields
}

function withoutBlanks(value: string): string {
  let from = 0
  let to = value.length
  while (from < to && isBlank(value.charCodeAt(from))) from++
  while (from < to && isBlank(value.charCodeAt(to - 1))) to--
  return to - from === value.length ? value : value.slice(from, to)
}

function isCoding(name: string): boolean {
  return name.toLowerCase() === 'transfer-encoding'
}

const control = /[^\t\x20-\x7e\x80-\xff]/
const controls = /[^\t\x20-\x7e\x80-\xff]/g

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09
}
