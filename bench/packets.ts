import { once } from 'node:events'
import type { Benchmark } from './benchmark.ts'
import { runChild, stopChild } from './harness/child.ts'
import { goalIn } from './report/goal-line.ts'
import { nothingMeasured } from './report/report.ts'

/** Longer than this it has hung. */
const timeLimit = 300_000

/** The communicator's benchmark, in a process of its own: it prints its own figures. */
export const packets: Benchmark = {
  name: 'communicator',
  about: 'one writer, many receivers: datagrams against a TCP message per record',
  async run({ quick, progress }) {
    progress.show('communicator')
    const args = quick ? ['--receivers', '3', '--seconds', '1', '--only', 'rate'] : []
    const lines: string[] = []
    const entry = new URL('./communicator.ts', import.meta.url)
    const child = runChild(entry, args, line => lines.push(line))
    const timer = setTimeout(() => void stopChild(child), timeLimit)
    const [code] = (await once(child, 'exit')) as [number | null]
    clearTimeout(timer)
    const goals = lines.flatMap(line => goalIn(line) ?? [])
    const notes = lines.filter(line => goalIn(line) === undefined)
    const failures = code === 0 ? [] : [`the communicator's benchmark ended with ${code}`]
    return {
      result: { ...nothingMeasured, name: 'communicator', goals, notes, failures },
      tables: [],
    }
  },
}
