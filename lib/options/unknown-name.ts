/**
 * What to say of a name that is none of the known ones: the one that was meant, where one is
 * near enough to be sure, else all of them.
 */
export function unknownName(name: string, known: readonly string[]): string {
  const near = nearestName(name, known)
  return near === undefined
    ? `expected one of ${known.join(', ')}`
    : `did you mean ${near}?`
}

/** The known name that differs least, in any case and with or without hyphens. */
export function nearestName(name: string, known: readonly string[]): string | undefined {
  const wanted = plain(name)
  const ranked = known
    .map(one => ({ one, distance: distanceOf(wanted, plain(one)) }))
    .filter(({ one, distance }) => distance <= mostMistakes(wanted, plain(one)))
    .sort((a, b) => a.distance - b.distance)
  return ranked[0]?.one
}

/** A third of what was written, and whatever lacks where one is the beginning of the other. */
function mostMistakes(wanted: string, known: string): number {
  const shorter = Math.min(wanted.length, known.length)
  const begins = wanted.startsWith(known) || known.startsWith(wanted)
  if (begins && shorter >= 3) return Number.POSITIVE_INFINITY
  return Math.floor(Math.max(wanted.length, known.length) / 3)
}

function plain(name: string): string {
  return name
    .toLowerCase()
    .replaceAll(/[-_.\s]/g, '')
    .slice(0, 64)
}

/** Letters to put in, take out, change, or swap with the next one (optimal string alignment). */
function distanceOf(a: string, b: string): number {
  let [before, last]: [number[], number[]] = [[], [...Array(b.length + 1).keys()]]
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i]
    for (let j = 1; j <= b.length; j += 1) {
      const at = (line: readonly number[], index: number) => line[index] ?? 0
      const same = a[i - 1] === b[j - 1]
      const swapped = a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      row[j] = Math.min(
        at(last, j) + 1,
        at(row, j - 1) + 1,
        at(last, j - 1) + (same ? 0 : 1),
        i > 1 && j > 1 && swapped ? at(before, j - 2) + 1 : Number.POSITIVE_INFINITY,
      )
    }
    ;[before, last] = [last, row]
  }
  return last[b.length] ?? 0
}
