/**
 * In which order a walk goes through the groups of buckets, 2^level of them: the group after
 * this one, undefined at the end. Counts with the bits in reverse, highest first (as SCAN of
 * Redis does, by Pieter Noordhuis). When the index doubles meanwhile, group g becomes g and
 * g + 2^level, neighbours in this order: what was seen stays behind the walk, what was not stays
 * before it, and the walk does not run after buckets that are made while it goes.
 */
export function groupAfter(group: number, level: number): number | undefined {
  const next = reverse(reverse(group | -(1 << level)) + 1)
  return next === 0 ? undefined : next
}

/** The 32 bits of a number, last one first. */
function reverse(bits: number): number {
  let x = bits
  x = ((x >>> 1) & 0x55555555) | ((x & 0x55555555) << 1)
  x = ((x >>> 2) & 0x33333333) | ((x & 0x33333333) << 2)
  x = ((x >>> 4) & 0x0f0f0f0f) | ((x & 0x0f0f0f0f) << 4)
  x = ((x >>> 8) & 0x00ff00ff) | ((x & 0x00ff00ff) << 8)
  return (x >>> 16) | (x << 16)
}
