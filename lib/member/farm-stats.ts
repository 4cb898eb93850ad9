import type { LimitCounts } from '../admin/section/limits.ts'
import type { ProcessFigures } from '../admin/section/process.ts'
import type { RevocationCounts } from '../admin/section/revocations.ts'
import type { TierFigures } from '../admin/section/tiers.ts'
import type { AuthCounts } from '../auth/auth-counters.ts'
import type { TransportStats } from '../farm/transport.ts'
import type { HandshakeCounts } from '../resumption/counters.ts'
import type { TableStats } from '../table/record-table.ts'

/** What each member tells of itself. A proxy adds more; see docs/admin.md. */
export interface FarmStats {
  readonly handshakes: HandshakeCounts
  readonly auth: AuthCounts
  /** How often each limit was met since start, by the name of its option. */
  readonly limits: LimitCounts
  readonly table: TableStats
  /** Revocations in force, by what they name. */
  readonly revocations: RevocationCounts
  readonly process: ProcessFigures
  readonly transport: TransportStats
  /** Of each tier beside the members, by its name; see docs/metrics.md. */
  readonly tiers: TierFigures
}
