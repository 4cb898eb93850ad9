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

/** Why two members can't be in one farm now. */
export interface ClockTrouble {
  /** By how much the one that is wrong is ahead, ms; negative when it is behind. */
  readonly ahead: number
  /** Its wall clock is right by now; but what it writes is never dated back. */
  readonly wasAhead: boolean
}

/** How the clock of the member at the other end of a link stands to ours. */
export class PeerTime {
  readonly #versions: HybridClock
  readonly #samples: number[] = []
  /** What was wrong with its clock, when it last said what that is. */
  trouble: ClockTrouble | undefined
  /** What its wall clock said then, ms. */
  wall: number | undefined

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
    this.wall = times.wall
    this.trouble = clockTrouble(times, this.#versions.wall())
    if (this.trouble !== undefined && this.trouble.ahead > 0) return false
    this.#samples.push(times.wall - this.#versions.wall())
    if (this.#samples.length > samples) this.#samples.shift()
    this.#versions.follow(times.farm)
    return true
  }
}

/** What is wrong with a member's clock, or what it has followed, to one whose wall clock says `wall`. */
export function clockTrouble(times: PeerTimes, wall: number): ClockTrouble | undefined {
  const ahead = times.wall - wall
  if (Math.abs(ahead) > maxClockDifference + wayTime) return { ahead, wasAhead: false }
  const lead = times.farm - wall
  return lead > maxClockLead + wayTime ? { ahead: lead, wasAhead: true } : undefined
}

export function clockError(trouble: ClockTrouble | undefined): HandfastError {
  const words = clockWords(trouble ?? noTrouble, 'its', 'ours')
  return new HandfastError('ERR_HANDFAST_JOIN', words)
}

/** For people: which clock is off, which way and by how much, and what to do. */
export function clockWords(
  { ahead, wasAhead }: ClockTrouble,
  whose: string,
  than: string,
): string {
  const by = durationText(Math.abs(ahead))
  if (wasAhead) {
    return (
      `${whose} clock was ${by} ahead of ${than}, and what is written with it is dated so ` +
      'still: end all processes with that clock, then start them'
    )
  }
  return (
    `${whose} clock is ${by} ${ahead > 0 ? 'ahead of' : 'behind'} ${than}, and ` +
    `${durationText(maxClockDifference)} are allowed: set the clocks right, by NTP for one`
  )
}

const noTrouble: ClockTrouble = { ahead: 0, wasAhead: false }
