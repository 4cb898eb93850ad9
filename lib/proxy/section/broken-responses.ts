import { counter, samplesOf } from '../../admin/section/family.ts'
import type { Section } from '../../admin/section/section.ts'
import { sum } from '../../admin/section/sum.ts'
import type { DispatchCounters } from '../../dispatch/dispatch-counters.ts'

/** By what became of them; see ResumeOutcome. Since start. */
export interface BrokenResponses {
  readonly [outcome: string]: number
}

export function brokenResponsesSection(
  counters: DispatchCounters,
): Section<BrokenResponses> {
  return {
    name: 'brokenResponses',
    read: () => counters.brokenOff(),
    merge: sum,
    families: counts => [
      counter(
        'handfast_broken_responses_total',
        'Responses to GET since start that their backend broke off, by what became of them',
        samplesOf('outcome', { ...counts }),
      ),
    ],
  }
}
