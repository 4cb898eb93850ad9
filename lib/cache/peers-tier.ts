import type { Transport } from '../farm/transport.ts'
import type { Tier } from './tier.ts'

/** The other members of the farm as a tier. The transport's replica must be the cache above it. */
export function peersTier(transport: Transport): Tier {
  return {
    source: 'peer',
    get: (table, key, budget) => transport.fetch(table, key, budget),
    put: (record, level, budget) => transport.publish(record, level, budget),
    watch: () => transport.start(),
    absent: () => transport.absent(),
    isCurrent: () => transport.isCurrent(),
    close: () => transport.close(),
  }
}
