import { createHash } from 'node:crypto'
import { spread, summarize } from './statistics.ts'

/** Above this share of time lost to other work, figures of a run should not be compared. */
const noisyLoss = 0.1

/** What a fixed piece of work cost before each round: a witness of the machine's quiet. */
export class Calibration {
  readonly #cpu: number[] = []
  readonly #lost: number[] = []

  constructor() {
    // Once for the compiler.
    work()
  }

  /** Does the work once, some 10 ms. */
  take(): void {
    const before = process.cpuUsage()
    const began = performance.now()
    work()
    const wall = performance.now() - began
    const used = process.cpuUsage(before)
    const cpu = (used.user + used.system) / 1000
    this.#cpu.push(cpu)
    this.#lost.push(Math.max(0, 1 - cpu / wall))
  }

  get verdict(): CalibrationVerdict {
    const speed = spread(summarize(this.#cpu))
    const lost = summarize(this.#lost).median
    return {
      spread: Number(speed.toFixed(3)),
      lost: Number(lost.toFixed(3)),
      noisy: speed > noisyLoss || lost > noisyLoss,
    }
  }
}

export interface CalibrationVerdict {
  /** Quartile distance over median of the work's processor time. */
  readonly spread: number
  /** Share of the work's wall time in which something else ran on the core. */
  readonly lost: number
  readonly noisy: boolean
}

function work(): void {
  const block = Buffer.alloc(4096, 1)
  for (let turn = 0; turn < 1500; turn++) {
    createHash('sha256').update(block).digest().copy(block)
  }
}
