import type { Clock, Timer } from '../../lib/clock.ts'
import type { Log } from '../../lib/log.ts'

/** Entries that a step takes away: as long as nobody else notices. */
const step = 1_000
/** Milliseconds between two steps of one turn. */
const pause = 50

export interface SweeperParts {
  readonly clock: Clock
  readonly log: Log
  /** Milliseconds between two turns, about: servers that started together go apart. */
  readonly interval: number
  /** Takes away at most so many entries that have ended; resolves with how many. */
  sweep(limit: number): Promise<number>
}

/** Takes away what has ended, in small steps. */
export class Sweeper {
  readonly #parts: SweeperParts
  #timer: Timer | undefined
  #turn: Promise<void> | undefined
  #closed = false

  constructor(parts: SweeperParts) {
    this.#parts = parts
  }

  start(): void {
    this.#after(this.#parts.interval * (0.5 + Math.random()))
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#timer?.cancel()
    await this.#turn
  }

  #after(ms: number): void {
    if (this.#closed) return
    this.#timer = this.#parts.clock.after(ms, () => {
      this.#turn = this.#step()
    })
  }

  async #step(): Promise<void> {
    const { interval, log } = this.#parts
    let swept = 0
    try {
      swept = await this.#parts.sweep(step)
    } catch (error) {
      log.warn(
        { error: String(error) },
        'entries that have ended could not be taken away',
      )
    }
    this.#after(swept === step ? pause : interval * (0.5 + Math.random()))
  }
}
