/** Numbers that have the same name are added, at whatever depth; of all else the first stays. */
export function sum<Figures extends object>(all: readonly Figures[]): Figures {
  const total: { [name: string]: unknown } = {}
  for (const name of new Set(all.flatMap(figures => Object.keys(figures)))) {
    const values = all
      .map(figures => (figures as Record<string, unknown>)[name])
      .filter(value => value !== undefined)
    total[name] = sumOf(values)
  }
  return total as Figures
}

function sumOf(values: readonly unknown[]): unknown {
  const [first] = values
  if (typeof first === 'number')
    return values.reduce<number>((total, value) => total + Number(value), 0)
  if (Array.isArray(first))
    return typeof first[0] === 'number' ? sumColumns(values as number[][]) : first
  return typeof first === 'object' && first !== null ? sum(values as object[]) : first
}

/** Lists of numbers of one length, the first with the first and so on. */
function sumColumns([first = [], ...others]: readonly (readonly number[])[]): number[] {
  return first.map((value, index) =>
    others.reduce((total, list) => total + (list[index] ?? 0), value),
  )
}

/** Those of several lists that have the same key are one, with the sum of their numbers. */
export function sumBy<Item extends object>(
  lists: readonly (readonly Item[])[],
  keyOf: (item: Item) => string,
): Item[] {
  const byKey = new Map<string, Item[]>()
  for (const item of lists.flat()) {
    const key = keyOf(item)
    const same = byKey.get(key)
    if (same === undefined) byKey.set(key, [item])
    else same.push(item)
  }
  return [...byKey.values()].map(sum)
}
