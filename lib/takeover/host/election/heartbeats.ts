import { BoundedMap } from '../../../bounded-map.ts'

/** Members, of which each has another name after each start, whose own addresses are known. */
const mostHomes = 1_000

/** Whose an address is, and since which move: each one has a higher number than the one before. */
export interface HeldAddress {
  readonly address: string
  readonly epoch: number
}

/** A word of whoever tells it that `member` may have the address, and nobody else in this move. */
export interface Vote extends HeldAddress {
  readonly member: string
}

/** A dead and fenced member, of whose connections another one says who goes on with them. */
export interface Decision extends HeldAddress {
  /** Some may be had yet. */
  readonly isOpen: boolean
}

/** What a member says every `interval`. */
export interface Beat {
  readonly member: string
  readonly holds: readonly HeldAddress[]
  /** Addresses that it is about to take over. */
  readonly takes: readonly HeldAddress[]
  readonly votes: readonly Vote[]
  /** Seats that it was elected for, behind a switch; for as long as it lives. */
  readonly decides?: readonly Decision[] | undefined
  /** Its own address, wherever that is now. */
  readonly home?: string | undefined
  /** The address that all members have, behind a switch; undefined: each has its own. */
  readonly shared?: string | undefined
  /** It takes its leave, and takes nothing over any more. */
  readonly isLeaving?: boolean | undefined
}

export interface HeartbeatTimes {
  /** Milliseconds between two beats. */
  readonly interval: number
  /** Whoever was not heard for so long, ms, has failed. */
  readonly timeout: number
}

/** A member that has failed, and what it leaves behind. */
export interface Failure {
  readonly member: string
  readonly holds: readonly HeldAddress[]
  /** Since when it is silent, by our own steady clock. */
  readonly since: number
  /** More than half of all, it and this member included, are there; or these two were all. */
  readonly hasQuorum: boolean
}

/**
 * Who is silent, by a clock that is given. What decides is the time since a beat *came*: clocks of
 * members are not compared.
 *
 * A member that stood still itself has heard nobody meanwhile, and judges nobody for it. One that
 * misses all others at once is the one that is cut off: without more than half of the farm
 * it takes nothing over, of two members excepted.
 */
export class Heartbeats {
  readonly #self: string
  readonly #times: HeartbeatTimes
  readonly #members = new Map<string, Known>()
  /** Also of those that are forgotten. */
  readonly #homes = new BoundedMap<string, string>(mostHomes)
  #judgedAt: number

  constructor(self: string, times: HeartbeatTimes, now: number) {
    this.#self = self
    this.#times = times
    this.#judgedAt = now
  }

