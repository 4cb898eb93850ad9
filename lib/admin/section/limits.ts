import { counter, samplesOf } from './family.ts'
import type { Section } from './section.ts'
import { sum } from './sum.ts'

/** How often each limit was met since start, by the name of its option. */
export type LimitCounts = Readonly<Record<string, number>>

export function limitsSection(read: () => LimitCounts): Section<LimitCounts> {
  return {
    name: 'limits',
    read,
    merge: sum,
    families: limits => [
      counter(
        'handfast_limits_total',
        'How often a limit was met since start, by the name of its option',
        samplesOf('limit', limits),
      ),
    ],
  }
}
