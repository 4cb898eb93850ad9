import { once } from 'node:events'
import type { BenchmarkContext } from '../benchmark.ts'
import { runChild, stopChild } from '../harness/child.ts'
import { goalIn } from '../report/goal-line.ts'
import type { Goal } from '../report/report.ts'

/** Longer than this it has hung. */
const timeLimit = 300_000

export interface ReadFigures {
  readonly goals: readonly Goal[]
  readonly notes: readonly string[]
  readonly failures: readonly string[]
}

/** Reads from the data cache beside connect-redis, in a process of its own that prints its figures. */
export async function measureReads({
  quick,
  progress,
  print,
}: BenchmarkContext): Promise<ReadFigures> {
  progress.show('state: reads')
  const lines: string[] = []
  const entry = new URL('./read-process.ts', import.meta.url)
  const args = ['--rounds', quick ? '3' : '9']
  const child = runChild(entry, args, line => lines.push(line))
  const timer = setTimeout(() => void stopChild(child), timeLimit)
  const [code] = (await once(child, 'exit')) as [number | null]
  clearTimeout(timer)
  const goals = lines.flatMap(line => goalIn(line) ?? [])
  const notes = lines.filter(line => goalIn(line) === undefined)
  for (const note of notes) print(note)
  const failures = code === 0 ? [] : [`the reads of state ended with ${code}`]
  return { goals, notes, failures }
}
