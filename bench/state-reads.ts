import { once } from 'node:events'
import type { Benchmark } from './benchmark.ts'
import { runChild, stopChild } from './harness/child.ts'
import { goalIn } from './report/goal-line.ts'
import { nothingMeasured } from './report/report.ts'

/** Longer than this it has hung. */
const timeLimit = 300_000

/** Application state in a process of its own, which prints its figures. */
export const stateReads: Benchmark = {
  name: 'state-reads',
  about: 'application state: reads from the data cache, beside connect-redis',
  async run({ quick, progress, print }) {
    progress.show('state-reads')
    const lines: string[] = []
    const entry = new URL('./state/reads.ts', import.meta.url)
    const args = ['--rounds', quick ? '3' : '9']
    const child = runChild(entry, args, line => lines.push(line))
    const timer = setTimeout(() => void stopChild(child), timeLimit)
    const [code] = (await once(child, 'exit')) as [number | null]
    clearTimeout(timer)
    const goals = lines.flatMap(line => goalIn(line) ?? [])
    const notes = lines.filter(line => goalIn(line) === undefined)
    for (const note of notes) print(note)
    const failures = code === 0 ? [] : [`the benchmark of state ended with ${code}`]
    return {
      result: { ...nothingMeasured, name: 'state-reads', goals, notes, failures },
      tables: [],
    }
  },
}
