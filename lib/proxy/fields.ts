/** Header fields as they came, flat: name, value, name, value. Order and repeats are kept. */
export type Fields = readonly string[]

/** All values of a field, in order. `name` in lower case. */
export function valuesOf(fields: Fields, name: string): string[] {
  const values: string[] = []
  for (let i = 0; i < fields.length; i += 2) {
    const candidate = fields[i] as string
    if (candidate.length === name.length && candidate.toLowerCase() === name) {
      values.push(fields[i + 1] as string)
    }
  }
  return values
}

/** The members of a comma-separated field, lower case: for tokens, not for quoted strings. */
export function tokensOf(fields: Fields, name: string): string[] {
  return valuesOf(fields, name)
    .flatMap(value => value.split(','))
    .map(token => token.trim().toLowerCase())
    .filter(token => token !== '')
}

/** The fields for which `keep` (given the name in lower case) is true. */
export function filterFields(
  fields: Fields,
  keep: (name: string, value: string) => boolean,
): string[] {
  const kept: string[] = []
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] as string
    const value = fields[i + 1] as string
    if (keep(name.toLowerCase(), value)) kept.push(name, value)
  }
  return kept
}

/** As node:http2 wants them: lower-case names, repeats as an array. */
export function toHttp2Fields(fields: Fields): Record<string, string | string[]> {
  const object: Record<string, string | string[]> = Object.create(null)
  for (let i = 0; i < fields.length; i += 2) {
    const name = (fields[i] as string).toLowerCase()
    const value = fields[i + 1] as string
    const before = object[name]
    if (before === undefined) object[name] = value
    else if (Array.isArray(before)) before.push(value)
    else object[name] = [before, value]
  }
  return object
}