  heard(beat: Beat, now: number): void {
    if (beat.member === this.#self) return
    if (beat.home !== undefined) this.#homes.set(beat.member, beat.home)
    this.#members.set(beat.member, {
      beat,
      heardAt: now,
      isFenced: beat.isLeaving === true,
      isBare: beat.holds.length === 0,
    })
    for (const claim of heldBy(beat)) this.took(claim)
  }

  /** Whoever had the address before has it no longer. */
  took({ address, epoch }: HeldAddress): void {
    for (const known of this.#members.values()) {
      const { beat } = known
      const isPast = (held: HeldAddress) => held.address === address && held.epoch < epoch
      if (!beat.holds.some(isPast)) continue
      known.beat = { ...beat, holds: beat.holds.filter(held => !isPast(held)) }
    }
  }

  /** Until it is heard again it neither speaks nor counts. */
  fenced(member: string): void {
    const known = this.#members.get(member)
    if (known !== undefined) known.isFenced = true
  }

  /** All that it had is somebody else's, or it took its leave. */
  hasNothing(member: string): boolean {
    const beat = this.#members.get(member)?.beat
    return beat === undefined || beat.holds.length === 0
  }

  isFenced(member: string): boolean {
    return this.#members.get(member)?.isFenced === true
  }

  /** To be called once in an interval. Those that are silent now, until they are forgotten. */
  judge(now: number): Failure[] {
    const late = now - this.#judgedAt - this.#times.interval
    this.#judgedAt = now
    if (late > this.#times.interval / 2) {
      for (const known of this.#members.values()) {
        if (this.#isLive(known, now - late)) known.heardAt += late
      }
    }
    return [...this.#members.values()]
      .filter(known => !this.#isLive(known, now))
      .map(({ beat, heardAt }) => ({
        member: beat.member,
        holds: beat.holds,
        since: heardAt,
        hasQuorum: this.#isMost(heardAt, beat.member, now, () => true),
      }))
  }

  /** As many as make a quorum are for this claim. */
  elects(failed: string, { address, epoch }: HeldAddress, now: number): boolean {
    const known = this.#members.get(failed)
    if (known === undefined) return false
    const isOurs = (vote: Vote) =>
      vote.address === address && vote.epoch === epoch && vote.member === this.#self
    return this.#isMost(known.heardAt, failed, now, ({ votes }) => votes.some(isOurs))
  }

  /** What it said last, when that is known; `isLive`: and not long ago. */
  of(member: string, now: number): { beat: Beat; isLive: boolean } | undefined {
    const known = this.#members.get(member)
    return known && { beat: known.beat, isLive: this.#isLive(known, now) }
  }

  /** Milliseconds since it was heard last; Infinity for one that never was. */
  silence(member: string, now: number): number {
    return now - (this.#members.get(member)?.heardAt ?? -Infinity)
  }

  /** The last words of all others, of those that are silent as well. */
  beats(): Beat[] {
    return [...this.#members.values()].map(({ beat }) => beat)
  }

  /** It took its leave, or all that it had is somebody else's. */
  forget(member: string): void {
    this.#members.delete(member)
  }

  /** This one among them. */
  live(now: number): string[] {
    const others = [...this.#members.values()].filter(known => this.#isLive(known, now))
    return [this.#self, ...others.map(({ beat }) => beat.member)]
  }

  /** Whether a member lives, and has the address by an older claim than this. */
  holds(member: string, { address, epoch }: HeldAddress, now: number): boolean {
    const known = this.#members.get(member)
    return (
      known !== undefined &&
      this.#isLive(known, now) &&
      known.beat.holds.some(held => held.address === address && held.epoch < epoch)
    )
  }

  /** The own address of a member, wherever that is now: it says which host the member is. */
  addressOf(member: string): string | undefined {
    return this.#homes.get(member)
  }

  /** Whose own address it is, if that one lives. */
  homeOf(address: string, now: number): string | undefined {
    return [...this.#members.values()].find(
      known => known.beat.home === address && this.#isLive(known, now),
    )?.beat.member
  }

  /** What live members hold or are about to. `most`: whoever was not heard for so long is none. */
  claims(
    now: number,
    most: number = this.#times.timeout,
  ): { readonly member: string; readonly claim: HeldAddress }[] {
    return [...this.#members.values()]
      .filter(({ heardAt }) => now - heardAt < most)
      .flatMap(({ beat }) =>
        claimedBy(beat).map(claim => ({ member: beat.member, claim })),
      )
  }

  #isLive({ heardAt }: Known, now: number): boolean {
    return now - heardAt < this.#times.timeout
  }

  /**
   * Of the failed one, those that were heard about when it was, and this one. Who fell silent before
   * and still has an address was not fenced, and may live where this one does not see it; so may one
   * that had none by its own word. Were half enough, the halves of a farm that do not hear each other
   * would fence each other.
   */
  #isMost(
    heardAt: number,
    failed: string,
    now: number,
    isFor: (beat: Beat) => boolean,
  ): boolean {
    const were = [...this.#members.values()].filter(
      ({ beat, heardAt: at, isFenced, isBare }) =>
        beat.member !== failed &&
        !isFenced &&
        (at > heardAt - this.#times.timeout || beat.holds.length > 0 || isBare),
    )
    const are = were.filter(known => this.#isLive(known, now) && isFor(known.beat))
    const [here, all] = [are.length + 1, were.length + 2]
    return all === 2 || 2 * here > all
  }
}

/** What nobody else may take, and what it was elected for. */
export function heldBy({ holds, decides = [] }: Beat): readonly HeldAddress[] {
  return [...holds, ...decides]
}

/** The same, and what it is about to take. */
export function claimedBy(beat: Beat): readonly HeldAddress[] {
  return [...heldBy(beat), ...beat.takes]
}

interface Known {
  /** What others have taken of its addresses since is not in it any more. */
  beat: Beat
  heardAt: number
  isFenced: boolean
  /** It had no address when it was heard last. */
  readonly isBare: boolean
}
