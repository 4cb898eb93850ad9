import { HandfastError } from '../../errors.ts'
import { durationText } from '../../options/duration.ts'
import {
  type HybridClock,
  maxClockDifference,
  maxClockLead,
} from '../../record/hybrid-clock.ts'
import type { PeerTimes } from '../../wire/frame-time.ts'

/** What a member says of its time is late by its way here: the quickest of so many counts. */
const samples = 8
/** Differences below this are noise, ms. */
const noise = 1_000
/** What the way takes is no reason to refuse a member. */
const wayTime = 2_000

/** How the clock of the member at the other end of a link stands to ours. */
export class PeerTime {
  readonly #versions: HybridClock
  readonly #samples: number[] = []
  /** By how much its clock is too far ahead of ours, or behind, when it last said so. */
  trouble: number | undefined

  constructor(versions: HybridClock) {
    this.#versions = versions
  }

  /** By how much the member's wall clock is ahead of ours, ms; negative when it is behind. */
  get ahead(): number {
    if (this.#samples.length === 0) return 0
    const ahead = Math.max(...this.#samples)
    return Math.abs(ahead) < noise ? 0 : ahead
  }

  /**
   * The member says what its time is. False when it is too far ahead. What it says may be old
   * by the time that we read it, so that on a link that stands it proves nothing about a
   * member that is behind: that one finds out itself.
   */
  heard(times: PeerTimes): boolean {
    this.trouble = clockTrouble(times, this.#versions)
    if (this.trouble !== undefined && this.trouble > 0) return false
    this.#samples.push(times.wall - this.#versions.wall())
    if (this.#samples.length > samples) this.#samples.shift()
    this.#versions.follow(times.farm)
    return true
  }
}

/** By how much too far the member's clock, or what it has followed, is ahead of ours (ms). */
export function clockTrouble(times: PeerTimes, ours: HybridClock): number | undefined {
  const ahead = times.wall - ours.wall()
  if (Math.abs(ahead) > maxClockDifference + wayTime) return ahead
  const lead = times.farm - ours.wall()
  return lead > maxClockLead + wayTime ? lead : undefined
}

export function clockError(ahead: number): HandfastError {
  return new HandfastError('ERR_HANDFAST_JOIN', clockWords(ahead, 'its', 'ours'))
}

/** For people: which clock is off, which way and by how much. */
export function clockWords(ahead: number, whose: string, than: string): string {
  const way = ahead > 0 ? 'ahead of' : 'behind'
  return (
    `${whose} clock is ${durationText(Math.abs(ahead))} ${way} ${than}, and ` +
    `${durationText(maxClockDifference)} are allowed: set the clocks right, by NTP for one`
  )
}
