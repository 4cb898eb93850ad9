import type { Clock, Timer } from '../../lib/clock.ts'
import type { Log } from '../../lib/log.ts'
import { durationText } from '../../lib/options/duration.ts'
import { maxClockDifference, maxClockLead } from '../../lib/record/hybrid-clock.ts'
import type { Reply } from './client.ts'

/** From one look to the next, ms. */
const interval = 2_000
/** After one that had no answer, ms. */
const pause = 500

export interface ServerClockParts {
  /** The farm's time, by which what is written here is dated. */
  readonly clock: Clock
  readonly log: Log
  /** `TIME`. */
  ask(): Promise<Reply>
  /** It has answered for the first time. */
  onTime(): void
}

/**
 * Compares the time of this host with that of Redis, the one clock that all hosts can see. Where
 * hosts have nothing else in common, one whose clock is wrong takes no revocation for later than
 * its own sessions, or has none of its own believed, and nobody else could tell it.
 */
export class ServerClock {
  readonly #parts: ServerClockParts
  /** Undefined as long as it is not known. */
  #isRight: boolean | undefined
  #timer: Timer | undefined
  #closed = false

  constructor(parts: ServerClockParts) {
    this.#parts = parts
    void this.#look()
  }

  get isKnown(): boolean {
    return this.#isRight !== undefined
  }

  /** False also as long as it is not known. */
  get isRight(): boolean {
    return this.#isRight === true
  }

  close(): void {
    this.#closed = true
    this.#timer?.cancel()
  }

  async #look(): Promise<void> {
    const { clock, ask } = this.#parts
    let next = interval
    try {
      const from = clock.now()
      const time = timeOf(await ask())
      // Redis read its clock in between: whatever the way took is no error of either.
      this.#judge(from - time > 0 ? from - time : Math.min(0, clock.now() - time))
    } catch {
      next = pause
    }
    if (this.#closed) return
    this.#timer = clock.after(next, () => void this.#look())
  }

  #judge(ahead: number): void {
    const { log, onTime } = this.#parts
    const before = this.#isRight
    this.#isRight = ahead <= maxClockLead && ahead >= -maxClockDifference
    if (this.#isRight) {
      if (before === false) log.info({}, 'the time of this host is that of Redis again')
    } else if (before !== false) {
      const by = `${durationText(Math.abs(ahead))} ${ahead > 0 ? 'ahead of' : 'behind'}`
      log.error(
        {},
        `the time of this host is ${by} that of Redis, and ` +
          `${durationText(maxClockDifference)} are allowed: set the clocks right, by NTP for ` +
          'one; where it was turned back, end all processes of this host, then start them',
      )
    }
    if (before === undefined) onTime()
  }
}

/** [seconds, microseconds]; in ms. Throws for what is no time. */
function timeOf(reply: Reply): number {
  const [seconds, micros] = Array.isArray(reply) ? reply.map(Number) : []
  const time = (seconds ?? Number.NaN) * 1_000 + (micros ?? Number.NaN) / 1_000
  if (!Number.isFinite(time)) throw new Error('no time')
  return time
}
