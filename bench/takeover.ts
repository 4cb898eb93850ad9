import type { Benchmark } from './benchmark.ts'
import { nothingMeasured } from './report/report.ts'
import { guardianStall } from './takeover/guardian.ts'
import { hosts } from './takeover/hosts.ts'
import { recordLayer } from './takeover/record-layer.ts'

/** What clients see of a process, or a host, that dies, and what it costs while none does. */
export const takeover: Benchmark = {
  name: 'takeover',
  about: 'the pause when a worker or a host dies, and what it costs to be ready for it',
  async run(context) {
    const parts = [
      await recordLayer(context),
      await guardianStall(context),
      await hosts(context),
    ]
    return {
      result: {
        ...nothingMeasured,
        name: 'takeover',
        goals: parts.flatMap(({ goals }) => goals),
        skipped: parts.flatMap(({ skipped = [] }) => skipped),
        notes: parts.flatMap(({ notes = [] }) => notes),
        failures: parts.flatMap(({ failures = [] }) => failures),
      },
      tables: parts.flatMap(({ tables }) => tables),
    }
  },
}
