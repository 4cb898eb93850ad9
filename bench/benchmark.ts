import type { Calibration } from './harness/calibration.ts'
import type { Progress } from './harness/progress.ts'
import type { TextTable } from './harness/text-table.ts'
import type { BenchmarkResult } from './report/report.ts'

/** What every benchmark is given. */
export interface BenchmarkContext {
  /** Fewer rounds and fewer systems: a first look. */
  readonly quick: boolean
  readonly seed: number
  /** Proxies in a farm. */
  readonly members: number
  /** Round-trip times in milliseconds that were asked for; empty for the benchmark's own. */
  readonly rtts: readonly number[]
  /** Show what other servers are configured with. */
  readonly showConfig: boolean
  /** A folder that is removed after the run. */
  readonly folder: string
  readonly progress: Progress
  readonly calibration: Calibration
  /** Prints a line, above the progress bar. */
  readonly print: (line: string) => void
}

export interface Benchmark {
  readonly name: string
  /** One line for the list. */
  readonly about: string
  run(context: BenchmarkContext): Promise<BenchmarkOutcome>
}

export interface BenchmarkOutcome {
  readonly result: BenchmarkResult
  /** The figures as people read them in a terminal. */
  readonly tables: readonly TextTable[]
}
