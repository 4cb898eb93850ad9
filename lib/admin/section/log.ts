import { counter } from './family.ts'
import type { Section } from './section.ts'
import { sum } from './sum.ts'

export interface LogCounts {
  /** Lines since start that were lost because nobody read them in time. */
  readonly dropped: number
}

export function logSection(dropped: () => number): Section<LogCounts> {
  return {
    name: 'log',
    read: () => ({ dropped: dropped() }),
    merge: sum,
    families: log => [
      counter(
        'handfast_log_dropped_total',
        'Log lines since start that were lost because nobody read them in time',
        [{ value: log.dropped }],
      ),
    ],
  }
}
