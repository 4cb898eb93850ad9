/** `1 d 2 h`, `7 min 12 s`, `45 s`: the two largest units. */
export function durationText(ms: number): string {
  let left = Math.round(ms / 1_000)
  const parts: string[] = []
  for (const [unit, length] of units) {
    const count = Math.floor(left / length)
    left -= count * length
    if (count > 0) parts.push(`${count} ${unit}`)
  }
  return parts.slice(0, 2).join(' ') || '0 s'
}

const units = [
  ['d', 86_400],
  ['h', 3_600],
  ['min', 60],
  ['s', 1],
] as const
