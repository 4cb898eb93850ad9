const none: readonly string[] = []

/** All values of a field among flat ones, in order. `name` in lower case. */
export function valuesOf(fields: readonly string[], name: string): readonly string[] {
  let values: string[] | undefined
  for (let i = 0; i < fields.length; i += 2) {
    const candidate = fields[i] as string
    if (candidate.length !== name.length || candidate.toLowerCase() !== name) continue
    values ??= []
    values.push(fields[i + 1] as string)
  }
  return values ?? none
}

/** The value of a field that is there once; undefined for none and for more. */
export function onlyValue(fields: readonly string[], name: string): string | undefined {
  const values = valuesOf(fields, name)
  return values.length === 1 ? values[0] : undefined
}
