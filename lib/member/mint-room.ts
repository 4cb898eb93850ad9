import type { Clock } from '../clock.ts'
import { usualShare } from '../limit/shares.ts'
import type { RecordTable } from '../table/record-table.ts'

/** How long the number of sharers is believed, in milliseconds. */
const countInterval = 1_000
/** The table needs some room of its own, to make room with: it evicts before it is full. */
const usable = 7 / 8
/** A table that its clients fill by themselves has nothing free; then each may have so much. */
const leastShare = 1 / 32

/**
 * Bytes of sessions that one client network may hold through one process. Each has all sessions
 * in its table and sees only those that are made here, so what is free is divided by the number
 * of processes that share it. The network may hold so many times what is free that, alone, it ends at four
 * fifths of what the others leave.
 */
export function mintRoom(
  table: RecordTable,
  sharers: () => number,
  clock: Clock,
): () => number {
  const factor = usualShare / (1 - usualShare)
  let count = 1
  let countedAt = Number.NEGATIVE_INFINITY
  return () => {
    const now = clock.monotonic()
    if (now - countedAt >= countInterval) {
      countedAt = now
      count = Math.max(1, sharers())
    }
    const { bytes, maxBytes } = table.memory()
    return Math.max(factor * (usable * maxBytes - bytes), leastShare * maxBytes) / count
  }
}
