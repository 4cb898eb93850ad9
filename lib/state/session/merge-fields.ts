/** What JSON says of an object. */
export type Fields = Record<string, unknown>

export interface Merged {
  readonly merged: Fields
  /** A field that both changed, each to something else. */
  readonly clash: string | undefined
}

/**
 * Puts two changes of one object together, field by field at its top. The `cookie` of a session is
 * `mine`: it is the end of the session, and each use puts it off.
 */
export function mergeFields(base: Fields, mine: Fields, theirs: Fields): Merged {
  // `__proto__` is a field as any other.
  const merged = Object.create(null) as Fields
  let clash: string | undefined
  const names = new Set([...Object.keys(theirs), ...Object.keys(mine)])
  for (const name of names) {
    const [was, own, other] = [base, mine, theirs].map(fields => textOf(fields, name))
    const isOwn = name === 'cookie' || own !== was
    if (isOwn && name !== 'cookie' && other !== was && other !== own) clash ??= name
    const from = isOwn ? mine : theirs
    if (Object.hasOwn(from, name)) merged[name] = from[name]
  }
  return { merged, clash }
}

/** Whether anything but the cookie is another than it was. */
export function isChanged(base: Fields, mine: Fields): boolean {
  const names = new Set([...Object.keys(base), ...Object.keys(mine)])
  names.delete('cookie')
  return [...names].some(name => textOf(base, name) !== textOf(mine, name))
}

function textOf(fields: Fields, name: string): string | undefined {
  return Object.hasOwn(fields, name) ? JSON.stringify(fields[name]) : undefined
}
