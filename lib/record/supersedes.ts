import type { CacheRecord } from './record.ts'
import { compareVersions } from './version.ts'

/** What of a record decides who wins. */
export type Contender = Pick<CacheRecord, 'version' | 'tombstone' | 'value'>

/**
 * The rule of last-write-wins: version, then tombstone, then the larger bytes. The last two
 * make members agree even where two writes bear the same version.
 */
export function supersedes(record: Contender, old: Contender): boolean {
  const order = compareVersions(record.version, old.version)
  if (order !== 0) return order > 0
  if (record.tombstone !== old.tombstone) return record.tombstone
  return Buffer.compare(record.value, old.value) > 0
}
