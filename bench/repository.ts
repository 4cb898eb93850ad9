import { once } from 'node:events'
import type { Benchmark } from './benchmark.ts'
import { runChild, stopChild } from './harness/child.ts'
import { goalIn } from './report/goal-line.ts'
import { nothingMeasured } from './report/report.ts'

/** Longer than this it has hung. */
const timeLimit = 600_000

/** A full repository and one that joins it, each a process: they print their own figures. */
export const repository: Benchmark = {
  name: 'repository',
  about: 'a full repository: memory, how fast another joins it, and gets meanwhile',
  async run({ quick, seed, progress }) {
    progress.show('repository')
    const args = ['--records', quick ? '100000' : '400000', '--seed', `${seed}`]
    const lines: string[] = []
    const entry = new URL('./repository/run.ts', import.meta.url)
    const child = runChild(entry, args, line => lines.push(line))
    const timer = setTimeout(() => void stopChild(child), timeLimit)
    const [code] = (await once(child, 'exit')) as [number | null]
    clearTimeout(timer)
    const goals = lines.flatMap(line => goalIn(line) ?? [])
    const notes = lines.filter(line => goalIn(line) === undefined)
    const failures = code === 0 ? [] : [`the repository's benchmark ended with ${code}`]
    return {
      result: { ...nothingMeasured, name: 'repository', goals, notes, failures },
      tables: [],
    }
  },
}
