import type { Member, Transport } from '../farm/transport.ts'
import type { Tier } from './tier.ts'

/**
 * The other members of the farm as a tier; of a process of a host, its hub. The transport's
 * replica must be the cache above it.
 */
export function peersTier(transport: Transport): Tier {
  return {
    source: 'peer',
    answers: level =>
      transport
        .members()
        .some(
          member => isThere(member) && (level !== 'repositories' || member.repository),
        ),
    get: (table, key, budget) => transport.fetch(table, key, budget),
    put: (record, level, budget) => transport.publish(record, level, budget),
    watch: () => transport.start(),
    absent: () => transport.absent(),
    isCurrent: () => transport.isCurrent(),
    close: () => transport.close(),
  }
}

/** Those that may serve: also one that nothing reaches now. */
function isThere({ self, state }: Member): boolean {
  return !self && state !== 'left' && state !== 'gone'
}
