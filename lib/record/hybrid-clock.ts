import type { Clock, Timer } from '../clock.ts'
import type { Version } from './version.ts'

/** Clocks of two members may differ by this much, ms; one that differs more is refused. */
export const maxClockDifference = 300_000

/**
 * How far ahead of our own clock a version may be, ms. Twice the above: the one who wrote it
 * may have followed a third whose clock is as far ahead of its own.
 */
export const maxClockLead: number = 2 * maxClockDifference

/**
 * Behind a clock that was further ahead, time goes on at this rate until the own one is there.
 * Slower than any crystal errs, or the fastest one of the farm would drive all others away
 * from the right time; and hardly slower, so that between two signs of life of the member
 * that is ahead, next to nothing that it did seems later than now.
 */
const slewRate = 0.99

/**
 * The farm's time. Hands out versions that are larger than every version seen so far, close to
 * wall time, and never go back when the wall clock does. It follows the clock of the farm that
 * is furthest ahead, and goes on from there: what happens here after something seen is later.
 */
export class HybridClock implements Clock {
  readonly node: number
  readonly #clock: Clock
  #ms = 0
  #logical = 0
  /** Monotonic time at which `#ms` was reached. */
  #reachedAt = 0

  /** `node`: 16 bits, drawn at random at each start. */
  constructor(clock: Clock, node: number) {
    this.#clock = clock
    this.node = node
  }

  /** A version for a write that happens now. */
  tick(): Version {
    const now = Math.floor(this.now())
    if (now > this.#ms) this.#reach(now, 0)
    else if (this.#logical < 0xffff) this.#logical += 1
    else this.#reach(this.#ms + 1, 0)
    return { ms: this.#ms, logical: this.#logical, node: this.node }
  }

  /** The farm's time in ms: wall time, but never behind any version seen so far. */
  now(): number {
    const wall = this.#clock.now()
    const passed = this.#clock.monotonic() - this.#reachedAt
    return Math.max(wall, Math.floor(this.#ms + slewRate * passed))
  }

  /** As on the own clock. */
  monotonic(): number {
    return this.#clock.monotonic()
  }

  after(ms: number, fn: () => void): Timer {
    return this.#clock.after(ms, fn)
  }

  /** The own wall clock, in ms. */
  wall(): number {
    return this.#clock.now()
  }

  /**
   * False for a version more than {@link maxClockLead} ahead of our wall clock: its record must
   * be refused, for it would win against every honest write until our clock gets there.
   */
  accepts(version: Version): boolean {
    return version.ms <= this.#clock.now() + maxClockLead
  }

  /** Takes note of a version from another member. False when it is not to be accepted. */
  witness(version: Version): boolean {
    if (!this.accepts(version)) return false
    this.see(version)
    return true
  }

  /**
   * Takes note of a version that this host has accepted before, or given out itself: after its
   * wall clock was turned back, such a one may be further ahead than any other may be.
   */
  see(version: Version): void {
    if (version.ms > this.#ms) this.#reach(version.ms, version.logical)
    else if (version.ms === this.#ms && version.logical > this.#logical)
      this.#logical = version.logical
  }

  /** Another member says what its time is. */
  follow(ms: number): void {
    if (ms > this.now()) this.witness(this.#startOf(ms))
  }

  /**
   * Another process of this host does: it has the same wall clock, wherever that has been. So a lead
   * outlives every process by itself, and ends when there is none.
   */
  followHost(ms: number): void {
    if (ms > this.now()) this.see(this.#startOf(ms))
  }

  #startOf(ms: number): Version {
    return { ms: Math.floor(ms), logical: 0, node: this.node }
  }

  #reach(ms: number, logical: number): void {
    this.#ms = ms
    this.#logical = logical
    this.#reachedAt = this.#clock.monotonic()
  }
}
