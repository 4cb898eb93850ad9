import { handshakesSection } from '../admin/section/handshakes.ts'
import { limitsSection } from '../admin/section/limits.ts'
import { loginsSection } from '../admin/section/logins.ts'
import { type ProcessMeter, processSection } from '../admin/section/process.ts'
import { revocationsSection } from '../admin/section/revocations.ts'
import { Sections } from '../admin/section/section.ts'
import { tableSection } from '../admin/section/table.ts'
import { type TierFigures, tiersSection } from '../admin/section/tiers.ts'
import { transportSection } from '../admin/section/transport.ts'
import type { AuthCounters } from '../auth/auth-counters.ts'
import type { Transport } from '../farm/transport.ts'
import type { LimitCounters } from '../limit/limit-counters.ts'
import type { HandshakeCounters } from '../resumption/counters.ts'
import type { Revocations } from '../resumption/revocation/revocation.ts'
import type { RecordTable } from '../table/record-table.ts'

export interface FarmSectionsParts {
  readonly counters: HandshakeCounters
  readonly authCounters: AuthCounters
  readonly limitCounters: LimitCounters
  readonly table: RecordTable
  readonly revocations: Revocations
  readonly meter: ProcessMeter
  readonly transport: Transport
  readonly tiers: () => TierFigures
}

/** What each member tells of itself. */
export function farmSections(parts: FarmSectionsParts): Sections {
  const { counters, authCounters, limitCounters, table, revocations, transport } = parts
  const sections = new Sections()
  sections.add(handshakesSection(() => counters.snapshot()))
  sections.add(loginsSection(() => authCounters.snapshot()))
  sections.add(limitsSection(() => limitCounters.snapshot()))
  sections.add(tableSection(() => table.stats()))
  sections.add(revocationsSection(() => revocations.counts()))
  sections.add(processSection(parts.meter))
  sections.add(transportSection(() => transport.stats()))
  sections.add(tiersSection(parts.tiers))
  return sections
}
