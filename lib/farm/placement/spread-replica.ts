import type { CacheRecord } from '../../record/record.ts'
import type { Replica } from '../transport.ts'

/** A replica of which a walk shows only what every member is to have. */
export function spreadReplica(
  replica: Replica,
  isForAll: (record: CacheRecord) => boolean,
): Replica {
  return {
    apply: record => replica.apply(record),
    read: (table, key) => replica.read(table, key),
    scan: (...args) => {
      const { records, next } = replica.scan(...args)
      return { records: records.filter(isForAll), next }
    },
    isSettled: () => replica.isSettled?.() !== false,
  }
}
