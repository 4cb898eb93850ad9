/** Whose an address is, and since which move: each one has a higher number than the one before. */
export interface HeldAddress {
  readonly address: string
  readonly epoch: number
}

/** What a member says every `interval`. */
export interface Beat {
  readonly member: string
  readonly holds: readonly HeldAddress[]
  /** Addresses that it is about to take over. */
  readonly takes: readonly HeldAddress[]
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
  /** More than half of those that were there with it are there now, this member among them. */
  readonly hasQuorum: boolean
}

/**
 * Who is silent, by a clock that is given. What decides is the time since a beat *came*: clocks of
 * members are not compared.
 *
 * A member that stood still itself has heard nobody meanwhile, and judges nobody for it. One that
 * misses all others at once is the one that is cut off: without more than half of those that it
 * heard lately it takes nothing over.
 */
export class Heartbeats {
  readonly #self: string
  readonly #times: HeartbeatTimes
  readonly #members = new Map<string, Known>()
  #judgedAt: number

  constructor(self: string, times: HeartbeatTimes, now: number) {
    this.#self = self
    this.#times = times
    this.#judgedAt = now
  }

  heard(beat: Beat, now: number): void {
    if (beat.member === this.#self) return
    this.#members.set(beat.member, { beat, heardAt: now })
    // What it has taken over is no longer the other's.
    for (const known of this.#members.values()) {
      const holds = known.beat.holds.filter(held => !beat.holds.some(isNewer(held)))
      if (holds.length < known.beat.holds.length) known.beat = { ...known.beat, holds }
    }
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
        hasQuorum: this.#hasQuorum(heardAt, beat.member, now),
      }))
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

  /** What live members hold or are about to. */
  claims(now: number): { readonly member: string; readonly claim: HeldAddress }[] {
    return [...this.#members.values()]
      .filter(known => this.#isLive(known, now))
      .flatMap(({ beat: { member, holds, takes } }) =>
        [...holds, ...takes].map(claim => ({ member, claim })),
      )
  }

  #isLive({ heardAt }: Known, now: number): boolean {
    return now - heardAt < this.#times.timeout
  }

  /**
   * Of those that were heard about when the failed one was, and this one. Who fell silent before
   * and still has an address was not fenced, and may live where this one does not see it.
   */
  #hasQuorum(heardAt: number, failed: string, now: number): boolean {
    const were = [...this.#members.values()].filter(
      ({ beat, heardAt: at }) =>
        beat.member !== failed &&
        (at > heardAt - this.#times.timeout || beat.holds.length > 0),
    )
    const are = were.filter(known => this.#isLive(known, now))
    return 2 * (are.length + 1) > were.length + 1
  }
}

function isNewer(held: HeldAddress): (other: HeldAddress) => boolean {
  return ({ address, epoch }) => address === held.address && epoch > held.epoch
}

interface Known {
  beat: Beat
  heardAt: number
}
