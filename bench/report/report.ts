import type { CalibrationVerdict } from '../harness/calibration.ts'
import type { Machine } from '../harness/machine.ts'
import type { Ratio, Summary } from '../harness/statistics.ts'

/** Goes up with every change that a reader of the JSON could stumble over. */
export const reportVersion = 1

/** What `--json` writes. */
export interface Report {
  readonly schema: 'handfast-bench'
  readonly version: number
  /** ISO 8601. */
  readonly startedAt: string
  readonly seconds: number
  readonly quick: boolean
  readonly seed: number
  readonly machine: Machine
  readonly calibration: CalibrationVerdict
  readonly benchmarks: readonly BenchmarkResult[]
}

export interface BenchmarkResult {
  readonly name: string
  readonly measurements: readonly Measurement[]
  readonly comparisons: readonly Comparison[]
  readonly goals: readonly Goal[]
  /** What was left out, and why. */
  readonly skipped: readonly string[]
  /** What a reader of the figures must know. */
  readonly notes: readonly string[]
  /** What had to be and was not: any of these makes the exit code 1. */
  readonly failures: readonly string[]
}

/** What was measured of one system in one scenario. */
export interface Measurement {
  readonly scenario: string
  readonly system: string
  /** What else was set: members, round-trip time, sizes. */
  readonly parameters: Readonly<Record<string, number | string>>
  readonly measures: Readonly<Record<string, Measure>>
  /** Percentiles 0 to 100 of the latency in milliseconds, over all rounds. */
  readonly percentiles?: readonly number[]
}

export interface Measure extends Summary {
  readonly unit: string
}

/** How many times as much as something else of the same rounds. */
export interface Comparison extends Ratio {
  readonly measure: string
  readonly of: string
  readonly to: string
}

/** A limit that the project has set itself. */
export interface Goal {
  readonly text: string
  readonly limit: number
  readonly value: number
  /** Undefined when the machine was too noisy to tell. */
  readonly met: boolean | undefined
}

export const nothingMeasured: Omit<BenchmarkResult, 'name'> = {
  measurements: [],
  comparisons: [],
  goals: [],
  skipped: [],
  notes: [],
  failures: [],
}
