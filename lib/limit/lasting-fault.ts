import type { Clock, Timer } from '../clock.ts'
import type { Log } from '../log.ts'
import { durationText } from '../options/duration.ts'

/** From a line to the next one that says the same, ms; doubles with each. */
const firstPause = 10_000
const longestPause = 600_000
/** Without a failure for so long, ms, it is over; doubles with each time that it soon was not. */
const firstCalm = 5_000
const longestCalm = 60_000
/** Causes that get a line at once: some are worded anew each time. */
const mostReasons = 8

export interface LastingFaultParts {
  readonly clock: Clock
  readonly log: Log
  /** In each of its lines. */
  readonly fields?: Readonly<Record<string, unknown>>
  /** What is so while it fails, and what is so again. */
  readonly text: string
  readonly over: string
}

/**
 * What fails again and again until somebody mends it. The log is told when it begins, of each new
 * cause, then less and less often that it lasts and for how long, and when it is over.
 */
export class LastingFault {
  readonly #parts: LastingFaultParts
  readonly #reasons = new Set<string>()
  #since: number | undefined
  #toldAt = 0
  #pause = firstPause
  #heldBack = 0
  #calm = firstCalm
  #calming: Timer | undefined
  #overAt = Number.NEGATIVE_INFINITY
  #closed = false

  constructor(parts: LastingFaultParts) {
    this.#parts = parts
  }

  /** `why`: what was thrown, or words. */
  failed(why: unknown): void {
    if (this.#closed) return
    const reason = why instanceof Error ? why.message : String(why)
    const now = this.#parts.clock.monotonic()
    this.#calming?.cancel()
    this.#calming = undefined
    if (this.#since === undefined) this.#begin(now)
    const isNew = !this.#reasons.has(reason) && this.#reasons.size < mostReasons
    if (isNew) this.#reasons.add(reason)
    else if (now - this.#toldAt < this.#pause) {
      this.#heldBack += 1
      return
    } else this.#pause = Math.min(2 * this.#pause, longestPause)
    this.#toldAt = now
    const { log, fields, text } = this.#parts
    log.warn({ ...fields, reason, ...this.#more('lasts', now) }, text)
    this.#heldBack = 0
  }

  /** It is over, unless it fails again soon. */
  worked(): void {
    if (this.#since === undefined || this.#calming !== undefined || this.#closed) return
    const { clock } = this.#parts
    const now = clock.monotonic()
    this.#calming = clock.after(this.#calm, () => this.#end(now))
  }

  close(): void {
    this.#closed = true
    this.#calming?.cancel()
  }

  #begin(now: number): void {
    this.#since = now
    // What comes back as soon as it is over is one fault.
    const isSoon = now - this.#overAt < longestCalm
    this.#calm = isSoon ? Math.min(2 * this.#calm, longestCalm) : firstCalm
    this.#pause = firstPause
  }

  #end(workedAt: number): void {
    const { clock, log, fields, over } = this.#parts
    log.info({ ...fields, ...this.#more('lasted', workedAt) }, over)
    this.#calming = undefined
    this.#since = undefined
    this.#overAt = clock.monotonic()
    this.#heldBack = 0
    this.#reasons.clear()
  }

  #more(name: 'lasts' | 'lasted', until: number): Readonly<Record<string, unknown>> {
    const ms = until - (this.#since ?? until)
    return {
      ...(ms >= 1_000 && { [name]: durationText(ms) }),
      ...(this.#heldBack > 0 && { heldBack: this.#heldBack }),
    }
  }
}
