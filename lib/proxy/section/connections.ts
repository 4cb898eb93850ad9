import { gauge, samplesOf } from '../../admin/section/family.ts'
import type { Section } from '../../admin/section/section.ts'
import { sum } from '../../admin/section/sum.ts'
import type { ConnectionCounts } from '../client/client-connections.ts'

export function connectionsSection(
  read: () => ConnectionCounts,
): Section<ConnectionCounts> {
  return {
    name: 'connections',
    read,
    merge: sum,
    wide: counts => ({ connections: { ...counts } }),
    families: counts => [
      gauge(
        'handfast_connections',
        'Open connections of clients, by kind',
        samplesOf('kind', { ...counts }),
      ),
    ],
  }
}
