import { counter, samplesOf } from '../../admin/section/family.ts'
import type { Section } from '../../admin/section/section.ts'
import { sum } from '../../admin/section/sum.ts'
import type { DispatchCounters } from '../../dispatch/dispatch-counters.ts'

/** By what became of them; see HedgeOutcome. Since start. */
export interface Hedges {
  readonly [outcome: string]: number
}

export function hedgesSection(counters: DispatchCounters): Section<Hedges> {
  return {
    name: 'hedges',
    read: () => counters.hedges(),
    merge: sum,
    families: counts => [
      counter(
        'handfast_hedges_total',
        'Second tries of requests since start whose first was slow, by what became of them',
        samplesOf('outcome', { ...counts }),
      ),
    ],
  }
}
