import type { Clock } from '../clock.ts'
import type { Version } from './version.ts'

/** How far ahead of ours another member's clock may be before its records are refused. */
export const maxClockLead = 30_000

/**
 * Hands out versions that are larger than every version seen so far, close to wall time, and
 * never go back when the wall clock does.
 */
export class HybridClock {
  readonly node: number
  readonly #clock: Clock
  #ms = 0
  #logical = 0

  /** `node`: 16 bits, drawn at random at each start. */
  constructor(clock: Clock, node: number) {
    this.#clock = clock
    this.node = node
  }

  /** A version for a write that happens now. */
  tick(): Version {
    const now = this.#clock.now()
    if (now > this.#ms) {
      this.#ms = now
      this.#logical = 0
    } else if (this.#logical < 0xffff) {
      this.#logical += 1
    } else {
      this.#ms += 1
      this.#logical = 0
    }
    return { ms: this.#ms, logical: this.#logical, node: this.node }
  }

  /** Wall time in ms, but never behind any version seen so far. */
  now(): number {
    return Math.max(this.#clock.now(), this.#ms)
  }

  /**
   * Takes note of a version from another member. False when it is more than
   * {@link maxClockLead} ahead of our wall clock: such a record must be refused, for it would
   * win against every honest write until our clock gets there.
   */
  witness(version: Version): boolean {
    if (version.ms > this.#clock.now() + maxClockLead) return false
    if (
      version.ms > this.#ms ||
      (version.ms === this.#ms && version.logical > this.#logical)
    ) {
      this.#ms = version.ms
      this.#logical = version.logical
    }
    return true
  }
}
