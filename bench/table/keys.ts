export const keyLength = 32

/** Writes the i-th key: 32 bytes that look random and never repeat. */
export function writeKey(key: Buffer, i: number): void {
  let x = Math.imul(i + 1, 0x9e3779b1)
  for (let at = 4; at < keyLength; at += 4) {
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    key.writeInt32LE(x, at)
  }
  key.writeInt32LE(i, 0)
}

/**
 * Ranks from 0 up to `count` by Zipf's law (Gray and others, "Quickly generating billion-record
 * synthetic databases", 1994; the one that YCSB uses).
 */
export function zipf(count: number, skew: number, random: () => number): () => number {
  let sum = 0
  for (let i = 1; i <= count; i += 1) sum += 1 / i ** skew
  const alpha = 1 / (1 - skew)
  const second = 1 + 0.5 ** skew
  const eta = (1 - (2 / count) ** (1 - skew)) / (1 - second / sum)
  return () => {
    const u = random()
    if (u * sum < 1) return 0
    if (u * sum < second) return 1
    return Math.min(count - 1, Math.floor(count * (eta * u - eta + 1) ** alpha))
  }
}
